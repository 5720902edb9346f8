"""What is written to the file, when, and how durably."""

from pathlib import Path
from typing import Literal

import pytest

from fleet_agent.config.telemetry import Queue as Bounds
from fleet_agent.telemetry.queue import Queue
from support.clock import FakeClock
from support.queues import forget, in_file, of, reading, take, traced


def test_a_commit_writes_what_is_new_and_no_more(path: Path, clock: FakeClock) -> None:
    queue = Queue(path, Bounds(synchronous="normal"), clock)
    queue.add([of("a", 1, "t")])
    for first in ([], ["PRAGMA synchronous = normal"]):
        statements = traced(queue)
        for _ in range(2):
            queue.add([of("a", 2, "t")])
            queue.tidy()
        written = [
            statement.split("(")[0]
            for statement in statements
            if not statement.startswith("SELECT")
        ]
        assert written == [*first, *["BEGIN IMMEDIATE", "INSERT INTO reading", "COMMIT"] * 2]
        # After a restart within the same boot, too.
        queue.close()
        queue = Queue(path, Bounds(synchronous="normal"), clock)
    queue.close()


@pytest.mark.parametrize(("synchronous", "stored"), [("full", 2), ("normal", 1)])
def test_a_reading_is_as_durable_as_is_wanted_and_its_deletion_costs_no_sync(
    path: Path, clock: FakeClock, synchronous: Literal["full", "normal"], stored: int
) -> None:
    queue = Queue(path, Bounds(synchronous=synchronous), clock)

    def sync() -> list[tuple[int]]:
        return queue._file.execute("PRAGMA synchronous").fetchall()

    for _ in range(2):
        queue.add([reading(1)])
        assert sync() == [(stored,)]
        forget(queue, *take(queue))
        queue.flush()
        assert sync() == [(1,)]
        queue.add([reading(1)])
        queue._file.close()  # as after damage: the next connection knows nothing of it
        assert in_file(queue)
        forget(queue, *take(queue))
    queue.close()


def test_a_sent_reading_leaves_no_row_behind_but_its_topics_last(
    path: Path, clock: FakeClock
) -> None:
    queue = Queue(path, Bounds(), clock)
    for turn in range(3):
        queue.add([reading(number) for number in range(3)])
        # The row that kept the sequence over the restart goes with the next that is deleted.
        assert in_file(queue) == (4 if turn == 2 else 3)
        topic, found = take(queue)
        queue.forget(topic, found[:1])
        queue.flush()
        assert in_file(queue) == 2
        queue.forget(topic, found[1:])
        if turn == 1:
            queue.flush()
            assert in_file(queue) == 1
            queue.close()
            queue = Queue(path, Bounds(), clock)
    queue.flush()
    assert in_file(queue) == 1
    assert queue.add([reading(0)])[0] == (queue.topics[0], 9)
    queue.close()


def test_what_is_acknowledged_one_by_one_is_deleted_together(path: Path, clock: FakeClock) -> None:
    queue = Queue(path, Bounds(), clock)
    queue.add([reading(number, topic) for topic in "ab" for number in range(50)])
    for topic in queue.topics:
        forget(queue, topic, queue.take(topic, 49, 10_000))
    statements = traced(queue)
    queue.flush()
    assert (
        len([each for each in statements if each.startswith("DELETE FROM reading WHERE id >=")])
        == 2
    )
    assert in_file(queue) == 2
    queue.close()
