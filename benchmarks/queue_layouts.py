"""Ways to lay readings out in SQLite, side by side: seconds and bytes written a reading, in shuffled rounds.

Each round stores readings in commits and deletes what was sent with a later commit, as the queue does. ``marker`` is
the queue's, but for readings that share rows: topic's number and sequence in the row's id, an empty row left behind.
``one integer`` has a column of the topic in its place. ``two columns`` is a WITHOUT ROWID table of (topic, sequence)
with that column.
"""

import argparse
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

COMMITS = {1: 400, 16: 200, 512: 40}  # readings a commit → commits
TOPICS = 8
BEHIND = 4  # commits until AWS has what was stored
_SHIFT = 40
_COLUMNS = "time REAL, expires REAL, priority INTEGER, type INTEGER, payload BLOB"
_TOPIC = "CREATE TABLE topic(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, next INTEGER NOT NULL DEFAULT 0);"
_ROWS = {
    "one integer": f"CREATE TABLE reading(id INTEGER PRIMARY KEY, {_COLUMNS})",
    "marker": f"CREATE TABLE reading(id INTEGER PRIMARY KEY, {_COLUMNS})",
    "two columns": f"CREATE TABLE reading(topic INTEGER, sequence INTEGER, {_COLUMNS}, PRIMARY KEY(topic, sequence)) "
    "WITHOUT ROWID",
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, metavar="N", help="of all layouts (7)")
    parser.add_argument(
        "--folder", default="/var/tmp", metavar="PATH", help="of the disk (/var/tmp)"
    )
    arguments = parser.parse_args()
    for size in (200, 2000):
        for count, commits in COMMITS.items():
            found: dict[str, list[tuple[float, float]]] = {name: [] for name in _ROWS}
            for _ in range(arguments.rounds):
                for name in random.sample(list(_ROWS), len(_ROWS)):
                    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
                        found[name].append(_run(Path(folder), name, count, commits, size))
            for name, runs in found.items():
                seconds, written = (statistics.median(one[i] for one in runs) for i in (0, 1))
                what = f"{size:5} bytes, {count:4} a commit  {name:12}"
                print(f"{what} {seconds * 1e6:7.1f} us  {written:7.0f} B a reading", flush=True)


def _run(folder: Path, name: str, count: int, commits: int, size: int) -> tuple[float, float]:
    connection = sqlite3.connect(folder / "q", isolation_level=None)
    for pragma in ("locking_mode = EXCLUSIVE", "journal_mode = WAL", "wal_autocheckpoint = 500"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("PRAGMA synchronous = full")
    connection.execute("PRAGMA cache_size = -512")
    connection.executescript(f"{_TOPIC} {_ROWS[name]};")
    connection.executemany(
        "INSERT INTO topic(id, name) VALUES(?, ?)", [(n, f"t{n}") for n in range(TOPICS)]
    )
    insert, delete = _WAYS[name]
    payload, begun, before = b"x" * size, time.perf_counter(), _written()
    first = [0] * TOPICS
    sent: list[tuple[int, int, int]] = []
    for number in range(commits):
        topic = number % TOPICS
        connection.execute("BEGIN IMMEDIATE")
        while len(sent) > BEHIND:
            delete(connection, *sent.pop(0))
        insert(connection, topic, first[topic], count, payload)
        connection.execute("COMMIT")
        sent.append((topic, first[topic], first[topic] + count))
        first[topic] += count
        _, begin, end = sent[-1]
        _select(connection, name, topic, begin, end)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    readings = count * commits
    found = ((time.perf_counter() - begun) / readings, (_written() - before) / readings)
    connection.close()
    return found


def _select(connection: sqlite3.Connection, name: str, topic: int, begin: int, end: int) -> None:
    if name == "two columns":
        statement, values = "topic = ? AND sequence >= ? AND sequence < ?", (topic, begin, end)
    else:
        base = topic << _SHIFT
        statement, values = "id >= ? AND id < ? AND ?", (base + begin, base + end, 1)
    rows = connection.execute(f"SELECT payload, time FROM reading WHERE {statement}", values)
    assert len(rows.fetchall()) == end - begin


def _one_in(c: sqlite3.Connection, topic: int, first: int, count: int, payload: bytes) -> None:
    base = (topic << _SHIFT) + first
    rows = [(base + n, 1.8e9, None, 1, 0, payload) for n in range(count)]
    c.executemany("INSERT INTO reading VALUES(?, ?, ?, ?, ?, ?)", rows)


def _one_out(c: sqlite3.Connection, topic: int, first: int, end: int) -> None:
    base = topic << _SHIFT
    c.execute("DELETE FROM reading WHERE id >= ? AND id < ?", (base + first, base + end))
    c.execute("UPDATE topic SET next = ? WHERE id = ?", (end, topic))


def _marker_out(c: sqlite3.Connection, topic: int, first: int, end: int) -> None:
    base = topic << _SHIFT
    c.execute("DELETE FROM reading WHERE id = ?", (base + first - 1,))
    c.execute("UPDATE reading SET payload = NULL WHERE id = ?", (base + end - 1,))
    c.execute("DELETE FROM reading WHERE id >= ? AND id < ?", (base + first, base + end - 1))


def _two_in(c: sqlite3.Connection, topic: int, first: int, count: int, payload: bytes) -> None:
    rows = [(topic, first + n, 1.8e9, None, 1, 0, payload) for n in range(count)]
    c.executemany("INSERT INTO reading VALUES(?, ?, ?, ?, ?, ?, ?)", rows)


def _two_out(c: sqlite3.Connection, topic: int, first: int, end: int) -> None:
    c.execute(
        "DELETE FROM reading WHERE topic = ? AND sequence >= ? AND sequence < ?",
        (topic, first, end),
    )
    c.execute("UPDATE topic SET next = ? WHERE id = ?", (end, topic))


_WAYS: dict[str, tuple[Callable[..., None], Callable[..., None]]] = {
    "one integer": (_one_in, _one_out),
    "marker": (_one_in, _marker_out),
    "two columns": (_two_in, _two_out),
}


def _written() -> int:
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("write_bytes")).split()[1])


if __name__ == "__main__":
    main()
