"""The topics whose sequence goes on though none of their readings waits."""

from collections import Counter

import pytest

from fleet_agent.telemetry import queue as module
from support.queues import OpenQueue, drained, forget, in_file, reading, reading_of, take


def test_topics_without_end_do_not_pile_up(
    open_queue: OpenQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TOPICS_KEPT", 10)
    queue = open_queue(synchronous="normal")
    for number in range(100):
        queue.add([reading(number, f"t{number}")])
        topic, found = take(queue)
        forget(queue, topic, found)
    queue.flush()
    assert (len(queue._index.names), in_file(queue, "topic"), in_file(queue)) == (10, 10, 10)
    queue.close()
    monkeypatch.setattr(module, "TOPICS_KEPT", 5)
    queue = open_queue(synchronous="normal")
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


def test_topics_keep_their_sequence_while_another_source_makes_topics_without_end(
    open_queue: OpenQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TOPICS_KEPT", 10)
    queue = open_queue(synchronous="normal")
    for turn in range(2):
        ((_, sequence),) = [place for place in queue.add([reading_of("calm", 1, "calm")]) if place]
        assert sequence == turn
        for number in range(50):
            queue.add([reading_of("flood", number, f"t{turn}/{number}")])
        for topic in queue.topics:
            queue.forget(topic, queue.take(topic, 10, 1000))
        queue.flush()
        assert len(queue._index.names) == in_file(queue, "topic") == in_file(queue) == 10


def test_two_sources_that_make_topics_without_end_keep_equally_many(
    open_queue: OpenQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TOPICS_KEPT", 40)
    queue = open_queue(synchronous="normal")
    for source, count in (("a", 30), ("b", 25)):
        queue.add([reading_of(source, number, f"{source}{number}") for number in range(count)])
    for topic in queue.topics:
        forget(queue, topic, queue.take(topic, 10, 1000))
    queue.flush()
    assert Counter(name[0] for name in queue._index.names) == {"a": 20, "b": 20}
