"""YAML text → nodes with positions. The only importer of PyYAML's parser; hostile text ends early.

Neither the size of the text (the reader's limit), nor nesting, nor aliases that repeat each other
cost more than the limits in ``positions``. Aliases and anchors work; tags and merge keys do not.
"""

from typing import Any

import yaml

from fleet_agent.config.positions import (
    MAX_DEPTH,
    MAX_NODES,
    Kind,
    Mapping,
    Mark,
    Node,
    Problem,
    Scalar,
    Sequence,
    shown,
)

_KINDS: dict[str, Kind] = {
    "tag:yaml.org,2002:str": "string",
    "tag:yaml.org,2002:int": "integer",
    "tag:yaml.org,2002:float": "number",
    "tag:yaml.org,2002:bool": "boolean",
    "tag:yaml.org,2002:null": "null",
}


class _TooMuchError(Exception):
    """The document is nested deeper, or larger, than any configuration."""

    def __init__(self, words: str, line: int, column: int) -> None:
        super().__init__(words)
        self.line = line
        self.column = column


def _excess(depth: int, count: int) -> str | None:
    if depth > MAX_DEPTH:
        return f"lists and mappings nest deeper than {MAX_DEPTH}"
    if count > MAX_NODES:
        return f"has more than {MAX_NODES} values, aliases counted each time they are used"
    return None


class _Loader(yaml.SafeLoader):
    """Stops composing what is too deep, where PyYAML itself recurses without end, or too big."""

    depth = 0
    count = 0

    def compose_node(self, parent: Any, index: Any) -> Any:  # noqa: ANN401 - PyYAML's own types
        self.depth += 1
        self.count += 1
        if (words := _excess(self.depth - 1, self.count)) is not None:
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise _TooMuchError(words, event.start_mark.line + 1, event.start_mark.column + 1)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def yaml_document(text: str, source: str, folder: str) -> tuple[Node | None, list[Problem]]:
    """Reads one YAML document.

    Args:
        text: The file's text.
        source: The file's path, for marks.
        folder: Where relative paths in it start.

    Returns:
        The document, None when there is nothing in it or it cannot be read; and what is wrong:
        syntax, duplicate keys, tags, too deep, too big.
    """
    problems: list[Problem] = []
    try:
        root = _compose(text)
        if root is None:
            return None, problems
        return _Conversion(source, folder, problems).node(root, ()), problems
    except yaml.reader.ReaderError as error:
        line, column = _line_and_column(text, error.position)
        words = f"character U+{error.character:04X} is not allowed in YAML"
        return None, [Problem(Mark(source, folder, line, column), "", words)]
    except yaml.MarkedYAMLError as error:
        return None, [_syntax_problem(error, source, folder)]
    except _TooMuchError as error:
        return None, [Problem(Mark(source, folder, error.line, error.column), "", str(error))]


def _compose(text: str) -> yaml.Node | None:
    loader = _Loader(text)
    try:
        return loader.get_single_node()
    finally:
        loader.dispose()


def _line_and_column(text: str, offset: int) -> tuple[int, int]:
    before = text[:offset]
    return before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1


def _syntax_problem(error: yaml.MarkedYAMLError, source: str, folder: str) -> Problem:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    words = error.problem or error.context or "this is not YAML"
    context = f" {error.context}" if error.context and error.problem else ""
    suggestion = ""
    if "\\t" in words:
        suggestion = "indent with spaces; YAML does not allow tabs"
    elif "mapping values are not allowed" in words:
        suggestion = 'quote a value that contains ": ", and check the indentation'
    elif "single document" in (error.context or ""):
        suggestion = 'remove the "---": a file may contain only one document'
    return Problem(
        Mark(source, folder, line, column), "", f"not YAML: {words}{context}", suggestion
    )


class _Conversion:
    """One walk over PyYAML's nodes; counts them, so that aliases cannot multiply without bound."""

    def __init__(self, source: str, folder: str, problems: list[Problem]) -> None:
        self._source = source
        self._folder = folder
        self._problems = problems
        self._count = 0

    def node(self, node: yaml.Node, path: tuple[str, ...]) -> Node:
        mark = self._mark(node)
        self._count += 1
        if (words := _excess(len(path), self._count)) is not None:
            raise _TooMuchError(words, mark.line or 1, mark.column or 1)
        if isinstance(node, yaml.MappingNode):
            return Mapping(mark, self._entries(node, path))
        if isinstance(node, yaml.SequenceNode):
            self._no_tag(node, "seq", path)
            items = (self.node(item, (*path, str(i))) for i, item in enumerate(node.value))
            return Sequence(mark, tuple(items))
        return Scalar(mark, _KINDS.get(node.tag, "other"), node.value)

    def _entries(
        self, node: yaml.MappingNode, path: tuple[str, ...]
    ) -> dict[str, tuple[Mark, Node]]:
        self._no_tag(node, "map", path)
        entries: dict[str, tuple[Mark, Node]] = {}
        for key_node, value_node in node.value:
            mark = self._mark(key_node)
            key = self._key(key_node, mark, path)
            value = self.node(value_node, (*path, key or "?"))
            if key is None:
                continue
            if key in entries:
                first = entries[key][0]
                dotted = ".".join((*path, key))
                words = f"appears twice, first on line {first.line}"
                self._problems.append(Problem(mark, dotted, words, "keep one of them"))
                continue
            entries[key] = (mark, value)
        return entries

    def _key(self, node: yaml.Node, mark: Mark, path: tuple[str, ...]) -> str | None:
        if not isinstance(node, yaml.ScalarNode):
            words, suggestion = (
                "has a key that is a list or a mapping",
                'quote what holds "{" or "["',
            )
        elif node.tag == "tag:yaml.org,2002:merge":
            words, suggestion = (
                'has a merge key "<<", which is not supported',
                "write out the keys",
            )
        elif node.tag != "tag:yaml.org,2002:str":
            kind = _KINDS.get(node.tag, "other value")
            words = f"has the key {shown(node.value)}, which YAML reads as a {kind}"
            suggestion = f'quote it: "{shown(node.value)}"'
        else:
            return str(node.value)
        self._problems.append(Problem(mark, ".".join(path), words, suggestion))
        return None

    def _no_tag(self, node: yaml.CollectionNode, kind: str, path: tuple[str, ...]) -> None:
        if node.tag != f"tag:yaml.org,2002:{kind}":
            words = f"has the YAML tag {node.tag}, which is not supported"
            self._problems.append(
                Problem(self._mark(node), ".".join(path), words, "remove the tag")
            )

    def _mark(self, node: yaml.Node) -> Mark:
        start = node.start_mark
        return Mark(self._source, self._folder, start.line + 1, start.column + 1)
