"""Readings as rows of the queue's file: what is written, deleted and found there.

A reading's id is its topic's number and its sequence in that topic, side by side in one integer: no index, and each
topic together in the file. Readings that were stored together share a row (``chunks``): only who deletes has to know.
The sequence goes on after a restart, since an empty row stays behind in a topic's end when everything of it was sent.

A WITHOUT ROWID table of (topic, sequence), with the next sequence in a column of the topic, would do without empty
rows. ``benchmarks/queue_layouts.py`` has it at 0.9 to 1.2 of this one's speed with 200 bytes a reading and at 0.7 to
0.9 with 2000, where it writes 2.2 times the bytes (its rows overflow into pages of their own). Either table with such a
column writes 12.3 KB for a reading that is committed and sent alone, this one 8.2.
"""

import operator
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from fleet_agent.record import mutable
from fleet_agent.telemetry import chunks, intervals
from fleet_agent.telemetry.age_clock import UNKNOWN, Era
from fleet_agent.telemetry.batch import Stored
from fleet_agent.telemetry.chunks import Row
from fleet_agent.telemetry.damage import damaged
from fleet_agent.telemetry.database import Database
from fleet_agent.telemetry.model import SHIFT, Lane, Source, Topic
from fleet_agent.telemetry.reading import BINARY, JSON, TEXT, Reading

_T = TypeVar("_T")

TYPES = (JSON, TEXT, BINARY)

# Of readings that an older version stored only the wall time is known, and when they expire by it.
SOURCE = "coalesce(source, 0)"
MOMENT = f"coalesce(era, {UNKNOWN}), coalesce(moment, time)"
_CHUNK = f"id, time, priority, type, payload, {SOURCE}, {MOMENT}, coalesce(lifetime, expires - time), sizes"

SEQUENCE = (1 << SHIFT) - 1
_MOST = 1e15  # no time, and no number of anything, is as large


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
        # So that what expires after as many seconds has as many here.
        None if reading.expires is None else round(reading.expires - reading.time, 3),
    )


def size(rows: Iterable[Row]) -> int:
    """Bytes of their payloads."""
    return sum([len(row[4]) for row in rows])


# The chunk that the first is in may begin before it.
_RANGE = (
    "FROM reading "
    "WHERE id >= coalesce((SELECT max(id) FROM reading WHERE id <= ?1), ?1) AND id < ?2"
)
_OLDEST_FIRST = f"SELECT {_CHUNK} {_RANGE} ORDER BY id"
_NEWEST_FIRST = f"{_OLDEST_FIRST} DESC"
_OF_SOURCE = f"SELECT id, length(payload), sizes, {MOMENT} {_RANGE} AND {SOURCE} = ?3 ORDER BY id"


def read(
    file: Database,
    topic: Topic,
    first: int,
    end: int,
    take: Callable[[Iterator[Row]], _T],
    *,
    newest: bool = False,
) -> _T | None:
    """Reads a topic's readings that wait and follow each other, until ``take`` has what it wants.

    Args:
        file: The file.
        topic: Whose readings.
        first: Sequence of the first.
        end: Behind the last.
        take: Gets them; called once more where the file could not be read at first.
        newest: From the last one on.

    Returns:
        What ``take`` returns; None: the file turned out to be damaged, and was replaced.

    Raises:
        StateDirectoryError: They cannot be read.
    """
    ids = range((topic.number << SHIFT) + first, (topic.number << SHIFT) + end)

    def split(found: Iterable[chunks.Chunk]) -> Iterator[Row]:
        for chunk in found:
            rows = chunks.split(chunk)
            if rows[-1][0] >= ids[0]:
                _check(chunk, topic)
            yield from (row for row in (reversed(rows) if newest else rows) if row[0] in ids)

    def expected(found: Iterable[chunks.Chunk]) -> Iterator[Row]:
        rows = split(found)
        for identifier in reversed(ids) if newest else ids:
            row = next(rows, None)
            if row is None or row[0] != identifier:
                raise damaged("readings are missing")
            yield row

    statement = _NEWEST_FIRST if newest else _OLDEST_FIRST
    return file.read(statement, (ids.start, ids.stop), lambda found: take(expected(found)))


def at(file: Database, topic: Topic, sequence: int) -> Stored | None:
    """A reading that waits; None: the file turned out to be damaged, and was replaced.

    Raises:
        StateDirectoryError: It cannot be read.
    """
    return read(file, topic, sequence, sequence + 1, lambda found: stored(next(found)))


