"""Mutants: a function each, broken in one place by mutmut's operators.

Left out, because a test of it would repeat it: what is logged, text for people (a literal with a space in it),
docstrings, types, what is raised where nobody gets to. And what is evaluated when a module is imported, once for all
tests: decorators, defaults, constants.
"""

import difflib
import hashlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import libcst as cst
import libcst.matchers as m
from libcst.metadata import CodeRange, MetadataWrapper, PositionProvider
from mutmut.mutation import mutators

# File, function, the line as it is, as it would be, the how-manieth of these.
Change = tuple[str, str, str, str, int]

_Positions = Mapping[cst.CSTNode, CodeRange]


class Mutant(NamedTuple):
    """One function with one change in it."""

    file: str
    function: str
    was: str
    becomes: str
    # Of the same change in the same function, the how-manieth.
    nth: int
    lines: range
    line: int
    # The function alone, in its class if it has one, broken.
    code: str
    # The same with nothing broken: what was found out of it holds while this stays.
    original: str

    @property
    def change(self) -> Change:
        """What stands in the list of equivalent ones."""
        return self.file, self.function, self.was, self.becomes, self.nth

    @property
    def key(self) -> str:
        """Names it from one run to the next."""
        text = "\0".join([*map(str, self.change), self.original])
        return hashlib.sha256(text.encode()).hexdigest()


def of_file(path: Path, name: str) -> Iterator[Mutant]:
    """All mutants of a module's functions."""
    wrapper = MetadataWrapper(cst.parse_module(path.read_text()))
    positions = wrapper.resolve(PositionProvider)
    for statement in wrapper.module.body:
        if isinstance(statement, cst.FunctionDef):
            yield from _of_function(name, statement, None, positions)
        elif isinstance(statement, cst.ClassDef):
            for member in statement.body.body:
                if isinstance(member, cst.FunctionDef):
                    yield from _of_function(name, member, statement.name.value, positions)


def _of_function(
    file: str, function: cst.FunctionDef, cls: str | None, positions: _Positions
) -> Iterator[Mutant]:
    visitor = _Visitor(positions)
    function.body.visit(visitor)
    bare = function.with_changes(decorators=[], leading_lines=[])
    original = _alone(bare, cls)
    qualname = f"{cls}.{function.name.value}" if cls else function.name.value
    seen: dict[tuple[str, str], int] = {}
    for node, mutated, lines in visitor.found:
        code = _alone(bare.deep_replace(node, mutated), cls)
        if code == original:
            continue
        change = _difference(original, code)
        seen[change] = seen.get(change, 0) + 1
        line = positions[node].start.line
        yield Mutant(file, qualname, *change, seen[change], lines, line, code, original)


def _alone(function: cst.CSTNode, cls: str | None) -> str:
    body: cst.CSTNode = function
    if cls is not None:
        body = cst.ClassDef(cst.Name(cls), cst.IndentedBlock([function]))
    return str(cst.Module([body]).code)


def _difference(original: str, code: str) -> tuple[str, str]:
    was, becomes = [], []
    for line in difflib.ndiff(original.splitlines(), code.splitlines()):
        if line.startswith("- "):
            was.append(line[2:].strip())
        elif line.startswith("+ "):
            becomes.append(line[2:].strip())
    return " ".join(was), " ".join(becomes)


_NEVER = m.Expr(value=m.Call(func=m.Name("assert_never"))) | m.Raise(
    exc=m.Call(func=m.Name("AssertionError"))
)
_LOGS = m.Attribute(value=m.Name("_log") | m.Name("log"))


class _Visitor(cst.CSTVisitor):  # type: ignore[misc]
    """Finds what can be broken, with the lines whose tests could notice."""

    def __init__(self, positions: _Positions) -> None:
        super().__init__()
        self.found: list[tuple[cst.CSTNode, cst.CSTNode, range]] = []
        self._positions = positions
        self._lines = [range(0)]

    def on_visit(self, node: cst.CSTNode) -> bool:
        if isinstance(node, cst.BaseStatement):
            self._lines.append(self._lines_of(node))
        if _is_left_out(node):
            return False
        for kind, operator in mutators.mutation_operators:
            if isinstance(node, kind):
                for mutated in _changes(operator, node):
                    self.found.append((node, mutated, self._lines[-1]))
        return True

    def on_leave(self, original_node: cst.CSTNode) -> None:
        if isinstance(original_node, cst.BaseStatement):
            self._lines.pop()

    def _lines_of(self, node: cst.CSTNode) -> range:
        position = self._positions[node]
        end = position.end.line
        if isinstance(node, cst.BaseCompoundStatement):
            # Its head: what is below has lines of its own.
            below = node.cases[0] if isinstance(node, cst.Match) else node.body
            end = max(position.start.line, self._positions[below].start.line - 1)
        return range(position.start.line, end + 1)


def _changes(operator: object, node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    changes: Iterator[cst.CSTNode] = iter(operator(node))  # type: ignore[operator]
    if operator is mutators.operator_string:
        # Other letters too, in capitals and in small ones, are noticed by who notices the first.
        changes = itertools.islice(changes, 1)
    if operator is mutators.operator_arg_removal:
        changes = (change for change in changes if not _loses_text(node, change))
    return changes


def _loses_text(call: cst.Call, change: cst.Call) -> bool:
    kept = {id(argument) for argument in change.args}
    return any(id(argument) not in kept and _is_text(argument.value) for argument in call.args)


def _is_text(node: cst.CSTNode) -> bool:
    """Whether it is for people."""
    if isinstance(node, cst.FormattedString):
        return any(
            isinstance(part, cst.FormattedStringText) and " " in part.value for part in node.parts
        )
    if isinstance(node, cst.ConcatenatedString):
        return _is_text(node.left) or _is_text(node.right)
    return isinstance(node, cst.SimpleString) and " " in node.value


def _is_left_out(node: cst.CSTNode) -> bool:
    if isinstance(node, cst.Annotation | cst.Decorator | cst.Parameters):
        return True
    if m.matches(node, m.Call(func=m.Name("cast") | m.Name("isinstance") | m.Name("len"))):
        return isinstance(node, cst.Call) and not _has_calls(node.args)
    if m.matches(node, m.Expr(value=m.SimpleString() | m.ConcatenatedString())):
        return True
    if m.matches(node, m.Import() | m.ImportFrom() | m.Expr(value=m.Call(func=_LOGS)) | _NEVER):
        return True
    return _is_text(node)


def _has_calls(arguments: Sequence[cst.Arg]) -> bool:
    return any(m.findall(argument, m.Call()) for argument in arguments)
