"""A file for the queue, and a clock for it."""

from pathlib import Path

import pytest

from fleet_agent.config.telemetry import Queue as Bounds
from fleet_agent.telemetry.queue import Queue
from support.clock import FakeClock
from support.queues import reading


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "q"


@pytest.fixture
def full_file(path: Path, clock: FakeClock) -> Path:
    queue = Queue(path, Bounds(), clock)
    queue.add([reading(number, size=300) for number in range(500)])
    queue.close()
    return path
