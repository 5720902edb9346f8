"""The queue on a real file: against a model, crashes between any two steps, damage, bounds, clocks, size."""

import contextlib
import dataclasses
import itertools
import json
import math
import os
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from fleet_agent.clock import SystemClock
from fleet_agent.config.telemetry import Queue as Bounds
from fleet_agent.errors import StateDirectoryError
from fleet_agent.telemetry import index
from fleet_agent.telemetry import queue as module
from fleet_agent.telemetry.batch import Stored
from fleet_agent.telemetry.model import Topic
from fleet_agent.telemetry.queue import Queue
from fleet_agent.telemetry.reading import Reading
from support.clock import FakeClock

BOUNDS = Bounds(max_messages=30, max_bytes=1 << 20, synchronous="normal")
DAY = 86400.0


def reading(
    number: int, topic: str = "t", *, time: float = 1.8e9, size: int = 0, priority: int = 1
) -> Reading:
    return Reading(
        topic=topic, payload=str(number).encode().ljust(size), time=time, priority=priority
    )


def take(queue: Queue, most: int = 1000, *, newest: bool = False) -> tuple[Topic, list[Stored]]:
    topic = queue.topics[0]
    return topic, queue.take(topic, most, 1 << 20, newest=newest)


def numbers(found: list[Stored]) -> list[int]:
    return [int(each.payload) for each in found]


def drained(queue: Queue) -> dict[str, list[int]]:
    """All that waits, by topic; they stay under way."""
    found: dict[str, list[int]] = {}
    while queue.topics:
        topic, readings = take(queue)
        found.setdefault(topic.name, []).extend(numbers(readings))
    return found


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


def forget(queue: Queue, topic: Topic, found: list[Stored]) -> None:
    for each in found:
        queue.forget(topic, [each])


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "q"


