"""Readings as rows of the queue's file: inserts, deletes and reads them.

A reading's id combines its topic's number and its sequence in that topic in one integer: no index is needed, and each
topic is contiguous in the file. Readings that were stored together share a row (``chunks``), which only deletion has to
know. Sequences continue after a restart: when all of a topic was sent, an empty row stays behind at its end.

A WITHOUT ROWID table of (topic, sequence), with the next sequence in a column of the topic, needs no empty rows.
``benchmarks/queue_layouts.py`` measures it at 0.9 to 1.2 of this layout's speed with readings of 200 bytes, and at 0.7
to 0.9 with 2000, where it writes 2.2 times the bytes (its rows overflow into pages of their own). Either table with
such a column writes 12.3 KB for a reading that is committed and sent alone; this one writes 8.2.
"""

import operator
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from fleet_agent.record import mutable
from fleet_agent.telemetry import chunks, intervals
from fleet_agent.telemetry.age_clock import UNKNOWN, Era
from fleet_agent.telemetry.batch import Stored
from fleet_agent.telemetry.chunks import PAYLOAD, Row
from fleet_agent.telemetry.damage import damaged
from fleet_agent.telemetry.database import Database
from fleet_agent.telemetry.model import SHIFT, Lane, Source, Topic
from fleet_agent.telemetry.reading import BINARY, JSON, TEXT, Reading

_T = TypeVar("_T")

TYPES = (JSON, TEXT, BINARY)

# Of readings stored by an older version only the wall time is known, and the wall time of expiry.
SOURCE = "coalesce(source, 0)"
MOMENT = f"coalesce(era, {UNKNOWN}), coalesce(moment, time)"
_CHUNK = f"id, time, priority, type, payload, {SOURCE}, {MOMENT}, coalesce(lifetime, expires - time), sizes"

SEQUENCE = (1 << SHIFT) - 1
_MOST = 1e15  # above every time and count


def row(identifier: int, reading: Reading, source: int, era: int, moment: float) -> Row:
    """Returns a reading as a row to insert."""
    return (
        identifier,
        # Shown to the second; an integer takes half of the bytes.
        int(reading.time),
        reading.priority,
        TYPES.index(reading.content_type),
        reading.payload,
        source,
        era,
        moment,
        # Rounded, so that equal lifetimes stay equal.
        None if reading.expires is None else round(reading.expires - reading.time, 3),
    )


def size(rows: Iterable[Row]) -> int:
    """Returns the bytes of their payloads."""
    return sum([len(row[PAYLOAD]) for row in rows])


# The first reading's chunk may begin before it.
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
    """Reads consecutive waiting readings of a topic, until ``take`` has what it wants.

    Args:
        file: The file.
        topic: Theirs.
        first: Sequence of the first.
        end: Sequence after the last.
        take: Consumes them; called again if the first attempt to read failed.
        newest: Start with the last.

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
    """Reads a waiting reading; None: the file turned out to be damaged, and was replaced.

    Raises:
        StateDirectoryError: It cannot be read.
    """
    return read(file, topic, sequence, sequence + 1, lambda found: stored(next(found)))


@mutable
class Head:
    """A lane's oldest reading: its sequence, when it was stored, and the size of its payload."""

    sequence: int
    size: int
    era: int
    moment: float


def head(file: Database, lane: Lane) -> Head | None:
    """Finds a lane's oldest unsent reading; None: there is none.

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
    """Checks that a row's values could have been stored.

    Raises:
        sqlite3.Error: They could not: the file is damaged.
    """
    _, time, priority, content_type, _, source, era, moment, lifetime, _ = chunk
    if not (
        are_numbers(time, priority, era, moment, lifetime or 0)
        and isinstance(content_type, int)
        and 0 <= content_type < len(TYPES)
        and source in topic.lanes
    ):
        raise damaged("a reading makes no sense")


def are_numbers(*values: object) -> bool:
    """Whether all of them are numbers in the range that the agent stores."""
    return all(isinstance(value, int | float) and abs(value) < _MOST for value in values)


def stored(row: Row) -> Stored:
    """Returns a row as a reading to send."""
    number, time, _, content_type, payload, source, era, moment, lifetime = row
    return Stored(
        number & SEQUENCE, payload, time, TYPES[content_type], source, era, moment, lifetime
    )


def insert(file: Database, topics: Iterable[Topic], rows: list[Row]) -> None:
    """Inserts readings, and the names of new topics."""
    file.execute_many(
        "INSERT INTO topic VALUES(?, ?)",
        [(topic.number, topic.name) for topic in topics if topic.is_new],
    )
    # Readings of several topics may be interleaved.
    _insert(file, chunks.join(sorted(rows, key=_identifier)))


_identifier = operator.itemgetter(0)


def _insert(file: Database, found: list[chunks.Chunk]) -> None:
    file.execute_many(
        "INSERT INTO reading(id, time, priority, type, payload, source, era, moment, lifetime, sizes) "
        "VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        found,
    )


def delete(file: Database, topic: Topic, *, is_growing: bool) -> int | None:
    """Deletes what is gone of a topic; if nothing is left, an empty row preserves its sequence.

    Args:
        file: The file.
        topic: Theirs; its ``gone`` is not empty.
        is_growing: The topic gets more in the same transaction, which preserve its sequence.

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
    """Splits a chunk so that this reading becomes the first of one."""
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
    """Deletes a single row."""
    file.execute("DELETE FROM reading WHERE id = ?", ((topic.number << SHIFT) + sequence,))


def delete_topic(file: Database, topic: Topic, marker: int | None) -> None:
    """Deletes an idle topic, with the row that preserved its sequence."""
    if marker is not None:
        delete_row(file, topic, marker)
    file.execute("DELETE FROM topic WHERE id = ?", (topic.number,))


def write_sources(file: Database, sources: Iterable[Source]) -> None:
    """Writes the sources, and how many readings of each were dropped."""
    file.execute_many(
        "INSERT OR REPLACE INTO source(id, name, full, age, expired, refused) VALUES(?, ?, ?, ?, ?, ?)",
        [
            (source.number, source.name, lost.full, lost.age, lost.expired, lost.refused)
            for source in sources
            for lost in (source.dropped,)
        ],
    )


def write_eras(file: Database, eras: Iterable[Era]) -> None:
    """Replaces the recorded eras."""
    file.execute("DELETE FROM era")
    file.execute_many(
        "INSERT INTO era(id, boot, offset, last) VALUES(?, ?, ?, ?)",
        [(era.number, era.boot, era.offset, era.last) for era in eras],
    )
