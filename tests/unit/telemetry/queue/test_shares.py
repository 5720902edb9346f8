"""A full queue drops readings of the source that has the most."""

from pathlib import Path

import pytest

from fleet_agent.config.telemetry import Queue as Bounds
from fleet_agent.telemetry import index
from fleet_agent.telemetry.queue import Queue
from support.clock import FakeClock
from support.queues import drained, of, runs_of


def test_a_flood_takes_the_room_of_whoever_makes_it(path: Path, clock: FakeClock) -> None:
    queue = Queue(path, Bounds(max_messages=100), clock)
    queue.add([of("system", n, "system") for n in range(30)])
    queue.add([of("flood", n, f"flood/{n}", priority=2) for n in range(300)])
    queue.add([of("shared", n, "shared") for n in range(10)])
    found = drained(queue)
    assert found["system"] == list(range(30))
    assert found["shared"] == list(range(10))
    assert sorted(found) == ["flood/" + str(n) for n in range(240, 300)] + ["shared", "system"]
    assert queue.dropped.full == 240
    queue.close()


def test_a_flood_of_bytes_takes_them_of_whoever_makes_it(path: Path, clock: FakeClock) -> None:
    queue = Queue(path, Bounds(max_bytes=1 << 20), clock)
    queue.add([of("many", n, "many", size=10) for n in range(5000)])
    queue.add([of("large", n, "large", size=50_000) for n in range(50)])
    found = drained(queue)
    assert len(found["many"]) == 5000
    assert found["large"] == list(range(50 - len(found["large"]), 50))
    queue.close()


def test_of_a_topic_that_two_write_to_only_the_readings_of_the_greedy_go(
    path: Path, clock: FakeClock
) -> None:
    queue = Queue(path, Bounds(max_messages=100), clock)
    for n in range(0, 300, 3):
        queue.add([of("calm", n, "t")] if n < 60 else [])
        queue.add([of("greedy", n + 1, "t"), of("greedy", n + 2, "t")])
    found = drained(queue)["t"]
    assert found == sorted(found)
    assert [n for n in found if n % 3 == 0] == list(range(0, 60, 3))
    assert len(found) == 100
    queue.close()


def test_the_greediest_is_who_has_most_bytes_now(path: Path, clock: FakeClock) -> None:
    queue = Queue(path, Bounds(max_bytes=1 << 20, synchronous="normal"), clock)
    for number in range(6):
        queue.add([of("x", number, "x", size=100_000)])
    queue.add([of("y", number, "y", size=150_000) for number in range(3)])
    (x, y) = queue.topics
    assert [len(runs_of(topic)) for topic in (x, y)] == [5, 3]
    queue.forget(x, queue.take(x, 4, 1 << 20))
    queue.add([of("y", 3, "y", size=500_000)])
    assert [len(runs_of(topic)) for topic in (x, y)] == [1, 3]
    queue.close()


def test_sources_without_end_share_what_the_nameless_one_has(
    path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "SOURCES_KEPT", 3)
    queue = Queue(path, Bounds(max_messages=6), clock)
    for source in ("a", "b", "c", "d"):
        queue.add([of(source, number, source) for number in range(2)])
    # Those of the last two together are the most.
    assert [(name, lost.full) for name, lost in queue.most_dropped(5)] == [("others", 2)]
    assert drained(queue) == {"a": [0, 1], "b": [0, 1], "d": [0, 1]}
    queue.close()
