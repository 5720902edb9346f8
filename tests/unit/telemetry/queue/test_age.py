"""Readings that are older than the bound are dropped, however the clock is set."""

import itertools

import pytest

from support.clock import DAY, FakeClock, WorkingClock
from support.queues import OpenQueue, drained, reading


def test_a_reading_is_dropped_once_it_is_older_than_the_bound(
    open_queue: OpenQueue, clock: FakeClock
) -> None:
    queue = open_queue(max_age=64.0)
    queue.add([reading(1)])
    clock.go(64.0)
    queue.tidy()
    assert queue.count == 1
    clock.go(1.0)
    queue.tidy()
    assert queue.count == 0


@pytest.mark.parametrize("clock", [WorkingClock()])
def test_old_readings_are_dropped_a_turn_at_a_time(
    open_queue: OpenQueue, clock: WorkingClock
) -> None:
    """Millions after months without power took minutes in one piece: the watchdog ended them, and each start again."""
    queue = open_queue(max_age=64.0)
    queue.add([reading(number) for number in range(1000)])
    clock.go(100.0)
    left = [queue.count]
    while queue.tidy():
        left.append(queue.count)
        assert not queue.has_unwritten
    turns = [before - after for before, after in itertools.pairwise(left)]
    assert len(turns) > 10
    assert all(0 < turn < 100 for turn in turns)
    assert (queue.count, queue.dropped.age) == (0, 1000)


def test_setting_the_clock_drops_nothing_and_passing_time_does(
    open_queue: OpenQueue, clock: FakeClock
) -> None:
    queue = open_queue(max_age=7 * DAY)
    clock.now = 60.0  # not set yet
    queue.add([reading(1, "unset", time=clock.wall())])
    clock.now = 1.8e9 - 10 * DAY  # fake-hwclock
    queue.add([reading(2, "behind", time=clock.wall())])
    for moment in (1.8e9, 100.0, 3e9, 1.8e9 - 30 * DAY, 1.8e9):
        clock.now = moment
        queue.tidy()
        assert queue.count == 2
    queue.close()
    queue = open_queue(max_age=7 * DAY)  # of the same boot
    clock.go(6 * DAY)
    queue.add([reading(3, "now")])
    queue.tidy()
    assert queue.count == 3
    clock.go(1.1 * DAY)
    queue.tidy()
    assert drained(queue) == {"now": [3]}
    assert (queue.dropped.age, queue.dropped.full) == (2, 0)


def test_time_between_two_boots_counts_once_the_clock_is_right(
    open_queue: OpenQueue, clock: FakeClock
) -> None:
    clock.synchronised = True
    queue = open_queue(max_age=7 * DAY)
    queue.add([reading(1)])
    clock.go(DAY)
    queue.add([reading(2)])
    queue.close()
    clock.reboot()  # ten days switched off, and a clock that does not know
    clock.synchronised = False
    queue = open_queue(max_age=7 * DAY)
    queue.add([reading(3)])
    clock.go(5 * DAY)
    queue.tidy()
    assert queue.count == 3  # surely: six days
    clock.now += DAY + 60
    queue.tidy()
    assert queue.count == 3
    clock.synchronised = True
    queue.tidy()
    assert queue.dropped.age == 1  # seven days, and not quite
    clock.go(1.1 * DAY)
    queue.tidy()
    assert drained(queue) == {"t": [3]}


def test_boots_without_a_clock_add_up(open_queue: OpenQueue, clock: FakeClock) -> None:
    clock.synchronised = False
    for number in range(5):
        queue = open_queue(max_age=7 * DAY)
        queue.add([reading(number)])
        clock.go(2 * DAY)
        queue.flush()
        queue.add([reading(number, "other")])
        queue.close()
        clock.reboot()
    queue = open_queue(max_age=7 * DAY)
    queue.tidy()
    assert drained(queue)["t"] == [2, 3, 4]
