"""A folder for a configuration, and the one problem of a line."""

from collections.abc import Callable
from pathlib import Path

import pytest

from support.configurations import Folder


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.fixture
def value_problem(folder: Folder) -> Callable[[str], str]:
    """The one problem of a minimal configuration with these lines added."""

    def one(lines: str) -> str:
        found = folder.problems(f"endpoint: a.example\n{lines}\n")
        assert len(found) == 1, found
        return found[0]

    return one
