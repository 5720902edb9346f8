"""What more than one folder of unit tests asks for."""

import os
from collections.abc import Callable, Iterator

import pytest


@pytest.fixture
def umask() -> Iterator[Callable[[int], None]]:
    """Set the process's umask for the test."""
    before = os.umask(0o022)
    os.umask(before)

    def change(mask: int) -> None:
        os.umask(mask)

    yield change
    os.umask(before)
