"""Cuts docstrings of the AWS SDK to their first line: half of its Python is text that nobody reads on a device.

``python scripts/short_docstrings.py FILE...`` changes the files in place, and says so in their first line.
"""

import ast
import sys
from pathlib import Path

NOTICE = "# Changed for fleet-agent's package: docstrings are cut to their first line.\n"


def cut(source: str) -> str:
    """The source with each text that stands for itself cut to its first line."""
    lines = source.splitlines(keepends=True)
    texts = [
        (node.lineno, node.end_lineno, node.col_offset, node.value.value)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    ]
    for first, last, column, text in sorted(texts, reverse=True):
        if last != first:
            # One line, and never nothing: dataclasses would make up a text of their own, slowly.
            words = text.strip().partition("\n")[0] or "-"
            lines[first - 1 : last] = [" " * column + repr(words) + "\n"]
    return NOTICE + "".join(lines)


if __name__ == "__main__":
    for file in map(Path, sys.argv[1:]):
        file.write_text(cut(file.read_text()))
