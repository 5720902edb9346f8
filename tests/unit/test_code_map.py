"""The map of the code names what is there."""

import re
from pathlib import Path

import pytest

PAGE = "docs/explanation/code.md"
NAMED = re.compile(r"[`\"]([a-z_]+/(?:[a-z_]+/)*(?:[a-z_0-9]+\.py)?)")


def test_every_file_that_the_map_names_exists(root_dir: Path) -> None:
    named = NAMED.findall((root_dir / PAGE).read_text())
    assert len(named) > 30
    missing = [name for name in named if not (root_dir / "agent/fleet_agent" / name).exists()]
    missing = [name for name in missing if not (root_dir / name).exists()]
    assert missing == []


@pytest.mark.parametrize("kind", ["folder", "module"])
def test_every_room_is_on_the_map(root_dir: Path, kind: str) -> None:
    page = (root_dir / PAGE).read_text()
    agent = root_dir / "agent/fleet_agent"
    if kind == "folder":
        names = [path.parent.name for path in agent.glob("*/__init__.py")]
    else:
        names = [path.stem for path in agent.glob("*.py") if path.stem != "__init__"]
    assert [name for name in names if f"| `{name}` |" not in page] == []
