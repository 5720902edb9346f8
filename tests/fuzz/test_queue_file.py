"""The queue's file after a card changed some of its bytes: what is read makes sense, or the file is set aside."""

import functools
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from fleet_agent.config.telemetry import Queue as Bounds
from fleet_agent.telemetry.queue import Queue
from fleet_agent.telemetry.reading import Reading
from support.clock import FakeClock
from support.fuzzing import TIMES

pytestmark = pytest.mark.slow

BOUNDS = Bounds(synchronous="normal", max_messages=300)
PAGE = 1024
# Where most of what SQLite itself needs stands: the beginnings of pages.
PLACES = some.integers(0, 200_000) | some.builds(
    lambda page, at: page * PAGE + at, some.integers(0, 200), some.integers(0, 60)
)


@functools.cache
def whole() -> bytes:
    path = Path(tempfile.mkdtemp(dir="/dev/shm")) / "q"
    queue = Queue(path, BOUNDS, FakeClock())
    for number in range(12):
        queue.add([
            Reading(
                topic=f"t{each % 3}",
                payload=b"%d" % each * (1 + number * 5),
                time=1.8e9,
                source="ab"[each % 2],
                expires=1.9e9 if number % 2 else None,
            )
            for each in range(25)
        ])  # fmt: skip
    queue.close()
    found = path.read_bytes()
    shutil.rmtree(path.parent)
    return found


@given(
    changes=some.lists(some.tuples(PLACES, some.integers(0, 255)), min_size=1, max_size=12),
    newest=some.booleans(),
    most=some.sampled_from([1, 7, 100]),
)
@settings(max_examples=250 * TIMES, deadline=None)
def test_bytes_that_changed_end_nothing(
    changes: list[tuple[int, int]],
    newest: bool,
    most: int,
) -> None:
    content = bytearray(whole())
    for place, value in changes:
        content[place % len(content)] = value
    path = Path(tempfile.mkdtemp(dir="/dev/shm")) / "q"
    path.write_bytes(content)
    try:
        use(path, newest=newest, most=most)
    finally:
        shutil.rmtree(path.parent)


def use(path: Path, *, newest: bool, most: int) -> None:
    queue = Queue(path, BOUNDS, FakeClock())
    queue.add([Reading(topic="t1", payload=b"new", time=1.8e9, source="b") for _ in range(10)])
    queue.tidy()
    queue.oldest()
    while topic := queue.next(0.0):
        found = queue.take(topic, most, 1 << 16, newest=newest)
        queue.forget(topic, found)
    queue.flush()
    assert (queue.count, queue.bytes >= 0, list(queue.topics)) == (0, True, [])
    places = queue.add([Reading(topic="t2", payload=b"last", time=1.8e9)])
    assert None not in places
    queue.close()