class Model(RuleBasedStateMachine):
    """Two topics; what AWS has must not come back but by a crash, what it has not must never be missing."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(dir="/dev/shm"))  # thousands of files: no disk waits
        self.clock = FakeClock()
        self.runs = 0
        self.number = 0
        self.waiting: dict[str, list[int]] = {"a": [], "b": []}  # not under way
        self.flying: list[tuple[Topic, list[Stored]]] = []
        self.gone: dict[str, list[int]] = {"a": [], "b": []}  # forgotten, perhaps not yet deleted
        self.sequences: dict[str, int] = {"a": -1, "b": -1}
        self.sources: dict[int, str] = {}  # of each reading
        self.moments: dict[int, float] = {}
        self.numbers: dict[tuple[str, int], int] = {}  # of readings by topic and sequence
        self.priorities: dict[tuple[str, str], int] = {}  # of the newest, by source and topic
        self.queue = self.open()

    def open(self) -> Queue:
        return Queue(self.folder / f"q{self.runs}", BOUNDS, self.clock)

    def teardown(self) -> None:
        self.queue.close()
        shutil.rmtree(self.folder)

    @rule(
        names=st.lists(st.sampled_from("ab"), min_size=1, max_size=6),
        source=st.sampled_from(["", "one", "two"]),
        priority=st.integers(0, 2),
    )
    def add(self, names: list[str], source: str, priority: int) -> None:
        self.clock.go(1)
        batch = []
        known = self.queue._index.names
        following = {name: known[name].next if name in known else 0 for name in "ab"}
        for name in names:
            self.number += 1
            batch.append(of(source, self.number, name, priority=priority))
            self.waiting[name].append(self.number)
            self.sources[self.number] = source
            self.moments[self.number] = self.clock.passed
            self.numbers[name, following[name]] = self.number
            self.priorities[source, name] = priority
            following[name] += 1
        places = self.queue.add(batch)
        for item, place in zip(batch, places, strict=True):
            if place:
                assert place[1] > self.sequences[item.topic]
                self.sequences[item.topic] = place[1]
        assert self.queue.count <= BOUNDS.max_messages or not self.queue.topics
        for topic_number, sequence in self.queue.lost:
            name = next(n for n, t in known.items() if t.number == topic_number)
            number = self.numbers[name, sequence]
            assert number in self.to_be_spared(self.sources[number])
            self.gone[name].append(number)
            self.waiting[name].remove(number)
        self.queue.lost.clear()
        for each, place in zip(batch, places, strict=True):
            assert (place is None) == (int(each.payload) not in self.waiting[each.topic])

    def to_be_spared(self, source: str) -> list[int]:
        """The oldest of the lowest priority of this source, which is the greediest of those that have some.

        Of what was stored together any topic's first.
        """
        waiting = [number for numbers_of in self.waiting.values() for number in numbers_of]
        flying = [number for _, found in self.flying for number in numbers(found)]
        count = Counter(self.sources[number] for number in waiting + flying)
        assert count[source] == max(count[self.sources[number]] for number in waiting)
        firsts = {
            number: (self.priorities[source, name], self.moments[number])
            for name, numbers_of in self.waiting.items()
            for number in [each for each in numbers_of if self.sources[each] == source][:1]
        }
        return [number for number, key in firsts.items() if key == min(firsts.values())]

    @precondition(lambda self: self.queue.topics)
    @rule(most=st.integers(1, 4), newest=st.booleans())
    def take(self, most: int, newest: bool) -> None:
        topic, found = take(self.queue, most, newest=newest)
        waits = self.waiting[topic.name]
        assert 1 <= len(found) <= most
        expected = waits[-len(found) :] if newest else waits[: len(found)]
        assert numbers(found) == expected
        for each in expected:
            waits.remove(each)
        self.flying.append((topic, found))

    @precondition(lambda self: self.flying)
    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        topic, found = self.flying.pop(data.draw(st.integers(0, len(self.flying) - 1)))
        forget(self.queue, topic, found)
        self.gone[topic.name] += numbers(found)

    @precondition(lambda self: self.flying)
    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        topic, found = self.flying.pop(data.draw(st.integers(0, len(self.flying) - 1)))
        self.queue.give_back(topic, found)
        self.waiting[topic.name] = sorted(self.waiting[topic.name] + numbers(found))

    @rule()
    def flush(self) -> None:
        self.queue.flush()
        self.gone = {"a": [], "b": []}

    @rule()
    def restart(self) -> None:
        self.queue.close()
        self.gone = {"a": [], "b": []}
        self.reopen()

    @rule()
    def crash(self) -> None:
        """What is on disk at this moment, opened by another process."""
        before, self.runs = self.runs, self.runs + 1
        for suffix in ("", "-wal"):
            if (file := self.folder / f"q{before}{suffix}").exists():
                shutil.copy(file, self.folder / f"q{self.runs}{suffix}")
        self.queue.close()
        self.reopen()

    def reopen(self) -> None:
        for topic, found in self.flying:
            self.waiting[topic.name] += numbers(found)
        self.flying.clear()
        self.queue = self.open()
        for name, waits in self.waiting.items():
            again: list[int] = []
            for topic in [each for each in self.queue.topics if each.name == name]:
                back_again: list[Stored] = []
                while topic.unsent:
                    back_again += self.queue.take(topic, 1000, 1 << 20)
                again = numbers(back_again)
                self.queue.give_back(topic, back_again)
            assert again == sorted(again)
            back = set(again) - set(waits)
            assert back <= set(self.gone[name])
            assert set(waits) <= set(again)
            waits[:] = again
            known = self.queue._index.names
            for lane in known[name].lanes.values() if name in known else ():
                self.priorities[lane.source.name, name] = lane.priority
            self.gone[name] = [each for each in self.gone[name] if each not in back]

    @invariant()
    def counts(self) -> None:
        flying = sum(len(found) for _, found in self.flying)
        waiting = sum(map(len, self.waiting.values()))
        assert self.queue.count == flying + waiting
        everything = [wait for waits in self.waiting.values() for wait in waits]
        everything += [number for _, found in self.flying for number in numbers(found)]
        assert self.queue.bytes == sum(len(str(each)) for each in everything)


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=25, stateful_step_count=40, deadline=None)


# Killed while it works ------------------------------------------------------------------------------------------------

_CHILD = """
import sys
import tempfile
from collections import Counter
from pathlib import Path
from fleet_agent.clock import SystemClock
from fleet_agent.config.telemetry import Queue as Bounds
from fleet_agent.telemetry.queue import Queue
from fleet_agent.telemetry.reading import Reading
queue = Queue(Path(sys.argv[1]), Bounds(synchronous="normal"), SystemClock())
number = int(sys.argv[2])
while True:
    count = 1 + number % 7
    queue.add([Reading(topic=f"t{n % 3}", payload=b"%d" % n, time=0.0) for n in range(number, number + count)])
    print("+", number, count, flush=True)
    number += count
    topic = queue.topics[0]
    found = queue.take(topic, 5, 1000)
    print("-", *(int(one.payload) for one in found), flush=True)
    for one in found:
        queue.forget(topic, [one])
    if number % 5 == 0:
        queue.flush()
