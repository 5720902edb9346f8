"""Strips modules to their code for the package: the text in them is for those who read the sources.

``python scripts/bare_code.py FILE...`` rewrites modules of the AWS SDK, and says so in their first line: two thirds
of them are text. With ``--same-lines`` comments and docstrings go and each statement stays on its line, so that a
traceback of a device names the lines of the sources; with ``--but-classes`` the docstrings of classes stay. Types of
arguments and results go, which nothing looks at; those of fields stay.
"""

import argparse
import ast
import io
import tokenize
from collections.abc import Iterator
from pathlib import Path

NOTICE = "# Changed for fleet-agent's package: stripped to the code.\n"
# Never nothing: dataclasses would make up a text of their own, slowly.
NO_TEXT = "-"


def bare(source: str) -> str:
    """The code of a module, below the comments that say whose it is."""
    tree = ast.parse(_untyped(source))
    for text in _texts(tree):
        text.value = NO_TEXT
    licence = [
        line
        for line in source.splitlines(keepends=True)
        if line.startswith(("# Copyright", "# SPDX"))
    ]
    return NOTICE + "".join(licence) + _tight(ast.unparse(tree)) + "\n"


def bare_with_the_same_lines(source: str, *, with_classes: bool = False) -> str:
    """The code of a module, each statement on the line that it had."""
    source = _untyped(source)
    lines = source.splitlines()
    # The columns of ast are bytes.
    encoded = [line.encode() for line in lines]
    tree = ast.parse(source)
    # What a package is about, alone: each such file would count as a KiB.
    if len(tree.body) == 1 and ast.get_docstring(tree) is not None:
        return ""
    kept = _texts_of_classes(tree) if with_classes else []
    for text in (text for text in _texts(tree) if text not in kept):
        first, last = text.lineno - 1, (text.end_lineno or text.lineno) - 1
        rest = encoded[last][text.end_col_offset :]
        encoded[first : last + 1] = [b""] * (last - first + 1)
        encoded[first] = b" " * text.col_offset + f'"{NO_TEXT}"'.encode() + rest
    lines = [line.decode() for line in encoded]
    for token in tokenize.generate_tokens(io.StringIO("\n".join(lines) + "\n").readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column].rstrip()
    return _tight("\n".join(lines).rstrip()) + "\n"


def _untyped(source: str) -> str:
    """The same, on the same lines, without the types of arguments and results."""
    lines = [line.encode() for line in source.splitlines()]
    # Each from a line and column on, to another: the last first, so that those before stay where they are.
    for first, start, last, end in sorted(_types(ast.parse(source), lines), reverse=True):
        joined = lines[first][:start] + lines[last][end:]
        lines[first : last + 1] = [joined, *[b""] * (last - first)]
    return "".join(line.decode() + "\n" for line in lines)


def _types(tree: ast.Module, lines: list[bytes]) -> Iterator[tuple[int, int, int, int]]:
    """Where types of arguments and results stand, with the colon or the arrow before; columns are bytes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.arg) and node.annotation:
            first, start, found = (
                node.lineno,
                node.col_offset + len(node.arg.encode()),
                node.annotation,
            )
        elif isinstance(node, ast.FunctionDef) and node.returns:
            found = node.returns
            first = found.lineno
            start = lines[first - 1].rindex(b" ->", 0, found.col_offset)
        else:
            continue
        yield first - 1, start, (found.end_lineno or first) - 1, found.end_col_offset or 0


def _tight(code: str) -> str:
    """The same code, each of its lines, indented by one space a level: a fifth of a module is indentation."""
    inner = [(len(line) - len(line.lstrip(" ")), line.lstrip(" ")) for line in code.split("\n")]
    tight = "\n".join(" " * (spaces // 4) + line for spaces, line in inner)
    # Text over several lines would lose spaces of its own.
    return tight if ast.dump(ast.parse(tight)) == ast.dump(ast.parse(code)) else code


def _texts(tree: ast.Module) -> list[ast.Constant]:
    """The strings that are statements."""
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    ]


def _texts_of_classes(tree: ast.Module) -> list[ast.Constant]:
    """The docstrings of classes."""
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    return [text for node in classes for text in _texts(ast.Module(node.body[:1], []))]


def main() -> None:
    """Rewrites the files of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--same-lines", action="store_true")
    parser.add_argument("--but-classes", action="store_true")
    parser.add_argument("files", nargs="+", type=Path)
    wanted = parser.parse_args()
    for file in wanted.files:
        source = file.read_text()
        if wanted.same_lines:
            stripped = bare_with_the_same_lines(source, with_classes=wanted.but_classes)
        else:
            stripped = bare(source)
        file.write_text(stripped)


if __name__ == "__main__":
    main()
