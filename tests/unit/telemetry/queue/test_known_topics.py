"""The topics whose sequence goes on though none of their readings waits."""

from collections import Counter
from pathlib import Path

import pytest

from fleet_agent.config.telemetry import Queue as Bounds
from fleet_agent.telemetry import queue as module
from fleet_agent.telemetry.queue import Queue
from support.clock import FakeClock
from support.queues import drained, forget, in_file, of, reading, take


def test_a_sequence_goes_on_after_everything_was_sent(path: Path, clock: FakeClock) -> None:
    for number in range(5):
        queue = Queue(path, Bounds(), clock)
        ((topic, sequence),) = [place for place in queue.add([reading(number)]) if place]
        assert sequence == number
        _, found = take(queue)
        forget(queue, topic, found)
        queue.close()


def test_topics_without_end_leave_nothing_behind(
    path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TOPICS_KEPT", 10)
    queue = Queue(path, Bounds(synchronous="normal"), clock)
    for number in range(100):
        queue.add([reading(number, f"t{number}")])
        topic, found = take(queue)
        forget(queue, topic, found)
    queue.flush()
    assert (len(queue._index.names), in_file(queue, "topic"), in_file(queue)) == (10, 10, 10)
    queue.close()
    monkeypatch.setattr(module, "TOPICS_KEPT", 5)
    queue = Queue(path, Bounds(synchronous="normal"), clock)
    queue.add([reading(0, "t97")])
    assert in_file(queue, "topic") == 5
    queue.add([reading(number, f"u{number}") for number in range(8)])
    for topic in queue.topics:
        if topic.name != "t97":
            forget(queue, topic, queue.take(topic, 10, 1000))
    # Those that are emptied and those that go, in one transaction; t97 has what kept its sequence still.
    queue.flush()
    assert (in_file(queue, "topic"), in_file(queue)) == (6, 7)
    assert drained(queue) == {"t97": [0]}
    queue.close()


def test_topics_of_others_keep_their_sequence_when_one_source_makes_names_without_end(
    path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TOPICS_KEPT", 10)
    queue = Queue(path, Bounds(synchronous="normal"), clock)
    for turn in range(2):
        ((_, sequence),) = [place for place in queue.add([of("calm", 1, "calm")]) if place]
        assert sequence == turn
        for number in range(50):
            queue.add([of("flood", number, f"t{turn}/{number}")])
        for topic in queue.topics:
            queue.forget(topic, queue.take(topic, 10, 1000))
        queue.flush()
        assert len(queue._index.names) == in_file(queue, "topic") == in_file(queue) == 10
    queue.close()


def test_of_two_sources_that_make_names_without_end_each_keeps_as_many(
    path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TOPICS_KEPT", 40)
    queue = Queue(path, Bounds(synchronous="normal"), clock)
    for source, count in (("a", 30), ("b", 25)):
        queue.add([of(source, number, f"{source}{number}") for number in range(count)])
    for topic in queue.topics:
        forget(queue, topic, queue.take(topic, 10, 1000))
    queue.flush()
    assert Counter(name[0] for name in queue._index.names) == {"a": 20, "b": 20}
    queue.close()
