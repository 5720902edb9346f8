"""A device as a tree of ordinary files."""

from pathlib import Path

import pytest

from support.devices import Tree


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)
