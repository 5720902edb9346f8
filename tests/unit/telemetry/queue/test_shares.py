"""A full queue drops readings of the source that has the most."""

import pytest

from fleet_agent.telemetry import index
from support.queues import OpenQueue, drained, reading_of, unsent_of


def test_a_flood_pushes_out_only_readings_of_its_own_source(open_queue: OpenQueue) -> None:
    queue = open_queue(max_messages=100)
    queue.add([reading_of("system", n, "system") for n in range(30)])
    queue.add([reading_of("flood", n, f"flood/{n}", priority=2) for n in range(300)])
    queue.add([reading_of("shared", n, "shared") for n in range(10)])
    found = drained(queue)
    assert found["system"] == list(range(30))
    assert found["shared"] == list(range(10))
    assert sorted(found) == ["flood/" + str(n) for n in range(240, 300)] + ["shared", "system"]
    assert queue.dropped.full == 240


def test_a_flood_of_bytes_pushes_out_only_readings_of_its_own_source(
    open_queue: OpenQueue,
) -> None:
    queue = open_queue(max_bytes=1 << 20)
    queue.add([reading_of("many", n, "many", size=10) for n in range(5000)])
    queue.add([reading_of("large", n, "large", size=50_000) for n in range(50)])
    found = drained(queue)
    assert len(found["many"]) == 5000
    assert found["large"] == list(range(50 - len(found["large"]), 50))


def test_of_a_shared_topic_only_the_readings_of_the_greedy_source_are_dropped(
    open_queue: OpenQueue,
) -> None:
    queue = open_queue(max_messages=100)
    for n in range(0, 300, 3):
        queue.add([reading_of("calm", n, "t")] if n < 60 else [])
        queue.add([reading_of("greedy", n + 1, "t"), reading_of("greedy", n + 2, "t")])
    found = drained(queue)["t"]
    assert found == sorted(found)
    assert [n for n in found if n % 3 == 0] == list(range(0, 60, 3))
    assert len(found) == 100


def test_the_greediest_source_is_the_one_with_the_most_bytes_now(open_queue: OpenQueue) -> None:
    queue = open_queue(max_bytes=1 << 20, synchronous="normal")
    for number in range(6):
        queue.add([reading_of("x", number, "x", size=100_000)])
    queue.add([reading_of("y", number, "y", size=150_000) for number in range(3)])
    (x, y) = queue.topics
    assert [len(unsent_of(topic)) for topic in (x, y)] == [5, 3]
    queue.forget(x, queue.take(x, 4, 1 << 20))
    queue.add([reading_of("y", 3, "y", size=500_000)])
    assert [len(unsent_of(topic)) for topic in (x, y)] == [1, 3]


def test_sources_beyond_those_kept_count_as_others(
    open_queue: OpenQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "SOURCES_KEPT", 3)
    queue = open_queue(max_messages=6)
    for source in ("a", "b", "c", "d"):
        queue.add([reading_of(source, number, source) for number in range(2)])
    # Those of the last two together are the most.
    assert [(name, lost.full) for name, lost in queue.most_dropped(5)] == [("others", 2)]
    assert drained(queue) == {"a": [0, 1], "b": [0, 1], "d": [0, 1]}
