"""What a queue that drains fast costs: nothing is read back, and a reading that comes alone is one page of the log."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet_agent.config.telemetry import Queue as Bounds
from fleet_agent.telemetry import row_cache
from fleet_agent.telemetry.queue import Queue
from fleet_agent.telemetry.reading import Reading
from support.clock import FakeClock

PAGE = 1024 + 24  # bytes of the log, with what stands before each


def readings(first: int, count: int, size: int = 200) -> list[Reading]:
    return [
        Reading(topic="t", payload=str(first + number).encode().ljust(size), time=1.8e9)
        for number in range(count)
    ]


def take(queue: Queue, *, newest: bool = False) -> list[int]:
    """All that one look gives, as AWS would have it at once."""
    topic = queue.topics[0]
    found = queue.take(topic, 10_000, 1 << 24, newest=newest)
    queue.forget(topic, found)
    return [int(each.payload) for each in found]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "q"


@pytest.fixture
def queue(path: Path) -> Iterator[Queue]:
    queue = Queue(path, Bounds(max_messages=5000), FakeClock())
    yield queue
    queue.close()


@pytest.fixture
def statements(queue: Queue) -> list[str]:
    found: list[str] = []
    queue._file._connected.set_trace_callback(found.append)
    return found


@pytest.mark.parametrize("newest", [False, True])
def test_what_was_just_stored_is_sent_without_reading_it(
    queue: Queue, statements: list[str], *, newest: bool
) -> None:
    for first in range(0, 300, 100):
        queue.add(readings(first, 100))
        statements.clear()
        assert take(queue, newest=newest) == list(range(first, first + 100))
        assert not statements


def test_what_was_stored_long_ago_is_read_from_the_file_and_comes_in_order(
    queue: Queue, statements: list[str]
) -> None:
    for first in range(0, 3000, 300):
        queue.add(readings(first, 300))
        assert len(queue._row_cache._rows) <= row_cache.MOST
    found: list[int] = []
    while queue.topics:
        found += take(queue)
    assert found == list(range(3000))
    assert [statement for statement in statements if statement.startswith("SELECT")]
    assert queue._row_cache._bytes == 0


def test_large_readings_are_not_kept_in_memory(queue: Queue) -> None:
    queue.add(readings(0, 3, size=row_cache.MOST_BYTES // 2))
    assert not queue._row_cache._rows
    assert take(queue) == [0, 1, 2]
    for first in range(0, 40, 4):
        queue.add(readings(first, 4, size=10_000))
        kept = sum(len(row[4]) for row in queue._row_cache._rows.values())
        assert 0 < kept <= row_cache.MOST_BYTES


def test_what_was_dropped_is_not_sent_from_memory(path: Path) -> None:
    with contextlib.closing(Queue(path, Bounds(max_messages=100), FakeClock())) as queue:
        queue.add(readings(0, 90))
        queue.add(readings(90, 20))
        assert len(queue._row_cache._rows) == queue.count == 100
        assert take(queue) == list(range(10, 110))


def test_a_reading_that_comes_alone_is_one_page_of_the_log(queue: Queue, path: Path) -> None:
    log = path.with_name("q-wal")

    def one(number: int) -> int:
        before = log.stat().st_size
        queue.add(readings(number, 1))
        take(queue)
        return log.stat().st_size - before

    one(0)
    assert [one(number) for number in range(1, 10)] == [PAGE] * 9


def test_a_reading_of_many_is_little_more_than_its_payload(queue: Queue, path: Path) -> None:
    log = path.with_name("q-wal")
    for first in (0, 1000):
        queue.add(readings(first, 1000, size=169))
        while queue.topics:
            take(queue)
    before = log.stat().st_size
    queue.add(readings(2000, 1000, size=169))
    assert (log.stat().st_size - before) / 1000 < 1.5 * 169
