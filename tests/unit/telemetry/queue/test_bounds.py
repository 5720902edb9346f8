"""How many readings may wait, and which are dropped beyond that."""

import contextlib
from pathlib import Path

from fleet_agent.config.telemetry import Queue as Bounds
from fleet_agent.telemetry.queue import Queue
from support.clock import FakeClock, WorkingClock
from support.queues import (
    drained,
    reading,
    unreadable,
)


def test_exactly_what_the_bounds_allow_is_kept(path: Path, clock: FakeClock) -> None:
    queue = Queue(path, Bounds(max_messages=3, max_bytes=1 << 20), clock)
    assert None not in queue.add([reading(n, size=1 << 19) for n in range(2)])
    assert queue.add([reading(2)])[0]
    assert (queue.count, queue.dropped.full) == (2, 1)
    queue.add([reading(3), reading(4)])
    assert drained(queue) == {"t": [2, 3, 4]}
    queue.close()


def test_the_oldest_of_the_lowest_priority_go_first(path: Path, clock: FakeClock) -> None:
    queue = Queue(path, Bounds(max_messages=100), clock)
    queue.add([reading(n, "low", time=2e9 + n, priority=0) for n in range(50)])
    queue.add([reading(n, "old", time=1.8e9 + n) for n in range(25)])
    queue.add([reading(n, "new", time=1.9e9 + n) for n in range(25)])
    queue.add([reading(n, "high", time=1.0 + n, priority=2) for n in range(60)])
    found = drained(queue)
    assert {name: len(each) for name, each in found.items()} == {"old": 15, "new": 25, "high": 60}
    assert found["old"] == list(range(10, 25))
    assert queue.dropped.full == 60
    queue.close()


def test_a_reading_of_low_priority_is_not_taken_when_the_queue_is_full_of_others(
    path: Path, clock: FakeClock
) -> None:
    queue = Queue(path, Bounds(max_messages=100), clock)
    queue.add([reading(n, "high", priority=2) for n in range(100)])
    assert queue.add([reading(1, "low", priority=0)]) == [None]
    assert queue.count == 100
    queue.close()


def test_smaller_bounds_than_before_are_kept_to(full_file: Path, clock: FakeClock) -> None:
    queue = Queue(full_file, Bounds(max_messages=100), clock)
    queue.add([reading(500)])
    assert (queue.count, queue.dropped.full) == (100, 401)
    assert drained(queue)["t"] == list(range(401, 501))
    queue.close()


def test_bounds_that_were_lowered_are_reached_a_turn_at_a_time(path: Path) -> None:
    clock = WorkingClock()
    with contextlib.closing(Queue(path, Bounds(), clock)) as queue:
        queue.add([reading(number) for number in range(1000)])
    queue = Queue(path, Bounds(max_messages=100), clock)
    left = []
    while queue.count > 100:
        queue.add([reading(1)])
        left.append(queue.count)
    assert len(left) > 10
    assert queue.dropped.full == 1000 + len(left) - 100
    queue.close()


def test_what_is_stored_is_so_though_no_room_can_be_made_for_it(
    path: Path, clock: FakeClock
) -> None:
    queue = Queue(path, Bounds(max_messages=3), clock)
    queue.add([reading(number) for number in range(3)])
    with unreadable(queue):
        assert None not in queue.add([reading(3)])
        assert queue.count == 4
    queue.add([reading(4)])
    assert drained(queue) == {"t": [2, 3, 4]}
    queue.close()
