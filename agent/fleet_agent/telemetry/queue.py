"""Where readings wait, on disk, from the moment they are acknowledged to their sender until AWS has them.

SQLite in WAL mode with one connection that keeps the file to itself. A reading's id is its topic's number and its
sequence in that topic, side by side in one integer: no index, each topic together in the file, and the sequence goes on
after a restart, since a topic's last row stays behind, emptied, when everything of it was sent.

Which readings are under way is known in memory only: after a crash they are sent again.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from fleet_agent.clock import BUILT, Clock, is_doubtful
from fleet_agent.config.telemetry import Queue as Bounds
from fleet_agent.errors import StateDirectoryError
from fleet_agent.telemetry import runs
from fleet_agent.telemetry.batch import Stored
from fleet_agent.telemetry.database import Database
from fleet_agent.telemetry.reading import BINARY, JSON, TEXT, Reading

NAME = "telemetry.sqlite3"

_SHIFT = 40  # bits of an id that count within a topic
_TYPES = (JSON, TEXT, BINARY)
_TOPICS_KEPT = 1000  # empty ones that keep their sequence over a restart


@dataclasses.dataclass(slots=True)
class Topic:
    """What is known of one topic without looking into the file."""

    number: int
    name: str
    next: int = 0  # the sequence of the next reading
    priority: int = 1  # of its newest reading
    unsent: runs.Runs = dataclasses.field(default_factory=list)
    oldest: float | None = None  # time of the first unsent reading; None: not looked up
    marker: int | None = None  # id of the emptied row that keeps the sequence


@dataclasses.dataclass(slots=True)
class Dropped:
    """Readings that will never be sent, by what was the matter with them."""

    full: int = 0
    age: int = 0
    expired: int = 0
    refused: int = 0


class Queue:
    """The durable queue; every method on the deciding thread.

    Args:
        path: The database file; its folder exists.
        bounds: How much may wait, and how sure a commit must be.
        clock: For ages.

    Raises:
        StateDirectoryError: It can be neither opened nor made anew.
    """

    def __init__(self, path: Path, bounds: Bounds, clock: Clock) -> None:
        self._bounds = bounds
        self._clock = clock
        self._names: dict[str, Topic] = {}
        self._busy: dict[int, Topic] = {}  # with something unsent, in the order of their turns
        self._removed: list[tuple[int, int]] = []  # id ranges that AWS has, to be deleted
        self.count = 0
        self.bytes = 0
        self.dropped = Dropped()
        self.lost: list[
            tuple[int, int]
        ] = []  # topic and sequence of what was dropped, for whoever waits for them
        self._file = Database(path, self._look_around)

    # In -------------------------------------------------------------------------------------------------------------

    def add(self, readings: Sequence[Reading]) -> list[tuple[Topic, int] | None]:
        """Store readings in one transaction, durable on return as the settings say.

        Returns:
            For each its topic and sequence; None: the queue is full of readings of higher priority.

        Raises:
            StateDirectoryError: Nothing of it was stored: disk full, read-only, failing.
        """
        topics = {reading.topic: self._topic(reading.topic) for reading in readings}
        before = {name: topic.next for name, topic in topics.items()}
        rows, places = [], []
        for reading in readings:
            topic = topics[reading.topic]
            places.append((topic, topic.next))
            rows.append(_row(topic, reading))
            topic.next += 1
        try:
            self._write(lambda: self._insert(topics.values(), rows), self._bounds.synchronous)
        except StateDirectoryError:
            for name, topic in topics.items():
                topic.next = before[name]
            raise
        self._written.update(topic.number for topic in topics.values())
        for (topic, sequence), reading in zip(places, readings, strict=True):
            runs.add(topic.unsent, sequence, sequence + 1)
            self._busy.setdefault(topic.number, topic)
            topic.priority = reading.priority
        self.count += len(readings)
        self.bytes += sum(len(reading.payload) for reading in readings)
        return self._kept(places)

    def _insert(self, topics: Iterable[Topic], rows: list[tuple[object, ...]]) -> None:
        new = [(topic.number, topic.name) for topic in topics if topic.number not in self._written]
        self._file.execute_many("INSERT INTO topic VALUES(?, ?)", new)
        self._file.execute_many("INSERT INTO reading VALUES(?, ?, ?, ?, ?, ?)", rows)

    def _kept(self, places: list[tuple[Topic, int]]) -> list[tuple[Topic, int] | None]:
        if self.count <= self._bounds.max_messages and self.bytes <= self._bounds.max_bytes:
            return list(places)
        gone = set(self._make_room())
        return [None if (t.number, sequence) in gone else (t, sequence) for t, sequence in places]

    def _make_room(self) -> Iterator[tuple[int, int]]:
        """Drop the oldest of the lowest priority; what is under way stays, its answer comes soon."""
        while self.count > self._bounds.max_messages or self.bytes > self._bounds.max_bytes:
            if not self._busy:
                return
            topic = min(self._busy.values(), key=lambda one: (one.priority, self._oldest(one)))
            self.dropped.full += 1
            yield topic.number, self._drop_oldest(topic)

    def _drop_oldest(self, topic: Topic) -> int:
        sequence, _ = runs.take(topic.unsent, 1)
        if not topic.unsent:
            del self._busy[topic.number]
        self.forget(topic, sequence, 1, self._size(topic, sequence))
        topic.oldest = None
        self.lost.append((topic.number, sequence))
        return sequence

    # Out ------------------------------------------------------------------------------------------------------------

    @property
    def topics(self) -> Sequence[Topic]:
        """Those with readings that are not under way; whose turn it is comes first."""
        return list(self._busy.values())

    def take(self, topic: Topic, most: int, size: int, *, newest: bool = False) -> list[Stored]:
        """Readings of a topic that follow each other; they are under way from now on, and the topic has had its turn.

        Args:
            topic: One of ``topics``.
            most: How many, at most.
            size: Bytes of their payloads, at most, unless the first alone has more.
            newest: From the newest ones on.

        Raises:
            StateDirectoryError: The file cannot be read.
        """
        first, end = runs.take(topic.unsent, most, from_end=newest)
        left = size

        def is_enough(row: tuple[Any, ...]) -> bool:
            nonlocal left
            left -= len(row[1] or b"")
            return left < 0

        base = topic.number << _SHIFT
        order = "DESC" if newest else "ASC"
        try:
            rows = self._file.select(
                f"SELECT id, payload, time, type, expires FROM reading WHERE id >= ? AND id < ? ORDER BY id {order}",  # noqa: S608
                (base + first, base + end),
                is_enough,
            )
        except StateDirectoryError:
            self._put_back(topic, first, end)
            raise
        found = [
            Stored(
                sequence=row[0] - base,
                payload=row[1],
                time=row[2],
                content_type=_TYPES[row[3]],
                expires=row[4],
            )
            for row in (reversed(rows) if newest else rows)
            if row[1] is not None
        ]
        if found and newest and first < found[0].sequence:
            runs.add(topic.unsent, first, found[0].sequence)
        elif found and not newest and found[-1].sequence + 1 < end:
            runs.add(topic.unsent, found[-1].sequence + 1, end)
        topic.oldest = None
        self._busy.pop(topic.number, None)
        if topic.unsent:
            self._busy[topic.number] = topic  # behind the others
        return found

    def give_back(self, topic: Topic, readings: Sequence[Stored]) -> None:
        """They are not under way any more: to be sent again."""
        start = 0
        for index in range(1, len(readings) + 1):  # a run at a time
            last = readings[index - 1].sequence
            if index == len(readings) or readings[index].sequence != last + 1:
                self._put_back(topic, readings[start].sequence, last + 1)
                start = index

    def _put_back(self, topic: Topic, first: int, end: int) -> None:
        runs.add(topic.unsent, first, end)
        topic.oldest = None
        self._busy.setdefault(topic.number, topic)

    def forget(self, topic: Topic, first: int, count: int, size: int) -> None:
        """AWS has these, or nobody wants them; deleted with the next commit.

        Args:
            topic: Theirs.
            first: The sequence of the first.
            count: How many, one after the other.
            size: Bytes of their payloads, together.
        """
        base = topic.number << _SHIFT
        self._removed.append((base + first, base + first + count - 1))
        # Never below nothing: what was under way when a damaged file was replaced is not in the new one's count.
        self.count = max(0, self.count - count)
        self.bytes = max(0, self.bytes - size)

    def drop_old(self) -> None:
        """Drop what waits for longer than the bound allows, unless the clock cannot be believed."""
        if is_doubtful(self._clock):
            return
        limit = self._clock.wall() - self._bounds.max_age
        for topic in self.topics:
            while topic.unsent and BUILT <= self._oldest(topic) < limit:
                self._drop_oldest(topic)
                self.dropped.age += 1

    def oldest(self) -> float | None:
        """The time (Unix seconds) of the oldest reading that waits; None: nothing waits."""
        return min((self._oldest(topic) for topic in self.topics), default=None)

    @property
    def replaced(self) -> Path | None:
        """What a damaged file is called now; None: there was none."""
        return self._file.replaced

    # The file ---------------------------------------------------------------------------------------------------------

    @property
    def has_unwritten(self) -> bool:
        """Whether readings that AWS has are still in the file."""
        return bool(self._removed)

    def flush(self) -> None:
        """Delete what AWS has. Not forced to the disk: what a power cut brings back is sent again.

        Raises:
            StateDirectoryError: The file cannot be written; tried again with the next commit.
        """
        if self._removed:
            self._write(lambda: None, "normal")

    def close(self) -> None:
        """Write what is left to write and let go of the file."""
        with contextlib.suppress(StateDirectoryError):
            self.flush()
        self._file.close()

    def _write(self, change: Callable[[], None], synchronous: str) -> None:
        """Delete what AWS has and make the change."""

        def both() -> None:
            self._delete_removed()
            change()

        self._file.write(both, synchronous)
        self._removed.clear()

    def _delete_removed(self) -> None:
        """Delete, but leave each topic's last row behind, emptied, to keep its sequence."""
        topics = {topic.number: topic for topic in self._names.values()}
        for first, last in self._removed:
            topic = topics[first >> _SHIFT]
            if topic.marker is not None and topic.marker < first:
                self._file.execute("DELETE FROM reading WHERE id = ?", (topic.marker,))
            end = last
            if last == (topic.number << _SHIFT) + topic.next - 1:
                self._file.execute("UPDATE reading SET payload = NULL WHERE id = ?", (last,))
                topic.marker, end = last, last - 1
            self._file.execute("DELETE FROM reading WHERE id BETWEEN ? AND ?", (first, end))

    def _look_around(self, file: Database) -> None:
        """Learn what is in the file: all of it is read, so that damage shows now.

        A new file after a damaged one finds topics here that are known already: they keep their sequences.
        """
        for topic in self._names.values():
            topic.unsent, topic.marker, topic.oldest = [], None, None
        self._busy.clear()
        self._removed.clear()
        self.count = self.bytes = 0
        topics = {}
        for number, name in file.execute("SELECT id, name FROM topic"):
            topics[number] = self._names.setdefault(name, Topic(number=number, name=name))
        self._written = set(topics)
        stale = []
        for identifier, priority, size in file.execute(
            "SELECT id, priority, length(payload) FROM reading ORDER BY id"
        ):
            topic = topics[identifier >> _SHIFT]
            sequence = identifier & (1 << _SHIFT) - 1
            if topic.marker is not None:
                stale.append((topic.marker,))  # it is not the last one
            topic.next, topic.priority, topic.marker = sequence + 1, priority, None
            if size is None:
                topic.marker = identifier
            else:
                runs.add(topic.unsent, sequence, sequence + 1)
                self._busy.setdefault(topic.number, topic)
                self.count += 1
                self.bytes += size
        file.execute_many("DELETE FROM reading WHERE id = ?", stale)
        self._forget_topics(file)

    def _forget_topics(self, file: Database) -> None:
        """Of topics with nothing to send only the newest keep their sequence: they may come without end."""
        empty = sorted((t for t in self._names.values() if not t.unsent), key=lambda t: t.number)
        for topic in empty[: max(0, len(empty) - _TOPICS_KEPT)]:
            if topic.marker is not None:
                file.execute("DELETE FROM reading WHERE id = ?", (topic.marker,))
            file.execute("DELETE FROM topic WHERE id = ?", (topic.number,))
            self._written.discard(topic.number)
            del self._names[topic.name]

    def _topic(self, name: str) -> Topic:
        topic = self._names.get(name)
        if topic is None:
            number = max((one.number for one in self._names.values()), default=0) + 1
            topic = self._names[name] = Topic(number=number, name=name)
        return topic

    def _oldest(self, topic: Topic) -> float:
        if topic.oldest is None:
            first = (topic.number << _SHIFT) + topic.unsent[0][0]
            rows = self._file.select("SELECT time FROM reading WHERE id = ?", (first,))
            topic.oldest = rows[0][0] if rows else 0.0
        return topic.oldest

    def _size(self, topic: Topic, sequence: int) -> int:
        identifier = (topic.number << _SHIFT) + sequence
        rows = self._file.select("SELECT length(payload) FROM reading WHERE id = ?", (identifier,))
        return rows[0][0] or 0 if rows else 0


def _row(topic: Topic, reading: Reading) -> tuple[object, ...]:
    return (
        topic.number << _SHIFT | topic.next,
        reading.time,
        reading.expires,
        reading.priority,
        _TYPES.index(reading.content_type),
        reading.payload,
    )
