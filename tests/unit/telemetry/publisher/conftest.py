"""A publisher to send with."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.publishing import Bench


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """Python 3.13 warns of each queue that is left open."""
    yield
    while Bench.opened:
        Bench.opened.pop().close()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)
