"""The shape of the code: two numbers, no exceptions."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

LONGEST_BODY = 50
LONGEST_MODULE = 400

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted(
    path
    for folder in ("agent/fleet_agent", "sandbox/iot_sandbox", "scripts/fleet_cloud")
    for path in (ROOT / folder).rglob("*.py")
)


def too_long(source: str) -> Iterator[str]:
    if (lines := source.count("\n")) > LONGEST_MODULE:
        yield f"the module has {lines} lines"
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            lines = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
            if lines > LONGEST_BODY:
                yield f"{node.name} has {lines} lines"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_too_long_and_every_module_says_what_it_is_for(path: Path) -> None:
    source = path.read_text()
    assert list(too_long(source)) == []
    assert ast.get_docstring(ast.parse(source))


def test_every_folder_with_code_is_a_package() -> None:
    assert {path.parent for path in MODULES} == {
        path.parent for path in MODULES if path.name == "__init__.py"
    }


def test_what_is_too_long_is_found() -> None:
    body = "    x = 1\n" * 50
    assert not list(too_long(f'def f():\n    """Doc.\n\n    More.\n    """\n{body}'))
    assert list(too_long(f"def f():\n{body}    x = 2\n")) == ["f has 51 lines"]
    assert list(too_long("x = 1\n" * 401)) == ["the module has 401 lines"]
