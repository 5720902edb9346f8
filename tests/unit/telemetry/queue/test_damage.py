"""A file that is damaged, makes no sense, or is not a regular file is set aside and replaced."""

import contextlib
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from fleet_agent.telemetry.queue import Queue
from support.queues import OpenQueue, drained, forget, reading, send_all, take


def break_file(path: Path) -> None:
    """Overwrites the middle of the file."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 4)
        file.write(b"\xa5" * (size // 2))


def test_a_damaged_file_is_set_aside_when_it_is_opened(
    open_queue: OpenQueue, full_file: Path
) -> None:
    break_file(full_file)
    queue = open_queue()
    assert queue.replaced is not None
    assert queue.replaced[0] == full_file.with_name("q.damaged-1")
    assert queue.replaced[0].stat().st_size > 100_000
    assert queue.count == 0
    queue.add([reading(1)])
    assert drained(queue) == {"t": [1]}


def test_damage_while_the_queue_is_open_leaves_the_counts_right(
    open_queue: OpenQueue, full_file: Path
) -> None:
    queue = open_queue()
    topic, flying = take(queue, 5)
    _, given = take(queue, 5)
    queue._file._connected.execute("PRAGMA shrink_memory")
    queue._file._connected.execute("PRAGMA cache_size = 1")
    break_file(full_file)
    while not queue.replaced:
        take(queue, 100)
    assert (queue.count, queue.bytes, queue.topics) == (0, 0, [])
    assert queue.oldest() is None
    places = queue.add([reading(1), reading(2)])
    # A subscriber sees no number twice.
    assert [place and place[1] for place in places] == [500, 501]
    forget(queue, topic, flying)
    queue.give_back(topic, given)
    assert (queue.count, queue.bytes) == (2, 2)
    queue.flush()
    assert drained(queue) == {"t": [1, 2]}


# Tables that are read when the file is opened, and kept in memory from then on.
NAMES = [
    "UPDATE topic SET id = 9",
    "UPDATE topic SET name = x'74'",
    "UPDATE topic SET name = cast(x'ff' AS TEXT)",
    "DELETE FROM source",
    "UPDATE source SET name = x'05'",
    "UPDATE source SET full = 'many'",
    "DROP TABLE era",
    "DROP TABLE topic",
]
# Columns that are looked at when the file is opened, and those that are not.
LOOKED_AT = [
    "UPDATE reading SET source = 77",
    "UPDATE reading SET source = x'00'",
    "UPDATE reading SET era = 'now'",
    "UPDATE reading SET moment = 1e300",
    "UPDATE reading SET priority = x'01'",
    "UPDATE reading SET payload = substr(payload, 2)",
    "UPDATE reading SET sizes = x'01'",
    "UPDATE reading SET sizes = 5",
]
NOT_LOOKED_AT = [
    "ALTER TABLE reading DROP COLUMN lifetime",
    "UPDATE reading SET type = 3",
    "UPDATE reading SET type = -1",
    "UPDATE reading SET payload = cast(payload AS TEXT)",
]
MISSING = "DELETE FROM reading WHERE id & 255 = 26"


def change(path: Path, statement: str) -> None:
    """Changes a file that no queue has open."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute(statement)


def assert_works(queue: Queue) -> None:
    """Whatever was in it: it takes readings, and gives them back."""
    queue.add([reading(1), reading(2)])
    assert drained(queue) == {"t": [1, 2]}
    assert queue.count == 2


@pytest.mark.parametrize("statement", [*NAMES, *LOOKED_AT])
def test_a_file_that_makes_no_sense_is_replaced_when_it_is_opened(
    open_queue: OpenQueue, full_file: Path, statement: str
) -> None:
    change(full_file, statement)
    queue = open_queue()
    assert queue.replaced
    assert_works(queue)


@pytest.mark.parametrize("statement", NOT_LOOKED_AT)
def test_readings_that_make_no_sense_are_found_when_they_are_read(
    open_queue: OpenQueue, full_file: Path, statement: str
) -> None:
    change(full_file, statement)
    queue = open_queue()
    is_found_at_once = bool(queue.replaced)
    send_all(queue)
    assert (is_found_at_once, bool(queue.replaced)) == (False, True)
    assert_works(queue)


@pytest.mark.usefixtures("full_file")
@pytest.mark.parametrize("statement", [*NAMES, *LOOKED_AT, *NOT_LOOKED_AT, MISSING])
def test_a_file_that_no_longer_makes_sense_is_replaced_when_readings_are_read(
    open_queue: OpenQueue, statement: str
) -> None:
    queue = open_queue()
    queue._file._connected.execute(statement)
    send_all(queue)
    # What is in memory does not notice that names are gone; the next start does.
    assert queue.replaced or statement in NAMES
    assert_works(queue)


def test_readings_that_are_missing_when_the_file_is_opened_are_no_damage(
    open_queue: OpenQueue, full_file: Path
) -> None:
    """Readings that AWS has are missing, too."""
    change(full_file, MISSING)
    queue = open_queue()
    assert not queue.replaced
    assert queue.count == 487


@pytest.mark.parametrize(
    "assignment", ["boot = x'05'", "last = 'late'", "offset = 'far'", "last = 1e300"]
)
def test_a_boot_that_makes_no_sense_is_ignored(
    open_queue: OpenQueue, full_file: Path, assignment: str
) -> None:
    change(full_file, f"UPDATE era SET {assignment}")
    queue = open_queue()
    assert queue.replaced is None
    topic, found = take(queue)
    assert len(found) == 500
    # Another boot's, for all that is known.
    assert {queue.ages.age(each.era, each.moment) for each in found} == {0.0}
    queue.forget(topic, found)
    assert queue.add([reading(1)])


def test_of_files_that_are_not_databases_only_the_last_two_are_kept(
    open_queue: OpenQueue, path: Path
) -> None:
    for _ in range(5):
        path.write_bytes(b"what is this" * 1000)
        queue = open_queue()
        queue.add([reading(1)])
        queue.close()
        path.unlink()
    assert sorted(each.name for each in path.parent.iterdir()) == ["q.damaged-4", "q.damaged-5"]


@pytest.mark.parametrize("beside", ["", "-wal", "-journal"])
@pytest.mark.parametrize(
    "make", [os.mkfifo, Path.mkdir, lambda place: place.symlink_to("nowhere/at/all")]
)
def test_what_is_not_a_regular_file_is_set_aside(
    open_queue: OpenQueue, path: Path, make: Callable[[Path], None], beside: str
) -> None:
    """SQLite waits at a FIFO for ever; the agent ended, and systemd started it again, for ever too."""
    if beside:
        open_queue().close()
    for number in range(1, 5):
        in_the_way = path.with_name(path.name + beside)
        in_the_way.unlink(missing_ok=True)
        make(in_the_way)
        queue = open_queue()
        assert queue.add([reading(1)]) != [None]
        assert queue.replaced is not None
        assert queue.replaced == (
            path.with_name(f"q.damaged-{number}"),
            f"q{beside} is not a regular file",
        )
        assert os.path.lexists(f"{queue.replaced[0]}{beside}")
        queue.close()