@mutable
class Head:
    """A lane's oldest reading: where it is, when it was stored, and the bytes of its payload."""

    sequence: int
    size: int
    era: int
    moment: float


def head(file: Database, lane: Lane) -> Head | None:
    """A lane's oldest reading that is not under way; None: there is none.

    Raises:
        StateDirectoryError: It cannot be read.
    """
    unsent = lane.topic.unsent
    if not unsent:
        return None

    def take(found: Iterable[tuple[Any, ...]]) -> Head | None:
        for identifier, size, sizes, era, moment in found:
            first = identifier & SEQUENCE
            lengths = chunks.lengths(sizes, size)
            sequence = intervals.at_or_after(unsent, first)
            if sequence is not None and sequence < first + len(lengths):
                if not are_numbers(era, moment):
                    raise damaged("a reading makes no sense")
                return Head(sequence, lengths[sequence - first], era, moment)
        return None

    base = lane.topic.number << SHIFT
    first = base + max(lane.first, unsent[0][0])
    return file.read(_OF_SOURCE, (first, base + unsent[-1][1], lane.source.number), take)


def _check(chunk: chunks.Chunk, topic: Topic) -> None:
    """Is sure that a row's values are what they were when it was stored, as far as can be seen."""
    _, time, priority, content_type, _, source, era, moment, lifetime, _ = chunk
    if not (
        are_numbers(time, priority, era, moment, lifetime or 0)
        and isinstance(content_type, int)
        and 0 <= content_type < len(TYPES)
        and source in topic.lanes
    ):
        raise damaged("a reading makes no sense")


def are_numbers(*values: object) -> bool:
    """Whether all of them are numbers that a file of ours may hold."""
    return all(isinstance(value, int | float) and abs(value) < _MOST for value in values)


def stored(row: Row) -> Stored:
    """A reading as it is sent."""
    number, time, _, content_type, payload, source, era, moment, lifetime = row
    return Stored(
        number & SEQUENCE, payload, time, TYPES[content_type], source, era, moment, lifetime
    )


def insert(file: Database, topics: Iterable[Topic], rows: list[Row]) -> None:
    """Puts readings in, and the names of topics that are new."""
    file.execute_many(
        "INSERT INTO topic VALUES(?, ?)",
        [(topic.number, topic.name) for topic in topics if topic.is_new],
    )
    # Those of several topics may have come in turns.
    _insert(file, chunks.join(sorted(rows, key=_identifier)))


_identifier = operator.itemgetter(0)


def _insert(file: Database, found: list[chunks.Chunk]) -> None:
    file.execute_many(
        "INSERT INTO reading(id, time, priority, type, payload, source, era, moment, lifetime, sizes) "
        "VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        found,
    )


def delete(file: Database, topic: Topic, *, is_growing: bool) -> int | None:
    """Deletes what is gone of a topic; when that was all, an empty row stays behind and keeps its sequence.

    Args:
        file: The file.
        topic: Whose readings; something of it is gone.
        is_growing: The topic gets more in the same transaction: those keep its sequence.

    Returns:
        The sequence of the empty row; None: there is none.
    """
    base = topic.number << SHIFT
    if topic.marker is not None:
        delete_row(file, topic, topic.marker)
    for first, end in topic.gone:
        _cut(file, base + first)
        _cut(file, base + end)
        file.execute("DELETE FROM reading WHERE id >= ? AND id < ?", (base + first, base + end))
    last = topic.gone[-1][1] - 1
    if is_growing or last + 1 < topic.next:
        return None
    source = topic.last.number if topic.last else 0
    file.execute("INSERT INTO reading(id, source) VALUES(?, ?)", (base + last, source))
    return last


def _cut(file: Database, identifier: int) -> None:
    """Makes a reading the first of its chunk."""
    found = file.execute(
        f"SELECT {_CHUNK} FROM reading WHERE sizes NOT NULL "  # noqa: S608
        f"AND id = (SELECT max(id) FROM reading WHERE id > ?1 - {chunks.MOST} AND id < ?1)",
        (identifier,),
    )
    for chunk in found.fetchall():
        rows = chunks.split(chunk)
        at = identifier - chunk[0]
        if at < len(rows):
            file.execute("DELETE FROM reading WHERE id = ?", (chunk[0],))
            _insert(file, chunks.join(rows[:at]) + chunks.join(rows[at:]))


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
