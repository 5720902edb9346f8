"""How many readings may wait, and which are dropped beyond that."""

import contextlib

import pytest

from support.clock import WorkingClock
from support.queues import OpenQueue, drained, reading, unreadable


def test_exactly_what_the_bounds_allow_is_kept(open_queue: OpenQueue) -> None:
    queue = open_queue(max_messages=3, max_bytes=1 << 20)
    assert None not in queue.add([reading(n, size=1 << 19) for n in range(2)])
    assert queue.add([reading(2)])[0]
    assert (queue.count, queue.dropped.full) == (2, 1)
    queue.add([reading(3), reading(4)])
    assert drained(queue) == {"t": [2, 3, 4]}


def test_the_oldest_of_the_lowest_priority_are_dropped_first(open_queue: OpenQueue) -> None:
    queue = open_queue(max_messages=100)
    queue.add([reading(n, "low", time=2e9 + n, priority=0) for n in range(50)])
    queue.add([reading(n, "old", time=1.8e9 + n) for n in range(25)])
    queue.add([reading(n, "new", time=1.9e9 + n) for n in range(25)])
    queue.add([reading(n, "high", time=1.0 + n, priority=2) for n in range(60)])
    found = drained(queue)
    assert {name: len(each) for name, each in found.items()} == {"old": 15, "new": 25, "high": 60}
    assert found["old"] == list(range(10, 25))
    assert queue.dropped.full == 60


def test_a_reading_of_low_priority_is_refused_when_the_queue_is_full_of_higher_ones(
    open_queue: OpenQueue,
) -> None:
    queue = open_queue(max_messages=100)
    queue.add([reading(n, "high", priority=2) for n in range(100)])
    assert queue.add([reading(1, "low", priority=0)]) == [None]
    assert queue.count == 100


@pytest.mark.usefixtures("full_file")
def test_lowered_bounds_are_kept(open_queue: OpenQueue) -> None:
    queue = open_queue(max_messages=100)
    queue.add([reading(500)])
    assert (queue.count, queue.dropped.full) == (100, 401)
    assert drained(queue)["t"] == list(range(401, 501))


@pytest.mark.parametrize("clock", [WorkingClock()])
@pytest.mark.usefixtures("clock")
def test_lowered_bounds_are_reached_a_turn_at_a_time(open_queue: OpenQueue) -> None:
    with contextlib.closing(open_queue()) as queue:
        queue.add([reading(number) for number in range(1000)])
    queue = open_queue(max_messages=100)
    left = []
    while queue.count > 100:
        queue.add([reading(1)])
        left.append(queue.count)
    assert len(left) > 10
    assert queue.dropped.full == 1000 + len(left) - 100


def test_a_reading_is_stored_even_if_no_room_can_be_made_for_it(open_queue: OpenQueue) -> None:
    queue = open_queue(max_messages=3)
    queue.add([reading(number) for number in range(3)])
    with unreadable(queue):
        assert None not in queue.add([reading(3)])
        assert queue.count == 4
    queue.add([reading(4)])
    assert drained(queue) == {"t": [2, 3, 4]}
