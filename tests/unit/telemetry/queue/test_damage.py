"""A file that is damaged, makes no sense, is no file, or was removed."""

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from fleet_agent.clock import SystemClock
from fleet_agent.config.telemetry import Queue as Bounds
from fleet_agent.telemetry.queue import Queue
from support.clock import FakeClock
from support.queues import (
    drained,
    forget,
    numbers,
    reading,
    take,
)


def broken(path: Path) -> None:
    """Overwrite the middle of the file."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 4)
        file.write(b"\xa5" * (size // 2))


def test_a_damaged_file_is_set_aside_and_named_when_it_is_opened(
    full_file: Path, clock: FakeClock
) -> None:
    broken(full_file)
    queue = Queue(full_file, Bounds(), clock)
    assert queue.replaced is not None
    assert queue.replaced[0] == full_file.with_name("q.damaged-1")
    assert queue.replaced[0].stat().st_size > 100_000
    assert queue.count == 0
    queue.add([reading(1)])
    assert drained(queue) == {"t": [1]}
    queue.close()


def test_damage_while_it_runs_leaves_no_count_wrong(full_file: Path, clock: FakeClock) -> None:
    queue = Queue(full_file, Bounds(), clock)
    topic, flying = take(queue, 5)
    _, given = take(queue, 5)
    queue._file._connected.execute("PRAGMA shrink_memory")
    queue._file._connected.execute("PRAGMA cache_size = 1")
    broken(full_file)
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
    queue.close()


@pytest.mark.parametrize("is_open", [False, True])
@pytest.mark.parametrize(
    "what",
    [
        "UPDATE topic SET id = 9",
        "UPDATE topic SET name = x'74'",
        "UPDATE topic SET name = cast(x'ff' AS TEXT)",
        "DELETE FROM source",
        "UPDATE source SET name = x'05'",
        "UPDATE source SET full = 'many'",
        "DROP TABLE era",
        "DROP TABLE topic",
        "ALTER TABLE reading DROP COLUMN lifetime",
        "UPDATE reading SET source = 77",
        "UPDATE reading SET source = x'00'",
        "UPDATE reading SET era = 'now'",
        "UPDATE reading SET moment = 1e300",
        "UPDATE reading SET priority = x'01'",
        "UPDATE reading SET type = 3",
        "UPDATE reading SET type = -1",
        "UPDATE reading SET payload = cast(payload AS TEXT)",
        "UPDATE reading SET payload = substr(payload, 2)",
        "UPDATE reading SET sizes = x'01'",
        "UPDATE reading SET sizes = 5",
        "DELETE FROM reading WHERE id & 255 = 26",
    ],
)
def test_a_file_that_makes_no_sense_is_damaged(
    full_file: Path, clock: FakeClock, what: str, *, is_open: bool
) -> None:
    queue = Queue(full_file, Bounds(), clock)
    if not is_open:
        queue.close()
        with contextlib.closing(sqlite3.connect(full_file, isolation_level=None)) as other:
            other.execute(what)
        queue = Queue(full_file, Bounds(), clock)
        shows_late = (
            "ALTER TABLE",
            "DELETE FROM reading",
            "UPDATE reading SET type",
            "UPDATE reading SET payload = cast",
        )
        assert bool(queue.replaced) is not what.startswith(shows_late)
        if what.startswith("DELETE FROM reading"):
            # Readings that AWS has are missing, too.
            assert queue.count == 487
            queue.close()
            return
    else:
        queue._file._connected.execute(what)
    while queue.topics:
        forget(queue, *take(queue))
    # What is in memory does not notice the names' loss; the next start does.
    assert queue.replaced or (is_open and "reading" not in what)
    queue.add([reading(1), reading(2)])
    assert drained(queue) == {"t": [1, 2]}
    assert queue.count == 2
    queue.close()


@pytest.mark.parametrize(
    "what", ["boot = x'05'", "last = 'late'", "offset = 'far'", "last = 1e300"]
)
def test_a_boot_that_makes_no_sense_is_none(full_file: Path, clock: FakeClock, what: str) -> None:
    with contextlib.closing(sqlite3.connect(full_file, isolation_level=None)) as other:
        other.execute(f"UPDATE era SET {what}")
    with contextlib.closing(Queue(full_file, Bounds(), clock)) as queue:
        assert queue.replaced is None
        topic, found = take(queue)
        assert len(found) == 500
        # Another boot's, for all that is known.
        assert {queue.ages.age(each.era, each.moment) for each in found} == {0.0}
        queue.forget(topic, found)
        assert queue.add([reading(1)])


def test_a_file_that_is_no_database_is_set_aside_and_only_two_are_kept(
    path: Path, clock: FakeClock
) -> None:
    for _ in range(5):
        path.write_bytes(b"what is this" * 1000)
        queue = Queue(path, Bounds(), clock)
        queue.add([reading(1)])
        queue.close()
        path.unlink()
    assert sorted(each.name for each in path.parent.iterdir()) == ["q.damaged-4", "q.damaged-5"]


@pytest.mark.parametrize("beside", ["", "-wal", "-journal"])
@pytest.mark.parametrize(
    "make", [os.mkfifo, Path.mkdir, lambda place: place.symlink_to("nowhere/at/all")]
)
def test_what_is_no_file_is_set_aside_like_a_damaged_one(
    path: Path, clock: FakeClock, make: Callable[[Path], None], beside: str
) -> None:
    """SQLite waits at a FIFO for ever; the agent ended, and systemd started it again, for ever too."""
    if beside:
        Queue(path, Bounds(), clock).close()
    for number in range(1, 5):
        in_the_way = path.with_name(path.name + beside)
        in_the_way.unlink(missing_ok=True)
        make(in_the_way)
        queue = Queue(path, Bounds(), clock)
        assert queue.add([reading(1)]) != [None]
        assert queue.replaced is not None
        assert queue.replaced == (
            path.with_name(f"q.damaged-{number}"),
            f"q{beside} is not a regular file",
        )
        assert os.path.lexists(f"{queue.replaced[0]}{beside}")
        queue.close()


def _remove(*names: str) -> Callable[[Path], object]:
    def remove(folder: Path) -> bool:
        for name in names:
            (folder / f"q{name}").unlink()
        return True

    return remove


@pytest.mark.parametrize(
    "happens",
    [
        _remove("", "-wal"),
        _remove(""),
        _remove("-wal"),
        lambda folder: (folder / "q").rename(folder / "old"),
        lambda folder: _remove("", "-wal")(folder) and (folder / "q").write_bytes(b"x" * 5000),
        lambda folder: _remove("")(folder) and (folder / "q").mkdir(),
    ],
)
def test_a_file_that_somebody_removed_is_put_back_with_all_that_was_taken(
    tmp_path: Path, happens: Callable[[Path], object]
) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    bounds, now = Bounds(), SystemClock().wall()
    with contextlib.closing(Queue(folder / "q", bounds, SystemClock())) as queue:
        queue.add([reading(number, time=now) for number in range(3)])
        topic, found = take(queue, 1)
        happens(folder)
        queue.add([reading(number, time=now) for number in (3, 4)])
        shutil.copytree(folder, tmp_path / "after")
        with contextlib.closing(
            Queue(tmp_path / "after" / "q", bounds, SystemClock())
        ) as next_one:
            assert drained(next_one) == {"t": [0, 1, 2, 3, 4]}
        assert numbers(found) == [0]
        queue.forget(topic, found)
        assert drained(queue) == {"t": [1, 2, 3, 4]}
        # Once.
        before = sorted(path.name for path in folder.iterdir())
        queue.add([reading(5, time=now)])
        assert sorted(path.name for path in folder.iterdir()) == before
