"""Where readings wait, on disk, from the moment they are acknowledged to their sender until AWS has them.

SQLite in WAL mode with one connection that keeps the file to itself. A reading's id is its topic's number and its
sequence in that topic, side by side in one integer: no index, each topic together in the file, and the sequence goes on
after a restart, since a topic's last row stays behind, emptied, when everything of it was sent.

Which readings are under way is known in memory only: after a crash they are sent again.
"""

import contextlib
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fleet_agent.clock import BUILT, Clock, is_doubtful
from fleet_agent.config.telemetry import Queue as Bounds
from fleet_agent.errors import StateDirectoryError
from fleet_agent.telemetry import runs
from fleet_agent.telemetry.batch import Stored
from fleet_agent.telemetry.database import Database
from fleet_agent.telemetry.inventory import SHIFT, Dropped, Growth, Topic, take_stock
from fleet_agent.telemetry.reading import BINARY, JSON, TEXT, Reading

NAME = "telemetry.sqlite3"

TOPICS_KEPT = 1000  # with nothing in the file, that keep their sequence

_TYPES = (JSON, TEXT, BINARY)
_SMALL = 1 << 20  # bytes of readings that are quickly copied when the file gives space back


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
        self._number = 0  # the highest of a topic
        self._busy: dict[int, Topic] = {}  # with something unsent, in the order of their turns
        self._idle: dict[int, Topic] = {}  # with nothing left, longest idle first
        # Topic, first, end: AWS has these, to be deleted.
        self._removed: list[tuple[Topic, int, int]] = []
        self.count = 0
        self.bytes = 0
        self.dropped = Dropped()
        # Topic's number and sequence of what was dropped, for whoever waits for them; emptied by the publisher.
        self.lost: list[tuple[int, int]] = []
        self._file = Database(path, self._look_around)

    # In -------------------------------------------------------------------------------------------------------------

    def add(self, readings: Sequence[Reading]) -> list[tuple[Topic, int] | None]:
        """Store readings in one transaction, durable on return as the settings say.

        Returns:
            For each its topic and sequence; None: the queue is full of readings of higher priority.

        Raises:
            StateDirectoryError: Nothing of it was stored: disk full, read-only, failing.
        """
        self._file.ensure_room()
        growth = self._write(readings, self._bounds.synchronous)
        for name, topic in growth.topics.items():
            end = growth.ends[name]
            runs.add(topic.unsent, topic.next, end)
            topic.left += end - topic.next
            topic.next, topic.is_new = end, False
            self._names[name] = topic
            self._idle.pop(topic.number, None)
            self._busy.setdefault(topic.number, topic)
        for reading in readings:
            growth.topics[reading.topic].priority = reading.priority
            self.bytes += len(reading.payload)
        self.count += len(readings)
        return self._kept(growth.places)

    def _grow(self, readings: Sequence[Reading]) -> Growth:
        """Where each reading comes to stand."""
        growth = Growth()
        for reading in readings:
            name = reading.topic
            topic = growth.topics.get(name)
            if topic is None:
                topic = self._names.get(name)
                if topic is None:
                    self._number += 1
                    topic = Topic(self._number, name)
                growth.topics[name] = topic
                growth.ends[name] = topic.next
            sequence = growth.ends[name]
            growth.ends[name] = sequence + 1
            growth.places.append((topic, sequence))
            growth.rows.append(_row(topic.number << SHIFT | sequence, reading))
        return growth

    def _kept(self, places: list[tuple[Topic, int]]) -> list[tuple[Topic, int] | None]:
        before = len(self.lost)
        with contextlib.suppress(StateDirectoryError):  # they are stored: room is made next time
            self._make_room()
        if len(self.lost) == before:
            return list(places)
        gone = set(self.lost[before:])
        return [None if (t.number, sequence) in gone else (t, sequence) for t, sequence in places]

    def _make_room(self) -> None:
        """Drop the oldest of the lowest priority; what is under way stays, its answer comes soon."""
        while self.count > self._bounds.max_messages or self.bytes > self._bounds.max_bytes:
            topics = self.topics
            if not topics:
                return
            topic = min(topics, key=lambda one: (one.priority, self._oldest(one)))
            self.dropped.full += self._drop_oldest(topic)

    def _drop_oldest(self, topic: Topic) -> int:
        """Drop one; 0 when it is gone already, with a damaged file."""
        if not topic.unsent:
            return 0
        size = self._size(topic, topic.unsent[0][0])
        if not topic.unsent:
            return 0
        sequence, _ = runs.take(topic.unsent, 1)
        topic.oldest = None
        if not topic.unsent:
            del self._busy[topic.number]
        self.forget(topic, sequence, 1, size)
        self.lost.append((topic.number, sequence))
        return 1

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
            size: Bytes of their payloads and what separates them, at most, unless the first alone has more.
            newest: From the newest ones on.

        Returns:
            Ascending; none when a damaged file was replaced.

        Raises:
            StateDirectoryError: The file cannot be read; nothing is under way.
        """
        first, end = runs.take(topic.unsent, most, from_end=newest)
        left = size

        def is_enough(row: tuple[Any, ...]) -> bool:
            nonlocal left
            left -= len(row[1]) + 1
            return left < 0

        base = topic.number << SHIFT
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
        ]
        if not self._has(topic):
            return []
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
        for first, end in runs.of([reading.sequence for reading in readings]):
            self._put_back(topic, first, end)

    def _put_back(self, topic: Topic, first: int, end: int) -> None:
        if self._has(topic):
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
        if not self._has(topic):
            return
        last = self._removed[-1] if self._removed else None
        if (
            last and last[0] is topic and last[2] == first
        ):  # mostly: one statement deletes them all
            self._removed[-1] = (topic, last[1], first + count)
        else:
            self._removed.append((topic, first, first + count))
        self.count -= count
        self.bytes -= size
        topic.left -= count
        if not topic.left:
            self._idle[topic.number] = topic

    def tidy(self) -> None:
        """Drop what waits for longer than the bound allows, unless the clock cannot be believed; return disk space.

        Raises:
            StateDirectoryError: The file cannot be read.
        """
        if not is_doubtful(self._clock):
            limit = self._clock.wall() - self._bounds.max_age
            for topic in self.topics:
                while topic.unsent and BUILT <= self._oldest(topic) < limit:
                    self.dropped.age += self._drop_oldest(topic)
        if self.bytes < _SMALL and not self._removed:
            self._file.shrink()

    def oldest(self) -> float | None:
        """The time (Unix seconds) of the oldest reading that waits; None: nothing waits.

        Raises:
            StateDirectoryError: The file cannot be read.
        """
        return min((self._oldest(topic) for topic in self.topics if topic.unsent), default=None)

    @property
    def replaced(self) -> tuple[Path, str] | None:
        """What a damaged file is called now, and what was wrong with it; None: there was none."""
        return self._file.replaced

    # The file -------------------------------------------------------------------------------------------------------

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
            self._write((), "normal")

    def close(self) -> None:
        """Write what is left to write and let go of the file."""
        with contextlib.suppress(StateDirectoryError):
            self.flush()
        self._file.close()

    def _has(self, topic: Topic) -> bool:
        return self._names.get(topic.name) is topic

    def _write(self, readings: Sequence[Reading], synchronous: str) -> Growth:
        """Delete what AWS has and insert the readings; what is known in memory changes once that is committed."""
        growth = Growth()
        markers: dict[int, int] = {}
        surplus: list[Topic] = []

        def change() -> None:  # once more, and all of it anew, when a damaged file was replaced
            nonlocal growth, surplus
            growth = self._grow(readings)
            markers.clear()
            for topic, first, end in self._removed:
                self._delete(topic, first, end, growth.topics, markers)
            surplus = self._surplus(growth.topics)
            for topic in surplus:
                self._delete_row(topic, markers.get(topic.number, topic.marker))
                self._file.execute("DELETE FROM topic WHERE id = ?", (topic.number,))
            names = [(one.number, name) for name, one in growth.topics.items() if one.is_new]
            self._file.execute_many("INSERT INTO topic VALUES(?, ?)", names)
            self._file.execute_many("INSERT INTO reading VALUES(?, ?, ?, ?, ?, ?)", growth.rows)

        self._file.write(change, synchronous)
        for topic, _, _ in self._removed:
            topic.marker = markers.get(topic.number, topic.marker)
        self._removed.clear()
        for topic in surplus:
            del self._names[topic.name], self._idle[topic.number]
        return growth

    def _delete(
        self,
        topic: Topic,
        first: int,
        end: int,
        growing: Mapping[str, Topic],
        markers: dict[int, int],
    ) -> None:
        """Delete from ``first`` up to ``end``, but leave the topic's last row behind, emptied, to keep its sequence."""
        base = topic.number << SHIFT
        marker = markers.get(topic.number, topic.marker)
        if marker is not None and marker < first:
            self._delete_row(topic, marker)
        if end == topic.next and topic.name not in growing:
            end -= 1
            markers[topic.number] = end
            self._file.execute("UPDATE reading SET payload = NULL WHERE id = ?", (base + end,))
        self._file.execute(
            "DELETE FROM reading WHERE id >= ? AND id < ?", (base + first, base + end)
        )

    def _delete_row(self, topic: Topic, sequence: int | None) -> None:
        if sequence is not None:
            identifier = (topic.number << SHIFT) + sequence
            self._file.execute("DELETE FROM reading WHERE id = ?", (identifier,))

    def _surplus(self, growing: Mapping[str, Topic]) -> list[Topic]:
        """Topics that lose their sequence: there is no end to names that programs may think of."""
        count = max(0, len(self._idle) - TOPICS_KEPT)
        return [
            topic
            for topic in itertools.islice(self._idle.values(), count)
            if topic.name not in growing
        ]

    def _look_around(self, file: Database) -> None:
        """Learn what is in the file: all of it is read, so that damage shows now.

        A new file after a damaged one finds topics here that are known already: they keep their sequences.
        """
        found, self._removed = take_stock(file)
        for name, topic in self._names.items():
            known = found.setdefault(name, Topic(topic.number, name))
            known.next = max(known.next, topic.next)
        self._names = found
        self._number = max([self._number, *(topic.number for topic in found.values())])
        self.count = sum(topic.left for topic in found.values())
        self.bytes = file.execute(
            "SELECT coalesce(sum(length(payload)), 0) FROM reading"
        ).fetchone()[0]
        self._busy, self._idle = {}, {}
        for topic in found.values():
            (self._busy if topic.left else self._idle)[topic.number] = topic

    def _oldest(self, topic: Topic) -> float:
        if topic.oldest is None:
            if not topic.unsent:
                return 0.0  # gone with a damaged file
            first = (topic.number << SHIFT) + topic.unsent[0][0]
            rows = self._file.select("SELECT time FROM reading WHERE id = ?", (first,))
            topic.oldest = rows[0][0] if rows else 0.0
        return topic.oldest

    def _size(self, topic: Topic, sequence: int) -> int:
        identifier = (topic.number << SHIFT) + sequence
        rows = self._file.select("SELECT length(payload) FROM reading WHERE id = ?", (identifier,))
        return rows[0][0] if rows else 0


def _row(identifier: int, reading: Reading) -> tuple[object, ...]:
    return (
        identifier,
        reading.time,
        reading.expires,
        reading.priority,
        _TYPES.index(reading.content_type),
        reading.payload,
    )
