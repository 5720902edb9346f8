"""The counts of dropped readings, by source and cause."""

import dataclasses
from pathlib import Path

from fleet_agent.config.telemetry import Queue as Bounds
from fleet_agent.telemetry.queue import Queue
from support.clock import DAY, FakeClock
from support.queues import of, take


def test_what_was_dropped_is_counted_for_ever(path: Path, clock: FakeClock) -> None:
    for start in range(0, 600, 200):
        queue = Queue(path, Bounds(max_messages=100, max_age=7 * DAY), clock)
        queue.add([of("flood", n, "t") for n in range(start, start + 200)])
        topic, found = take(queue, 3)
        queue.forget(topic, found[:2], "refused")
        queue.forget(topic, found[2:], "expired")
        queue.close()
    clock.go(8 * DAY)
    queue = Queue(path, Bounds(max_messages=100, max_age=7 * DAY), clock)
    queue.tidy()
    assert dataclasses.asdict(queue.dropped) == {
        "full": 100 + 2 * 197,
        "age": 97,
        "expired": 3,
        "refused": 6,
    }
    assert queue.most_dropped(5) == [("flood", queue.dropped)]
    assert queue.most_dropped(0) == []
    queue.close()


def test_what_was_dropped_stays_counted_in_the_file_that_replaces_a_damaged_one(
    path: Path, clock: FakeClock
) -> None:
    queue = Queue(path, Bounds(max_messages=3), clock)
    queue.add([of("a", number, "t") for number in range(5)])
    queue._file.close()
    path.write_bytes(b"what is this" * 1000)
    path.with_name("q-wal").unlink(missing_ok=True)
    queue.add([of("b", 7, "u")])
    assert queue.replaced
    for _ in range(2):
        assert (queue.count, queue.bytes, queue.dropped.full) == (1, 1, 2)
        assert queue.most_dropped(9) == [("a", queue.dropped)]
        queue.close()
        queue = Queue(path, Bounds(), clock)
    assert queue.add([of("a", 8, "u")])[0] == (queue.topics[0], 1)
    queue.close()


def test_who_lost_most_comes_first(path: Path, clock: FakeClock) -> None:
    queue = Queue(path, Bounds(), clock)
    for source, count in (("few", 1), ("", 2), ("none", 3), ("many", 4)):
        queue.add([of(source, number, f"t{source}") for number in range(count)])
        topic = queue.topics[-1]
        found = queue.take(topic, 10, 1000)
        queue.forget(topic, found, None if source == "none" else "refused")
    lost = [(name, dropped.refused) for name, dropped in queue.most_dropped(9)]
    assert lost == [("many", 4), ("others", 2), ("few", 1)]
    assert [name for name, _ in queue.most_dropped(2)] == ["many", "others"]
    queue.close()


def test_what_two_sources_lose_together_is_counted_for_each(path: Path, clock: FakeClock) -> None:
    queue = Queue(path, Bounds(), clock)
    queue.add([of("a", 1, "t"), of("b", 2, "t", size=10), of("a", 3, "t", size=100)])
    topic, found = take(queue)
    queue.forget(topic, found[:2], "refused")
    assert (queue.count, queue.bytes) == (1, 100)
    assert sorted((name, lost.refused) for name, lost in queue.most_dropped(9)) == [
        ("a", 1),
        ("b", 1),
    ]
    queue.give_back(topic, found[2:])
    queue.add([of("b", 4, "t", size=10), of("a", 5, "t", size=100), of("b", 6, "t", size=10)])
    queue.forget(*take(queue))
    assert (queue.count, queue.bytes) == (0, 0)
    queue.close()
