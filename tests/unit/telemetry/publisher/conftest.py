"""A publisher to send with."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.publishing import Bench, MakeBench


@pytest.fixture
def make_bench(tmp_path: Path) -> Iterator[MakeBench]:
    """Makes a publisher with these settings; all have the same queue's file, which is closed after the test."""
    made: list[Bench] = []

    def make(**settings: object) -> Bench:
        made.append(Bench(tmp_path, **settings))
        return made[-1]

    yield make
    for bench in made:
        bench.queue.close()


@pytest.fixture
def bench(make_bench: MakeBench) -> Bench:
    """A publisher with the settings that nobody changed."""
    return make_bench()
