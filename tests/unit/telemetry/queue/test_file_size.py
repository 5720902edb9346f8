"""The file stays small, and shrinks when it is emptied."""

import random
from pathlib import Path

from support.queues import OpenQueue, drained, forget, reading, send_all, take


def test_the_file_stays_bounded_and_shrinks_when_it_is_emptied(
    open_queue: OpenQueue, path: Path
) -> None:
    queue = open_queue(max_bytes=4 << 20, synchronous="normal")
    chance = random.Random(7)
    largest = 0

    def size() -> int:
        return sum(each.stat().st_size for each in path.parent.iterdir())

    for step in range(400):
        topic = f"t{chance.randrange(20)}"
        queue.add([reading(n, topic, size=chance.choice([50, 200, 5000])) for n in range(30)])
        if step % 3 == 0:
            forget(queue, *take(queue, 60))
        largest = max(largest, size())
    assert queue.dropped.full > 0
    assert largest < 3.5 * (4 << 20)  # log and half-filled pages included
    send_all(queue)
    queue.flush()
    queue.tidy()
    assert size() < 1 << 20 or path.stat().st_size < 8 << 20


def test_a_file_shrinks_although_readings_come_and_go(open_queue: OpenQueue, path: Path) -> None:
    queue = open_queue(synchronous="normal")
    for number in range(0, 3000, 100):
        queue.add([reading(number + n, size=5000) for n in range(100)])
    assert path.stat().st_size > 8 << 20
    send_all(queue)
    queue.add([reading(1)])
    forget(queue, *take(queue))
    queue.add([reading(2)])
    queue.tidy()
    assert path.stat().st_size < 1 << 20
    assert drained(queue) == {"t": [2]}


def test_a_file_that_cannot_be_shrunk_is_shrunk_later(open_queue: OpenQueue, path: Path) -> None:
    queue = open_queue(synchronous="normal")
    queue.add([reading(number, size=9000) for number in range(1000)])
    queue.add([reading(1)])
    send_all(queue)
    queue.flush()
    queue._file.execute("PRAGMA query_only = ON")
    queue.tidy()
    queue._file.execute("PRAGMA query_only = OFF")
    assert path.stat().st_size > 8 << 20
    queue.tidy()
    assert path.stat().st_size < 1 << 20
