"""The counts of dropped readings, by source and cause."""

import dataclasses
from pathlib import Path

from support.clock import DAY, FakeClock
from support.queues import OpenQueue, reading_of, take


def test_dropped_readings_stay_counted_over_restarts(
    open_queue: OpenQueue, clock: FakeClock
) -> None:
    for start in range(0, 600, 200):
        queue = open_queue(max_messages=100, max_age=7 * DAY)
        queue.add([reading_of("flood", n, "t") for n in range(start, start + 200)])
        topic, found = take(queue, 3)
        queue.forget(topic, found[:2], "refused")
        queue.forget(topic, found[2:], "expired")
        queue.close()
    clock.go(8 * DAY)
    queue = open_queue(max_messages=100, max_age=7 * DAY)
    queue.tidy()
    assert dataclasses.asdict(queue.dropped) == {
        "full": 100 + 2 * 197,
        "age": 97,
        "expired": 3,
        "refused": 6,
    }
    assert queue.most_dropped(5) == [("flood", queue.dropped)]
    assert queue.most_dropped(0) == []


def test_dropped_readings_stay_counted_when_a_damaged_file_is_replaced(
    open_queue: OpenQueue, path: Path
) -> None:
    queue = open_queue(max_messages=3)
    queue.add([reading_of("a", number, "t") for number in range(5)])
    queue._file.close()
    path.write_bytes(b"what is this" * 1000)
    path.with_name("q-wal").unlink(missing_ok=True)
    queue.add([reading_of("b", 7, "u")])
    assert queue.replaced
    for _ in range(2):
        assert (queue.count, queue.bytes, queue.dropped.full) == (1, 1, 2)
        assert queue.most_dropped(9) == [("a", queue.dropped)]
        queue.close()
        queue = open_queue()
    assert queue.add([reading_of("a", 8, "u")])[0] == (queue.topics[0], 1)


def test_the_source_that_lost_the_most_comes_first(open_queue: OpenQueue) -> None:
    queue = open_queue()
    for source, count in (("few", 1), ("", 2), ("none", 3), ("many", 4)):
        queue.add([reading_of(source, number, f"t{source}") for number in range(count)])
        topic = queue.topics[-1]
        found = queue.take(topic, 10, 1000)
        queue.forget(topic, found, None if source == "none" else "refused")
    lost = [(name, dropped.refused) for name, dropped in queue.most_dropped(9)]
    assert lost == [("many", 4), ("others", 2), ("few", 1)]
    assert [name for name, _ in queue.most_dropped(2)] == ["many", "others"]


def test_readings_that_two_sources_lose_together_are_counted_for_each(
    open_queue: OpenQueue,
) -> None:
    queue = open_queue()
    queue.add(
        [
            reading_of("a", 1, "t"),
            reading_of("b", 2, "t", size=10),
            reading_of("a", 3, "t", size=100),
        ]
    )
    topic, found = take(queue)
    queue.forget(topic, found[:2], "refused")
    assert (queue.count, queue.bytes) == (1, 100)
    assert sorted((name, lost.refused) for name, lost in queue.most_dropped(9)) == [
        ("a", 1),
        ("b", 1),
    ]
    queue.give_back(topic, found[2:])
    queue.add(
        [
            reading_of("b", 4, "t", size=10),
            reading_of("a", 5, "t", size=100),
            reading_of("b", 6, "t", size=10),
        ]
    )
    queue.forget(*take(queue))
    assert (queue.count, queue.bytes) == (0, 0)