"""


def test_what_was_acknowledged_to_its_sender_outlives_kill_9(path: Path, clock: FakeClock) -> None:
    stored: set[int] = set()
    sent: set[int] = set()
    chance = random.Random(int(os.environ["CRASH_SEED"]))
    start = 0
    for _ in range(12):
        child = subprocess.Popen(
            [sys.executable, "-c", _CHILD, path, str(start)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout
        lines = [child.stdout.readline() for _ in range(chance.randrange(2, 120))]
        assert all(lines), "it ended by itself"
        child.send_signal(signal.SIGKILL)
        lines += child.stdout.readlines()
        child.stdout.close()
        child.wait()
        for line in lines:
            if not line.endswith("\n"):
                continue  # killed while it wrote
            what, *words = line.split()
            if what == "+":
                first, count = map(int, words)
                stored |= set(range(first, first + count))
                start = first + count
            else:
                sent |= set(map(int, words))
        start += 10  # one more add may have happened that nobody was told of
        queue = Queue(path, BOUNDS, clock)
        found = drained(queue)
        queue.close()
        there = {item for each in found.values() for item in each}
        assert stored - sent <= there, sorted(stored - sent - there)
        assert all(each == sorted(each) for each in found.values())


# Out and in again -----------------------------------------------------------------------------------------------------


def runs_of(topic: Topic) -> list[int]:
    """Sequences of what is not under way."""
    return [number for first, end in topic.unsent for number in range(first, end)]


def in_file(queue: Queue, table: str = "reading") -> int:
    """Rows; of readings, how many they hold."""
    counted = "sum(coalesce(length(sizes) / 2, 1))" if table == "reading" else "count(*)"
    ((count,),) = queue._file.execute(f"SELECT {counted} FROM {table}")
    return int(count or 0)


@pytest.mark.parametrize("is_read", [False, True])
@pytest.mark.parametrize("newest", [False, True])
@pytest.mark.parametrize(("size", "counts"), [(299, [2, 2, 1]), (300, [3, 2]), (10, [1] * 5)])
def test_what_is_taken_is_as_much_as_fits_and_the_rest_stays(
    path: Path, clock: FakeClock, size: int, counts: list[int], *, newest: bool, is_read: bool
) -> None:
    queue = Queue(path, Bounds(), clock)
    queue.add([reading(number, size=99) for number in range(5)])
    if is_read:
        queue.close()
        queue = Queue(path, Bounds(), clock)
    (topic,) = queue.topics
    parts = []
    while topic.unsent:
        assert queue.next(0.0) is topic
        found = queue.take(topic, 10, size, newest=newest)
        assert [each.sequence for each in found] == numbers(found) == sorted(numbers(found))
        parts.append(found)
    assert [len(part) for part in parts] == counts
    assert sorted(number for part in parts for number in numbers(part)) == list(range(5))
    assert parts == sorted(parts, key=lambda part: part[0].sequence, reverse=newest)
    assert queue.next(0.0) is None
    for part in parts:
        queue.give_back(topic, part)
    assert topic.unsent == [(0, 5)]
    queue.close()


def test_what_cannot_be_read_is_not_under_way(full_file: Path, clock: FakeClock) -> None:
    queue = Queue(full_file, Bounds(), clock)
    (topic,) = queue.topics
    with unreadable(queue), pytest.raises(StateDirectoryError, match="cannot be used"):
        queue.take(topic, 10, 10_000)
    assert topic.unsent == [(0, 500)]
    assert numbers(queue.take(topic, 10, 10_000)) == list(range(10))
    queue.close()


def test_what_is_stored_is_so_though_no_room_can_be_made_for_it(
    path: Path, clock: FakeClock
) -> None:
    queue = Queue(path, Bounds(max_messages=3), clock)
    queue.add([reading(number) for number in range(3)])
    with unreadable(queue):
        assert None not in queue.add([reading(3)])
        assert queue.count == 4
    queue.add([reading(4)])
    assert drained(queue) == {"t": [2, 3, 4]}
    queue.close()


@contextlib.contextmanager
def unreadable(queue: Queue) -> Iterator[None]:
    """What is selected cannot be read; what is written can."""
    last = ""

    def trace(statement: str) -> None:
        nonlocal last
        last = statement

    connection = queue._file._connected
    connection.set_trace_callback(trace)
    connection.set_progress_handler(lambda: last.startswith("SELECT"), 1)
    yield
    connection.set_progress_handler(None, 1)
    connection.set_trace_callback(None)


def test_the_oldest_is_that_of_what_waits(path: Path, clock: FakeClock) -> None:
    queue = Queue(path, Bounds(), clock)
    assert queue.oldest() is None
    for time, name in ((100.0, "a"), (50.0, "b"), (200.0, "a"), (300.0, "b")):
        # What was stored first, whatever its time: that a clock was set makes nothing older.
        clock.go(1)
        queue.add([reading(1, name, time=time)])
    a, b = queue.topics
    times = []
    for topic in (a, b, a, b):
        times.append(queue.oldest())
        queue.take(topic, 1, 100)
    assert times == [100.0, 50.0, 200.0, 300.0]
    assert queue.oldest() is None
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


def traced(queue: Queue) -> list[str]:
    """The statements from now on."""
    statements: list[str] = []
    queue._file._connected.set_trace_callback(statements.append)
    return statements


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


def test_nobody_else_reads_the_file_or_has_it_open(path: Path, clock: FakeClock) -> None:
    queue = Queue(path, Bounds(), clock)
    assert path.stat().st_mode & 0o777 == 0o600
    queue.close()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        began = SystemClock().monotonic()
        with pytest.raises(StateDirectoryError) as caught:
            Queue(path, Bounds(), clock)
        # The deciding thread waits for nobody.
        assert SystemClock().monotonic() - began < 3
    assert caught.value.code == "queue-ebusy"


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


def test_what_is_old_goes_when_it_is_older_than_the_bound(path: Path, clock: FakeClock) -> None:
    queue = Queue(path, Bounds(max_age=64.0), clock)
    queue.add([reading(1)])
    clock.go(64.0)
    queue.tidy()
    assert queue.count == 1
    clock.go(1.0)
    queue.tidy()
    assert queue.count == 0
    queue.close()


class Working(FakeClock):
    """On which all that is done takes its time."""

    def monotonic(self) -> float:
        self.passed += 0.01
        return self.passed


def test_what_is_old_goes_a_turn_at_a_time(path: Path) -> None:
    """Millions after months without power took minutes in one piece: the watchdog ended them, and each start again."""
    clock = Working()
    queue = Queue(path, Bounds(max_age=64.0), clock)
    queue.add([reading(number) for number in range(1000)])
    clock.go(100.0)
    left = [queue.count]
    while queue.tidy():
        left.append(queue.count)
        assert not queue.has_unwritten
    turns = [before - after for before, after in itertools.pairwise(left)]
    assert len(turns) > 10
    assert all(0 < turn < 100 for turn in turns)
    assert (queue.count, queue.dropped.age) == (0, 1000)
    queue.close()


def test_bounds_that_were_lowered_are_reached_a_turn_at_a_time(path: Path) -> None:
    clock = Working()
    with contextlib.closing(Queue(path, Bounds(), clock)) as queue:
        queue.add([reading(number) for number in range(1000)])
    queue = Queue(path, Bounds(max_messages=100), clock)
    left = []
    while queue.count > 100:
        queue.add([reading(1)])
        left.append(queue.count)
    assert len(left) > 10
    assert queue.dropped.full == 1000 + len(left) - 100
    queue.close()


def test_a_large_file_is_read_in_peace(
    path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that takes longer than the watchdog gives was begun again at each start, for ever."""
    with contextlib.closing(Queue(path, Bounds(), clock)) as queue:
        queue.add([reading(number, size=9000) for number in range(1000)])
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        place = str(path.with_name("systemd"))
        systemd.bind(place)
        systemd.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", place)
        monkeypatch.setenv("WATCHDOG_USEC", "60000000")
        queue = Queue(path, Bounds(), clock)
        queue._file._check()
        for _ in range(2):
            longer, before = systemd.recv(100), systemd.recv(100)
            assert int(longer.split()[0].removeprefix(b"WATCHDOG_USEC=")) > 68_000_000
            assert before == b"WATCHDOG_USEC=60000000\nWATCHDOG=1"
        queue.close()


