"""Strips modules of the AWS SDK to their code: two thirds of its Python is text that nobody reads on a device.

``python scripts/bare_code.py FILE...`` changes the files in place, and says so in their first line.
"""

import ast
import sys
from pathlib import Path

NOTICE = "# Changed for fleet-agent's package: stripped to the code.\n"


def bare(source: str) -> str:
    """The code of a module, below the comments that say whose it is."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            # Never nothing: dataclasses would make up a text of their own, slowly.
            node.value.value = "-"
    licence = [
        line
        for line in source.splitlines(keepends=True)
        if line.startswith(("# Copyright", "# SPDX"))
    ]
    return NOTICE + "".join(licence) + ast.unparse(tree) + "\n"


if __name__ == "__main__":
    for file in map(Path, sys.argv[1:]):
        file.write_text(bare(file.read_text()))
