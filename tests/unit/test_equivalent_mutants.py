"""The mutants that are listed as equivalent are of functions that there are: ``scripts/mutants`` looks at the rest."""

import ast
from collections.abc import Iterator
from pathlib import Path

from mutants import equivalent

PACKAGE = Path(__file__).resolve().parents[2] / "agent/fleet_agent"


def words(code: str) -> str:
    """It on one line."""
    return " ".join(code.split())


def functions(path: Path) -> dict[str, str]:
    """The text of each function of a file, by its name with that of its class."""
    lines = path.read_text().splitlines()

    def of(body: list[ast.stmt], owner: str = "") -> Iterator[tuple[str, str]]:
        for node in body:
            if isinstance(node, ast.FunctionDef):
                text = "\n".join(lines[node.lineno - 1 : node.end_lineno])
                yield f"{owner}{node.name}", words(text)
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                yield from of(node.body, f"{owner}{node.name}.")

    return dict(of(ast.parse("\n".join(lines)).body))


def test_what_is_listed_is_in_the_code() -> None:
    listed = list(equivalent.read())
    files = {file: PACKAGE / file for file in {each.file for each in listed}}
    found = {file: functions(path) if path.exists() else {} for file, path in files.items()}
    gone = [
        f"{each.file} {each.function}: {each.was}"
        for each in listed
        if words(each.was) not in found[each.file].get(each.function, "")
    ]
    assert not gone, "\n".join(gone)
