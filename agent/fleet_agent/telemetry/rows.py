"""Readings as rows of the queue's file: what is written, deleted and found there.

A reading's id is its topic's number and its sequence in that topic, side by side in one integer: no index, and each
topic together in the file. The sequence goes on after a restart, since a topic's last row stays behind, emptied, when
everything of it was sent.

A WITHOUT ROWID table of (topic, sequence), with the next sequence in a column of the topic, would do without emptied
rows. ``benchmarks/queue_layouts.py`` has it at 0.9 to 1.2 of this one's speed with 200 bytes a reading and at 0.7 to
0.9 with 2000, where it writes 2.2 times the bytes (its rows overflow into pages of their own). Either table with such a
column writes 12.3 KB for a reading that is committed and sent alone, this one 8.2.
"""

from collections.abc import Iterable
from typing import Any

from fleet_agent.telemetry import runs
from fleet_agent.telemetry.ages import UNKNOWN, Era
from fleet_agent.telemetry.batch import Stored
from fleet_agent.telemetry.database import Database
from fleet_agent.telemetry.inventory import SHIFT, Dropped, Source, Topic
from fleet_agent.telemetry.reading import BINARY, JSON, TEXT, Reading

TYPES = (JSON, TEXT, BINARY)

# Of readings that an older version stored only the wall time is known, and when they expire by it.
SOURCE = "coalesce(source, 0)"
MOMENT = f"coalesce(era, {UNKNOWN}), coalesce(moment, time)"
_ROW = f"id, time, priority, type, payload, {SOURCE}, {MOMENT}, coalesce(lifetime, expires - time)"

# A reading as it is inserted and found: id, time, priority, type, payload, source, era, moment, lifetime.
Row = tuple[Any, ...]

_SEQUENCE = (1 << SHIFT) - 1


def row(identifier: int, reading: Reading, source: int, era: int, moment: float) -> Row:
    """A reading as it is inserted."""
    return (
        identifier,
        # Sent and shown as a second; a whole number takes half of the bytes.
        int(reading.time),
        reading.priority,
        TYPES.index(reading.content_type),
        reading.payload,
        source,
        era,
        moment,
        None if reading.expires is None else reading.expires - reading.time,
    )


def size(rows: Iterable[Row]) -> int:
    """Bytes of their payloads."""
    return sum([len(row[4]) for row in rows])


def select(*, newest: bool) -> str:
    """The statement that finds rows from an id up to another, which is not one of them."""
    order = "DESC" if newest else "ASC"
    return f"SELECT {_ROW} FROM reading WHERE id >= ? AND id < ? ORDER BY id {order}"  # noqa: S608


def stored(row: Row) -> Stored:
    """A reading as it is sent."""
    number, time, _, content_type, payload, source, era, moment, lifetime = row
    return Stored(
        number & _SEQUENCE, payload, time, TYPES[content_type], source, era, moment, lifetime
    )


def insert(file: Database, topics: Iterable[Topic], rows: list[Row]) -> None:
    """Puts readings in, and the names of topics that are new."""
    file.execute_many(
        "INSERT INTO topic VALUES(?, ?)",
        [(topic.number, topic.name) for topic in topics if topic.is_new],
    )
    file.execute_many(
        "INSERT INTO reading(id, time, priority, type, payload, source, era, moment, lifetime) "
        "VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)",
        rows,
    )


def delete(
    file: Database,
    topic: Topic,
    first: int,
    end: int,
    markers: dict[int, int],
    *,
    is_growing: bool,
) -> None:
    """Deletes from ``first`` up to ``end``, but leaves the topic's last row behind, emptied, to keep its sequence.

    Args:
        file: The file.
        topic: Whose readings.
        first: Sequence of the first.
        end: Behind the last.
        markers: Gets the emptied row's sequence, by the topic's number.
        is_growing: The topic gets more in the same transaction: those keep its sequence.
    """
    base = topic.number << SHIFT
    marker = markers.get(topic.number, topic.marker)
    if marker is not None and marker < first:
        delete_row(file, topic, marker)
    if end == topic.next and not is_growing:
        end -= 1
        markers[topic.number] = end
        file.execute("UPDATE reading SET payload = NULL WHERE id = ?", (base + end,))
    file.execute("DELETE FROM reading WHERE id >= ? AND id < ?", (base + first, base + end))


def delete_row(file: Database, topic: Topic, sequence: int) -> None:
    """Deletes the row of one reading."""
    file.execute("DELETE FROM reading WHERE id = ?", ((topic.number << SHIFT) + sequence,))


def delete_topic(file: Database, topic: Topic, marker: int | None) -> None:
    """Deletes a topic that has nothing left, with the row that kept its sequence."""
    if marker is not None:
        delete_row(file, topic, marker)
    file.execute("DELETE FROM topic WHERE id = ?", (topic.number,))


def write_sources(file: Database, sources: Iterable[Source]) -> None:
    """Writes down who they are, and how much of theirs was dropped."""
    file.execute_many(
        "INSERT OR REPLACE INTO source(id, name, full, age, expired, refused) VALUES(?, ?, ?, ?, ?, ?)",
        [
            (source.number, source.name, lost.full, lost.age, lost.expired, lost.refused)
            for source in sources
            for lost in (source.dropped,)
        ],
    )


def write_eras(file: Database, eras: Iterable[Era]) -> None:
    """Writes down all there are."""
    file.execute("DELETE FROM era")
    file.execute_many(
        "INSERT INTO era(id, boot, offset, last) VALUES(?, ?, ?, ?)",
        [(era.number, era.boot, era.offset, era.last) for era in eras],
    )


class Stock:
    """All that is in the file, read so that damage shows now.

    ``removed`` can be deleted: markers that are not their topic's last row any more. ``heads`` are the lanes' first
    readings: era and moment.
    """

    def __init__(self, file: Database) -> None:
        self.topics = {
            number: Topic(number, name, is_new=False)
            for number, name in file.execute("SELECT id, name FROM topic")
        }
        self.sources = {
            number: Source(number, name, dropped=Dropped(*lost), is_changed=False)
            for number, name, *lost in file.execute(
                "SELECT id, name, full, age, expired, refused FROM source"
            )
        }
        self.eras = [
            Era(*found) for found in file.execute("SELECT id, boot, offset, last FROM era")
        ]
        self.removed: list[tuple[Topic, int, int]] = []
        self.used: set[int] = set()
        self.heads: dict[tuple[int, int], tuple[int, float]] = {}
        rows = file.execute(
            f"SELECT id, priority, length(payload), {SOURCE}, {MOMENT} FROM reading ORDER BY id"  # noqa: S608
        )
        for found in rows:
            self._add(*found)

    def _add(
        self,
        identifier: int,
        priority: int,
        size: int | None,
        number: int,
        era: int,
        moment: float,
    ) -> None:
        topic = self.topics[identifier >> SHIFT]
        sequence = identifier & _SEQUENCE
        source = self.sources[number]
        if topic.marker is not None:
            self.removed.append((topic, topic.marker, topic.marker + 1))
        topic.next, topic.marker, topic.last = sequence + 1, None, source
        if size is None:
            topic.marker = sequence
            return
        self.used.add(era)
        runs.add(topic.unsent, sequence, sequence + 1)
        topic.left += 1
        source.count += 1
        source.bytes += size
        lane = topic.lane(source)
        if not lane.unsent:
            lane.first = sequence
            self.heads[topic.number, number] = (era, moment)
        lane.unsent += 1
        lane.priority = priority
