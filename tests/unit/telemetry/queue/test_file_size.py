"""The file stays small, and shrinks when it is emptied."""

import random
from pathlib import Path

from fleet_agent.config.telemetry import Queue as Bounds
from fleet_agent.telemetry.queue import Queue
from support.clock import FakeClock
from support.queues import drained, forget, reading, take


def test_the_file_stays_bounded_and_gives_its_space_back(path: Path, clock: FakeClock) -> None:
    queue = Queue(path, Bounds(max_bytes=4 << 20, synchronous="normal"), clock)
    chance = random.Random(7)
    largest = 0

    def size() -> int:
        return sum(each.stat().st_size for each in path.parent.iterdir())

    for step in range(400):
        topic = f"t{chance.randrange(20)}"
        queue.add([reading(n, topic, size=chance.choice([50, 200, 5000])) for n in range(30)])
        if step % 3 == 0:
            of, found = take(queue, 60)
            forget(queue, of, found)
        largest = max(largest, size())
    assert queue.dropped.full > 0
    assert largest < 3.5 * (4 << 20)  # log and half-filled pages included
    while queue.topics:
        of, found = take(queue)
        forget(queue, of, found)
    queue.flush()
    queue.tidy()
    assert size() < 1 << 20 or path.stat().st_size < 8 << 20
    queue.close()


def test_a_file_gives_its_space_back_though_readings_come_and_go(
    path: Path, clock: FakeClock
) -> None:
    queue = Queue(path, Bounds(synchronous="normal"), clock)
    for number in range(0, 3000, 100):
        queue.add([reading(number + n, size=5000) for n in range(100)])
    assert path.stat().st_size > 8 << 20
    while queue.topics:
        forget(queue, *take(queue))
    queue.add([reading(1)])
    forget(queue, *take(queue))
    queue.add([reading(2)])
    queue.tidy()
    assert path.stat().st_size < 1 << 20
    assert drained(queue) == {"t": [2]}
    queue.close()


def test_a_disk_that_takes_no_shorter_file_does_no_harm(path: Path, clock: FakeClock) -> None:
    queue = Queue(path, Bounds(synchronous="normal"), clock)
    queue.add([reading(number, size=9000) for number in range(1000)])
    queue.add([reading(1)])
    while queue.topics:
        forget(queue, *take(queue))
    queue.flush()
    queue._file.execute("PRAGMA query_only = ON")
    queue.tidy()
    queue._file.execute("PRAGMA query_only = OFF")
    assert path.stat().st_size > 8 << 20
    queue.tidy()
    assert path.stat().st_size < 1 << 20
    queue.close()
