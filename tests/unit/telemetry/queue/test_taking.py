"""What is taken out of the queue: how much, and in which order."""

import math

import pytest

from fleet_agent.errors import StateDirectoryError
from support.clock import FakeClock
from support.queues import OpenQueue, numbers, reading, reading_of, unreadable


@pytest.mark.parametrize("is_read", [False, True])
@pytest.mark.parametrize("newest", [False, True])
@pytest.mark.parametrize(("size", "counts"), [(299, [2, 2, 1]), (300, [3, 2]), (10, [1] * 5)])
def test_as_much_is_taken_as_fits_and_the_rest_stays(
    open_queue: OpenQueue, size: int, counts: list[int], *, newest: bool, is_read: bool
) -> None:
    queue = open_queue()
    queue.add([reading(number, size=99) for number in range(5)])
    if is_read:
        queue.close()
        queue = open_queue()
    (topic,) = queue.topics
    parts = []
    while topic.unsent:
        assert queue.next(0.0) is topic
        found = queue.take(topic, 10, size, newest=newest)
        assert [each.sequence for each in found] == numbers(found) == sorted(numbers(found))
        parts.append(found)
    assert [len(part) for part in parts] == counts
    assert sorted(number for part in parts for number in numbers(part)) == list(range(5))
    assert parts == sorted(parts, key=lambda part: part[0].sequence, reverse=newest)
    assert queue.next(0.0) is None
    for part in parts:
        queue.give_back(topic, part)
    assert topic.unsent == [(0, 5)]


@pytest.mark.usefixtures("full_file")
def test_readings_that_cannot_be_read_are_not_in_flight(open_queue: OpenQueue) -> None:
    queue = open_queue()
    (topic,) = queue.topics
    with unreadable(queue), pytest.raises(StateDirectoryError, match="cannot be used"):
        queue.take(topic, 10, 10_000)
    assert topic.unsent == [(0, 500)]
    assert numbers(queue.take(topic, 10, 10_000)) == list(range(10))


def test_the_oldest_is_the_first_stored_of_those_that_wait(
    open_queue: OpenQueue, clock: FakeClock
) -> None:
    queue = open_queue()
    assert queue.oldest() is None
    for time, name in ((100.0, "a"), (50.0, "b"), (200.0, "a"), (300.0, "b")):
        # What was stored first, whatever its time: that a clock was set makes nothing older.
        clock.go(1)
        queue.add([reading(1, name, time=time)])
    a, b = queue.topics
    times = []
    for topic in (a, b, a, b):
        times.append(queue.oldest())
        queue.take(topic, 1, 100)
    assert times == [100.0, 50.0, 200.0, 300.0]
    assert queue.oldest() is None


def test_sources_take_turns_before_topics(open_queue: OpenQueue) -> None:
    queue = open_queue()
    queue.add([reading_of("many", n, f"many/{n}") for n in range(100)])
    queue.add([reading_of("few", n, "few") for n in range(3)])
    queue.add([reading_of("two", n, f"two/{n % 2}") for n in range(4)])
    turns = []
    while topic := queue.next(0.0):
        queue.take(topic, 1, 1000)
        turns.append(topic.name.partition("/")[0])
    assert turns[:9] == ["many", "few", "two"] * 3
    assert turns[9:11] == ["many", "two"]
    assert set(turns[11:]) == {"many"}
    assert len(turns) == 107


def test_after_a_restart_only_sources_with_readings_have_turns(open_queue: OpenQueue) -> None:
    queue = open_queue()
    queue.add([reading_of("a", 0, "t"), *(reading_of("b", n, "t") for n in range(3))])
    queue.add([reading_of("b", n, "u") for n in range(3)])
    queue.close()
    queue = open_queue()
    turns = []
    while topic := queue.next(0.0):
        queue.take(topic, 1, 1000)
        turns.append(topic.name)
    assert turns == ["t", "u", "t", "u", "t", "u", "t"]
    assert queue.due() == math.inf


def test_a_paused_topic_waits_until_its_time_or_until_it_is_resumed(open_queue: OpenQueue) -> None:
    queue = open_queue()
    queue.add([reading_of("a", 1, "one"), reading_of("b", 2, "one"), reading_of("b", 3, "two")])
    one, two = queue.topics
    queue.resume(one)  # which is not paused
    queue.pause(one, 50.0)
    queue.pause(two, 60.0)
    assert queue.next(49.0) is None
    assert queue.due() == 50.0
    queue.add([reading_of("a", 4, "one")])
    assert queue.next(49.0) is None
    assert queue.next(50.0) is one
    queue.pause(one, 90.0)
    queue.resume(two)
    assert queue.next(50.0) is two
    queue.resume()
    assert {one, two} == {queue.next(50.0), *queue.topics}
    for topic in (one, two):
        queue.pause(topic, 70.0)
        queue.resume(topic)
        queue.take(topic, 10, 1000)
    assert queue.due() == math.inf
