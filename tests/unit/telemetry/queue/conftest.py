"""A file for the queue, and a clock for it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fleet_agent.config.telemetry import Queue as Bounds
from fleet_agent.telemetry.queue import Queue
from support.clock import FakeClock
from support.queues import OpenQueue, reading


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "q"


@pytest.fixture
def open_queue(path: Path, clock: FakeClock) -> Iterator[OpenQueue]:
    """Opens the queue with these bounds; a test closes it to open it again, and the last is closed after the test."""
    opened: list[Queue] = []

    def open_it(**bounds: Any) -> Queue:
        opened[:] = [Queue(path, Bounds(**bounds), clock)]
        return opened[0]

    yield open_it
    for queue in opened:
        queue.close()


@pytest.fixture
def full_file(path: Path, open_queue: OpenQueue) -> Path:
    """The file of a queue with 500 readings."""
    queue = open_queue()
    queue.add([reading(number, size=300) for number in range(500)])
    queue.close()
    return path