# Damage ---------------------------------------------------------------------------------------------------------------


def broken(path: Path) -> None:
    """Overwrite the middle of the file."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 4)
        file.write(b"\xa5" * (size // 2))


@pytest.fixture
def full_file(path: Path, clock: FakeClock) -> Path:
    queue = Queue(path, Bounds(), clock)
    queue.add([reading(number, size=300) for number in range(500)])
    queue.close()
    return path


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


def test_a_file_that_is_opened_again_has_what_it_had(path: Path, clock: FakeClock) -> None:
    queue = Queue(path, Bounds(max_messages=100), clock)
    queue.add([of("one", n, "t") for n in range(60)] + [of("two", n, "u") for n in range(60)])
    assert queue.dropped.full == 20
    queue.flush()
    topic, flying = take(queue, 5)
    queue._file.close()  # as when a page could not be read
    queue.add([of("one", 60, "t")])
    assert queue.replaced is None
    queue.forget(topic, flying)
    queue.give_back(topic, flying)
    assert (queue.count, queue.dropped.full) == (100, 21)
    found = drained(queue)
    assert found["u"] == list(range(60 - len(found["u"]), 60))
    assert found["t"] == list(range(61 - len(found["t"]), 61))
    queue.close()


def test_the_file_of_another_version_is_kept(full_file: Path, clock: FakeClock) -> None:
    with contextlib.closing(sqlite3.connect(full_file)) as other:
        other.execute("PRAGMA user_version = 99")
    queue = Queue(full_file, Bounds(), clock)
    assert queue.replaced is not None
    assert "made by another version, 99" in queue.replaced[1]
    assert queue.count == 0
    queue.close()
    with contextlib.closing(sqlite3.connect(queue.replaced[0])) as other:
        assert other.execute("SELECT sum(length(sizes) / 2) FROM reading").fetchone() == (500,)


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


# Bounds ---------------------------------------------------------------------------------------------------------------


def test_the_oldest_of_the_lowest_priority_go_first(path: Path, clock: FakeClock) -> None:
    queue = Queue(path, Bounds(max_messages=100), clock)
    queue.add([reading(n, "low", time=2e9 + n, priority=0) for n in range(50)])
    queue.add([reading(n, "old", time=1.8e9 + n) for n in range(25)])
    queue.add([reading(n, "new", time=1.9e9 + n) for n in range(25)])
    queue.add([reading(n, "high", time=1.0 + n, priority=2) for n in range(60)])
    found = drained(queue)
    assert {name: len(each) for name, each in found.items()} == {"old": 15, "new": 25, "high": 60}
    assert found["old"] == list(range(10, 25))
    assert queue.dropped.full == 60
    queue.close()


def test_a_reading_of_low_priority_is_not_taken_when_the_queue_is_full_of_others(
    path: Path, clock: FakeClock
) -> None:
    queue = Queue(path, Bounds(max_messages=100), clock)
    queue.add([reading(n, "high", priority=2) for n in range(100)])
    assert queue.add([reading(1, "low", priority=0)]) == [None]
    assert queue.count == 100
    queue.close()


def test_smaller_bounds_than_before_are_kept_to(full_file: Path, clock: FakeClock) -> None:
    queue = Queue(full_file, Bounds(max_messages=100), clock)
    queue.add([reading(500)])
    assert (queue.count, queue.dropped.full) == (100, 401)
    assert drained(queue)["t"] == list(range(401, 501))
    queue.close()


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


def test_topics_without_end_leave_nothing_behind(
    path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TOPICS_KEPT", 10)
    queue = Queue(path, Bounds(synchronous="normal"), clock)
    for number in range(100):
        queue.add([reading(number, f"t{number}")])
        topic, found = take(queue)
        forget(queue, topic, found)
    queue.flush()
    assert (len(queue._index.names), in_file(queue, "topic"), in_file(queue)) == (10, 10, 10)
    queue.close()
    monkeypatch.setattr(module, "TOPICS_KEPT", 5)
    queue = Queue(path, Bounds(synchronous="normal"), clock)
    queue.add([reading(0, "t97")])
    assert in_file(queue, "topic") == 5
    queue.add([reading(number, f"u{number}") for number in range(8)])
    for topic in queue.topics:
        if topic.name != "t97":
            forget(queue, topic, queue.take(topic, 10, 1000))
    # Those that are emptied and those that go, in one transaction; t97 has what kept its sequence still.
    queue.flush()
    assert (in_file(queue, "topic"), in_file(queue)) == (6, 7)
    assert drained(queue) == {"t97": [0]}
    queue.close()


def test_a_sequence_goes_on_after_everything_was_sent(path: Path, clock: FakeClock) -> None:
    for number in range(5):
        queue = Queue(path, Bounds(), clock)
        ((topic, sequence),) = [place for place in queue.add([reading(number)]) if place]
        assert sequence == number
        _, found = take(queue)
        forget(queue, topic, found)
        queue.close()


# Clocks ---------------------------------------------------------------------------------------------------------------


def test_a_clock_that_is_set_drops_nothing_and_time_that_passes_does(
    path: Path, clock: FakeClock
) -> None:
    queue = Queue(path, Bounds(max_age=7 * DAY), clock)
    clock.now = 60.0  # not set yet
    queue.add([reading(1, "unset", time=clock.wall())])
    clock.now = 1.8e9 - 10 * DAY  # fake-hwclock
    queue.add([reading(2, "behind", time=clock.wall())])
    for moment in (1.8e9, 100.0, 3e9, 1.8e9 - 30 * DAY, 1.8e9):
        clock.now = moment
        queue.tidy()
        assert queue.count == 2
    queue.close()
    queue = Queue(path, Bounds(max_age=7 * DAY), clock)  # of the same boot
    clock.go(6 * DAY)
    queue.add([reading(3, "now")])
    queue.tidy()
    assert queue.count == 3
    clock.go(1.1 * DAY)
    queue.tidy()
    assert drained(queue) == {"now": [3]}
    assert (queue.dropped.age, queue.dropped.full) == (2, 0)
    queue.close()


def test_what_passed_between_two_boots_counts_once_the_clock_is_right(
    path: Path, clock: FakeClock
) -> None:
    clock.synchronised = True
    queue = Queue(path, Bounds(max_age=7 * DAY), clock)
    queue.add([reading(1)])
    clock.go(DAY)
    queue.add([reading(2)])
    queue.close()
    clock.reboot()  # ten days switched off, and a clock that does not know
    clock.synchronised = False
    queue = Queue(path, Bounds(max_age=7 * DAY), clock)
    queue.add([reading(3)])
    clock.go(5 * DAY)
    queue.tidy()
    assert queue.count == 3  # surely: six days
    clock.now += DAY + 60
    queue.tidy()
    assert queue.count == 3
    clock.synchronised = True
    queue.tidy()
    assert queue.dropped.age == 1  # seven days, and not quite
    clock.go(1.1 * DAY)
    queue.tidy()
    assert drained(queue) == {"t": [3]}
    queue.close()


def test_boots_without_a_clock_add_up(path: Path, clock: FakeClock) -> None:
    clock.synchronised = False
    for number in range(5):
        queue = Queue(path, Bounds(max_age=7 * DAY), clock)
        queue.add([reading(number)])
        clock.go(2 * DAY)
        queue.flush()
        queue.add([reading(number, "other")])
        queue.close()
        clock.reboot()
    queue = Queue(path, Bounds(max_age=7 * DAY), clock)
    queue.tidy()
    assert drained(queue)["t"] == [2, 3, 4]
    queue.close()


# Sources --------------------------------------------------------------------------------------------------------------


def of(source: str, number: int, topic: str, *, size: int = 0, priority: int = 1) -> Reading:
    return dataclasses.replace(reading(number, topic, size=size, priority=priority), source=source)


def test_a_flood_takes_the_room_of_whoever_makes_it(path: Path, clock: FakeClock) -> None:
    queue = Queue(path, Bounds(max_messages=100), clock)
    queue.add([of("system", n, "system") for n in range(30)])
    queue.add([of("flood", n, f"flood/{n}", priority=2) for n in range(300)])
    queue.add([of("shared", n, "shared") for n in range(10)])
    found = drained(queue)
    assert found["system"] == list(range(30))
    assert found["shared"] == list(range(10))
    assert sorted(found) == ["flood/" + str(n) for n in range(240, 300)] + ["shared", "system"]
    assert queue.dropped.full == 240
    queue.close()


def test_a_flood_of_bytes_takes_them_of_whoever_makes_it(path: Path, clock: FakeClock) -> None:
    queue = Queue(path, Bounds(max_bytes=1 << 20), clock)
    queue.add([of("many", n, "many", size=10) for n in range(5000)])
    queue.add([of("large", n, "large", size=50_000) for n in range(50)])
    found = drained(queue)
    assert len(found["many"]) == 5000
    assert found["large"] == list(range(50 - len(found["large"]), 50))
    queue.close()


def test_of_a_topic_that_two_write_to_only_the_readings_of_the_greedy_go(
    path: Path, clock: FakeClock
) -> None:
    queue = Queue(path, Bounds(max_messages=100), clock)
    for n in range(0, 300, 3):
        queue.add([of("calm", n, "t")] if n < 60 else [])
        queue.add([of("greedy", n + 1, "t"), of("greedy", n + 2, "t")])
    found = drained(queue)["t"]
    assert found == sorted(found)
    assert [n for n in found if n % 3 == 0] == list(range(0, 60, 3))
    assert len(found) == 100
    queue.close()


def test_sources_take_turns_before_topics(path: Path, clock: FakeClock) -> None:
    queue = Queue(path, Bounds(), clock)
    queue.add([of("many", n, f"many/{n}") for n in range(100)])
    queue.add([of("few", n, "few") for n in range(3)])
    queue.add([of("two", n, f"two/{n % 2}") for n in range(4)])
    turns = []
    while topic := queue.next(0.0):
        queue.take(topic, 1, 1000)
        turns.append(topic.name.partition("/")[0])
    assert turns[:9] == ["many", "few", "two"] * 3
    assert turns[9:11] == ["many", "two"]
    assert set(turns[11:]) == {"many"}
    assert len(turns) == 107
    queue.close()


def test_a_topic_rests_until_its_time_or_until_it_is_woken(path: Path, clock: FakeClock) -> None:
    queue = Queue(path, Bounds(), clock)
    queue.add([of("a", 1, "one"), of("b", 2, "one"), of("b", 3, "two")])
    one, two = queue.topics
    queue.pause(one, 50.0)
    queue.pause(two, 60.0)
    assert queue.next(49.0) is None
    assert queue.due() == 50.0
    queue.add([of("a", 4, "one")])
    assert queue.next(49.0) is None
    assert queue.next(50.0) is one
    queue.pause(one, 90.0)
    queue.resume(two)
    assert queue.next(50.0) is two
    queue.resume()
    assert {one, two} == {queue.next(50.0), *queue.topics}
    for topic in (one, two):
        queue.pause(topic, 70.0)
        queue.resume(topic)
        queue.take(topic, 10, 1000)
    assert queue.due() == math.inf
    queue.close()


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


def test_topics_of_others_keep_their_sequence_when_one_source_makes_names_without_end(
    path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TOPICS_KEPT", 10)
    queue = Queue(path, Bounds(synchronous="normal"), clock)
    for turn in range(2):
        ((_, sequence),) = [place for place in queue.add([of("calm", 1, "calm")]) if place]
        assert sequence == turn
        for number in range(50):
            queue.add([of("flood", number, f"t{turn}/{number}")])
        for topic in queue.topics:
            queue.forget(topic, queue.take(topic, 10, 1000))
        queue.flush()
        assert len(queue._index.names) == in_file(queue, "topic") == in_file(queue) == 10
    queue.close()


def test_of_two_sources_that_make_names_without_end_each_keeps_as_many(
    path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TOPICS_KEPT", 40)
    queue = Queue(path, Bounds(synchronous="normal"), clock)
    for source, count in (("a", 30), ("b", 25)):
        queue.add([of(source, number, f"{source}{number}") for number in range(count)])
    for topic in queue.topics:
        forget(queue, topic, queue.take(topic, 10, 1000))
    queue.flush()
    assert Counter(name[0] for name in queue._index.names) == {"a": 20, "b": 20}
    queue.close()


def test_sources_without_end_share_what_the_nameless_one_has(
    path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "SOURCES_KEPT", 3)
    queue = Queue(path, Bounds(max_messages=6), clock)
    for source in ("a", "b", "c", "d"):
        queue.add([of(source, number, source) for number in range(2)])
    # Those of the last two together are the most.
    assert [(name, lost.full) for name, lost in queue.most_dropped(5)] == [("others", 2)]
    assert drained(queue) == {"a": [0, 1], "b": [0, 1], "d": [0, 1]}
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


def test_the_greediest_is_who_has_most_bytes_now(path: Path, clock: FakeClock) -> None:
    queue = Queue(path, Bounds(max_bytes=1 << 20, synchronous="normal"), clock)
    for number in range(6):
        queue.add([of("x", number, "x", size=100_000)])
    queue.add([of("y", number, "y", size=150_000) for number in range(3)])
    (x, y) = queue.topics
    assert [len(runs_of(topic)) for topic in (x, y)] == [5, 3]
    queue.forget(x, queue.take(x, 4, 1 << 20))
    queue.add([of("y", 3, "y", size=500_000)])
    assert [len(runs_of(topic)) for topic in (x, y)] == [1, 3]
    queue.close()


def test_exactly_what_the_bounds_allow_is_kept(path: Path, clock: FakeClock) -> None:
    queue = Queue(path, Bounds(max_messages=3, max_bytes=1 << 20), clock)
    assert None not in queue.add([reading(n, size=1 << 19) for n in range(2)])
    assert queue.add([reading(2)])[0]
    assert (queue.count, queue.dropped.full) == (2, 1)
    queue.add([reading(3), reading(4)])
    assert drained(queue) == {"t": [2, 3, 4]}
    queue.close()


def test_turns_after_a_restart_are_those_of_who_has_something(
    path: Path, clock: FakeClock
) -> None:
    queue = Queue(path, Bounds(), clock)
    queue.add([of("a", 0, "t"), *(of("b", n, "t") for n in range(3))])
    queue.add([of("b", n, "u") for n in range(3)])
    queue.close()
    queue = Queue(path, Bounds(), clock)
    turns = []
    while topic := queue.next(0.0):
        queue.take(topic, 1, 1000)
        turns.append(topic.name)
    assert turns == ["t", "u", "t", "u", "t", "u", "t"]
    assert queue.due() == math.inf
    queue.close()


# The file of an older version -----------------------------------------------------------------------------------------

_VERSION_1 = """
CREATE TABLE topic(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE reading(id INTEGER PRIMARY KEY, time REAL, expires REAL, priority INTEGER, type INTEGER, payload BLOB);
INSERT INTO topic VALUES(1, 'a'), (2, 'b');
PRAGMA user_version = 1;
"""


def test_readings_that_an_older_version_stored_are_sent(path: Path, clock: FakeClock) -> None:
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
    queue = Queue(path, Bounds(max_age=2 * DAY), clock)
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
    queue = Queue(path, Bounds(), clock)
    assert drained(queue) == {"a": [2, 3], "b": [4]}
    queue.close()


def test_readings_that_the_version_before_stored_one_a_row_are_sent(
    path: Path, clock: FakeClock
) -> None:
    with contextlib.closing(Queue(path, Bounds(), clock)) as queue:
        for number in range(3):
            queue.add([reading(number)])
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as old:
        old.execute("ALTER TABLE reading DROP COLUMN sizes")
        old.execute("PRAGMA user_version = 2")
    with contextlib.closing(Queue(path, Bounds(), clock)) as queue:
        assert (queue.replaced, queue.count) == (None, 3)
        queue.add([reading(3), reading(4)])
        assert drained(queue) == {"t": [0, 1, 2, 3, 4]}


# A disk in trouble ----------------------------------------------------------------------------------------------------


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small file system")
def test_a_full_disk_takes_nothing_and_can_still_be_emptied(
    tmp_path: Path, clock: FakeClock
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=12m", "none", disk], check=False
    ).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        queue = Queue(disk / "q", Bounds(), clock)
        stored: list[int] = []
        with pytest.raises(StateDirectoryError, match="the disk is full"):  # noqa: PT012 - until it is
            for number in range(100_000):
                queue.add([reading(number * 10 + n, size=1000) for n in range(10)])
                stored += range(number * 10, number * 10 + 10)
        assert len(stored) > 2000
        (disk / "others").write_bytes(b"x" * (1 << 20))  # others come near
        sent: list[int] = []
        while queue.topics:
            topic, found = take(queue, 100)
            sent += numbers(found)
            forget(queue, topic, found)
            queue.flush()
        assert sent == stored
        (disk / "others").unlink()
        queue.flush()
        queue.tidy()
        queue.add([reading(1)])
        queue.close()
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_a_full_disk_takes_what_there_is_place_for_in_the_file(
    path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = Queue(path, Bounds(synchronous="normal"), clock)
    queue.add([reading(number, size=6000) for number in range(1000)])
    disk = os.statvfs(path.parent)
    full = os.statvfs_result((*disk[:3], 0, 0, *disk[5:10]))
    monkeypatch.setattr(os, "statvfs", lambda _: full)
    with pytest.raises(StateDirectoryError, match=f"{path} cannot be used: the disk is full"):
        queue.add([reading(1000)])
    while queue.topics:
        forget(queue, *take(queue))
    queue.add([reading(1000)])
    assert drained(queue) == {"t": [1000]}
    queue.close()


def test_a_disk_that_does_not_say_whether_there_is_a_file_is_named(
    tmp_path: Path, clock: FakeClock
) -> None:
    # Any error of the call that looks for it, such as of a failing disk; this one can be had without such.
    with pytest.raises(StateDirectoryError, match=r"cannot be used: .*name too long"):
        Queue(tmp_path / ("q" * 300), Bounds(), clock)


def test_a_disk_that_does_not_say_how_full_it_is_takes_nothing_until_it_does(
    tmp_path: Path, clock: FakeClock
) -> None:
    folder, away = tmp_path / "state", tmp_path / "away"
    folder.mkdir()
    queue = Queue(folder / "q", Bounds(), clock)
    queue.add([reading(0)])
    folder.rename(away)
    with pytest.raises(StateDirectoryError, match=f"{folder}/q cannot be used: .*No such file"):
        queue.add([reading(1)])
    queue.tidy()
    away.rename(folder)
    queue.add([reading(2)])
    assert list(drained(queue).values()) == [[0, 2]]
    queue.close()


def test_a_disk_that_fails_loses_and_tears_nothing(full_file: Path) -> None:
    """A process that may write no byte any more, and then may again."""
    program = """
import resource, signal, sys
from pathlib import Path
from fleet_agent.clock import SystemClock
from fleet_agent.config.telemetry import Queue as Bounds
from fleet_agent.errors import StateDirectoryError
from fleet_agent.telemetry.queue import Queue
from fleet_agent.telemetry.reading import Reading
import json
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
queue = Queue(Path(sys.argv[1]), Bounds(), SystemClock())
add = lambda n: queue.add([Reading(topic="t", payload=b"%d" % n, time=0.0)])
add(500)
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
told = []
for number in (501, 502):
    try:
        add(number)
    except StateDirectoryError as error:
        told.append(error.title)
found = queue.take(queue.topics[0], 1000, 1 << 20)
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
queue.give_back(queue.topics[0] if queue.topics else queue._index.names["t"], found)
places = add(503)
queue.close()
print(json.dumps([told, len(found), places[0][1]]))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, full_file], capture_output=True, text=True, check=True
    )
    reported, found, sequence = json.loads(done.stdout)
    assert len(reported) == 2
    assert "cannot be used" in reported[0]
    assert (found, sequence) == (501, 501)
    queue = Queue(full_file, Bounds(), FakeClock())
    assert drained(queue)["t"] == [*range(501), 503]
    assert queue.replaced is None
    queue.close()
