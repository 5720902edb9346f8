"""What is written to the file, when, and how durably."""

from typing import Literal

import pytest

from support.queues import OpenQueue, forget, in_file, reading, reading_of, take, traced


def test_a_commit_writes_only_what_is_new(open_queue: OpenQueue) -> None:
    queue = open_queue(synchronous="normal")
    queue.add([reading_of("a", 1, "t")])
    for first in ([], ["PRAGMA synchronous = normal"]):
        statements = traced(queue)
        for _ in range(2):
            queue.add([reading_of("a", 2, "t")])
            queue.tidy()
        written = [
            statement.split("(")[0]
            for statement in statements
            if not statement.startswith("SELECT")
        ]
        assert written == [*first, *["BEGIN IMMEDIATE", "INSERT INTO reading", "COMMIT"] * 2]
        # After a restart within the same boot, too.
        queue.close()
        queue = open_queue(synchronous="normal")


@pytest.mark.parametrize(("synchronous", "stored"), [("full", 2), ("normal", 1)])
def test_readings_are_as_durable_as_configured_and_deleting_them_costs_no_sync(
    open_queue: OpenQueue, synchronous: Literal["full", "normal"], stored: int
) -> None:
    queue = open_queue(synchronous=synchronous)

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


def test_a_sent_reading_leaves_no_row_but_the_last_of_its_topic(open_queue: OpenQueue) -> None:
    queue = open_queue()
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
            queue = open_queue()
    queue.flush()
    assert in_file(queue) == 1
    # The sequence goes on.
    assert queue.add([reading(0)])[0] == (queue.topics[0], 9)


def test_readings_acknowledged_one_by_one_are_deleted_together(open_queue: OpenQueue) -> None:
    queue = open_queue()
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
