"""Opening the file: alone, in the watchdog's time, and what an older version left in it."""

import contextlib
import socket
import sqlite3
from pathlib import Path

import pytest

from fleet_agent.clock import SystemClock
from fleet_agent.errors import StateDirectoryError
from support.clock import DAY, FakeClock
from support.queues import OpenQueue, drained, reading, reading_of, take


def test_the_file_is_private_and_open_in_one_process_alone(
    open_queue: OpenQueue, path: Path
) -> None:
    queue = open_queue()
    assert path.stat().st_mode & 0o777 == 0o600
    queue.close()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        began = SystemClock().monotonic()
        with pytest.raises(StateDirectoryError) as caught:
            open_queue()
        # The deciding thread waits for nobody.
        assert SystemClock().monotonic() - began < 3
    assert caught.value.code == "queue-ebusy"


def test_the_watchdog_waits_longer_while_a_large_file_is_read(
    open_queue: OpenQueue, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that takes longer than the watchdog gives was begun again at each start, for ever."""
    with contextlib.closing(open_queue()) as queue:
        queue.add([reading(number, size=9000) for number in range(1000)])
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        place = str(path.with_name("systemd"))
        systemd.bind(place)
        systemd.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", place)
        monkeypatch.setenv("WATCHDOG_USEC", "60000000")
        queue = open_queue()
        queue._file._check()
        for _ in range(2):
            longer, before = systemd.recv(100), systemd.recv(100)
            assert int(longer.split()[0].removeprefix(b"WATCHDOG_USEC=")) > 68_000_000
            assert before == b"WATCHDOG_USEC=60000000\nWATCHDOG=1"
        queue.close()


def test_a_file_that_is_opened_again_has_the_same_readings(open_queue: OpenQueue) -> None:
    queue = open_queue(max_messages=100)
    queue.add(
        [reading_of("one", n, "t") for n in range(60)]
        + [reading_of("two", n, "u") for n in range(60)]
    )
    assert queue.dropped.full == 20
    queue.flush()
    topic, flying = take(queue, 5)
    queue._file.close()  # as when a page could not be read
    queue.add([reading_of("one", 60, "t")])
    assert queue.replaced is None
    queue.forget(topic, flying)
    queue.give_back(topic, flying)
    assert (queue.count, queue.dropped.full) == (100, 21)
    found = drained(queue)
    assert found["u"] == list(range(60 - len(found["u"]), 60))
    assert found["t"] == list(range(61 - len(found["t"]), 61))


def test_a_file_of_an_unknown_version_is_set_aside(open_queue: OpenQueue, full_file: Path) -> None:
    with contextlib.closing(sqlite3.connect(full_file)) as other:
        other.execute("PRAGMA user_version = 99")
    queue = open_queue()
    assert queue.replaced is not None
    assert "made by another version, 99" in queue.replaced[1]
    assert queue.count == 0
    queue.close()
    with contextlib.closing(sqlite3.connect(queue.replaced[0])) as other:
        assert other.execute("SELECT sum(length(sizes) / 2) FROM reading").fetchone() == (500,)


_VERSION_1 = """
CREATE TABLE topic(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE reading(id INTEGER PRIMARY KEY, time REAL, expires REAL, priority INTEGER, type INTEGER, payload BLOB);
INSERT INTO topic VALUES(1, 'a'), (2, 'b');
PRAGMA user_version = 1;
"""


def test_readings_of_version_1_are_sent(
    open_queue: OpenQueue, path: Path, clock: FakeClock
) -> None:
    now = clock.wall()
    with contextlib.closing(sqlite3.connect(path)) as old:
        old.executescript(_VERSION_1)
        old.executemany(
            "INSERT INTO reading VALUES(?, ?, ?, ?, 0, ?)",
            [
                ((1 << 40) + 7, now - 3 * DAY, None, 1, b"1"),
                ((1 << 40) + 8, now - 100, now + 200, 2, b"2"),
                ((1 << 40) + 9, 60.0, 160.0, 1, b"3"),  # before the clock was set
                ((2 << 40) + 4, now - 5, None, 1, None),  # keeps the sequence
            ],
        )
        old.commit()
    queue = open_queue(max_age=2 * DAY)
    assert (queue.replaced, queue.count, queue.bytes) == (None, 3, 3)
    queue.tidy()
    assert queue.dropped.age == 1
    topic, found = take(queue)
    assert (topic.name, [each.sequence for each in found]) == ("a", [8, 9])
    left = [queue.ages.left(each.era, each.moment, each.lifetime) for each in found]
    assert left[0] == pytest.approx(200, abs=0.1)
    assert left[1] == 100  # it does not expire: when it was made is not known
    ((_, sequence),) = [place for place in queue.add([reading(4, "b")]) if place]
    assert sequence == 5
    queue.give_back(topic, found)
    queue.close()
    queue = open_queue()
    assert drained(queue) == {"a": [2, 3], "b": [4]}


def test_readings_of_version_2_one_a_row_are_sent(open_queue: OpenQueue, path: Path) -> None:
    with contextlib.closing(open_queue()) as queue:
        for number in range(3):
            queue.add([reading(number)])
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as old:
        old.execute("ALTER TABLE reading DROP COLUMN sizes")
        old.execute("PRAGMA user_version = 2")
    with contextlib.closing(open_queue()) as queue:
        assert (queue.replaced, queue.count) == (None, 3)
        queue.add([reading(3), reading(4)])
        assert drained(queue) == {"t": [0, 1, 2, 3, 4]}
