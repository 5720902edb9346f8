"""Where readings wait, on disk, from the moment they are acknowledged to their sender until AWS has them.

SQLite in WAL mode with one connection that keeps the file to itself (``database``, ``rows``). Which readings are under
way is known in memory only (``accounts``, ``waiting``): after a crash they are sent again.
"""

import contextlib
from collections.abc import Sequence
from pathlib import Path

from fleet_agent.clock import Clock
from fleet_agent.config.telemetry import Queue as Bounds
from fleet_agent.errors import StateDirectoryError
from fleet_agent.telemetry import intervals, rows
from fleet_agent.telemetry.age_clock import Ages
from fleet_agent.telemetry.backlog import Waiting
from fleet_agent.telemetry.batch import Stored
from fleet_agent.telemetry.chunks import Row
from fleet_agent.telemetry.database import Database
from fleet_agent.telemetry.index import Accounts, Cause
from fleet_agent.telemetry.model import SHIFT, Dropped, Growth, Source, Topic
from fleet_agent.telemetry.reading import Reading
from fleet_agent.telemetry.row_cache import Recent
from fleet_agent.telemetry.scan import Scan

NAME = "telemetry.sqlite3"

TOPICS_KEPT = 1000  # with nothing in the file, that keep their sequence

_SMALL = 1 << 20  # bytes of readings that are quickly copied when the file gives space back


class Queue:
    """The durable queue; every method on the deciding thread.

    Args:
        path: The database file; its folder exists.
        bounds: How much may wait, and how sure a commit must be.
        clock: For ages.

    Raises:
        StateDirectoryError: It can be neither opened nor replaced.
    """

    def __init__(self, path: Path, bounds: Bounds, clock: Clock) -> None:
        self._bounds = bounds
        self._clock = clock
        self.ages = Ages(clock)
        self._accounts = Accounts()
        # Topic's number and sequence of what was dropped, for whoever waits for them; emptied by the publisher.
        self.lost: list[tuple[int, int]] = []
        self._file = Database(path, self._look_around)

    # In -------------------------------------------------------------------------------------------------------------

    def add(self, readings: Sequence[Reading]) -> list[tuple[Topic, int] | None]:
        """Stores readings in one transaction, durable on return as the settings say.

        Returns:
            For each its topic and sequence; None: it was dropped at once, for the queue is full.

        Raises:
            StateDirectoryError: Nothing of it was stored: disk full, read-only, failing.
        """
        self._ensure_room()
        moment = self.ages.now
        growth = self._write(readings, self._bounds.synchronous)
        self._accounts.grow(growth)
        self._recent.put(growth.rows)
        for growing in growth.lanes.values():
            lane = growing.grown.topic.lane(growing.source)
            self._waiting.put(lane, growing.count, growing.first, moment, growing.priority)
        return self._kept(growth.places)

    def _ensure_room(self) -> None:
        try:
            self._file.ensure_room()
        except StateDirectoryError:
            if not self.has_unwritten:
                raise
            # What AWS has gives its place first.
            self.flush()
            self._file.ensure_room()

    def _kept(self, places: list[tuple[Topic, int]]) -> list[tuple[Topic, int] | None]:
        before = len(self.lost)
        with contextlib.suppress(StateDirectoryError):  # they are stored: room is made next time
            self._make_room()
        if len(self.lost) == before:
            return list(places)
        gone = set(self.lost[before:])
        return [None if (t.number, sequence) in gone else (t, sequence) for t, sequence in places]

    def _make_room(self) -> None:
        """Drops what can be spared; what is under way stays, its answer comes soon."""
        while (is_many := self.count > self._bounds.max_messages) or (
            self.bytes > self._bounds.max_bytes
        ):
            found = self._waiting.least(self._accounts.sources.values(), by_bytes=not is_many)
            if found is None:
                return
            lane, sequence, size = found
            if self.has(lane.topic):
                self._drop(lane.topic, lane.source, sequence, size, "full")

    def _drop(self, topic: Topic, source: Source, sequence: int, size: int, cause: Cause) -> None:
        intervals.remove(topic.unsent, sequence)
        self._recent.drop((topic.number << SHIFT) + sequence)
        self._waiting.took(topic.lane(source), 1)
        self._accounts.remove(topic, source, sequence, 1, size)
        self._accounts.lose(source, cause, 1)
        self.lost.append((topic.number, sequence))

    @property
    def count(self) -> int:
        """Readings that AWS does not have."""
        return self._accounts.count

    @property
    def bytes(self) -> int:
        """Bytes of their payloads."""
        return self._accounts.bytes

    @property
    def dropped(self) -> Dropped:
        """What was dropped, since the queue was first made."""
        return self._accounts.dropped

    def losers(self, most: int) -> list[tuple[str, Dropped]]:
        """Sources of which readings were dropped since the queue was first made, those with most first."""
        return self._accounts.losers(most)

    # Out ------------------------------------------------------------------------------------------------------------

    @property
    def topics(self) -> Sequence[Topic]:
        """Those with readings that are not under way, to look at; whose turn it is comes first."""
        return self._waiting.turns.all()

    def next(self, now: float) -> Topic | None:
        """Whose turn it is (monotonic seconds): one of ``topics`` that does not rest."""
        return self._waiting.turns.next(now)

    def due(self) -> float:
        """When ``next`` has one (monotonic seconds); ``-math.inf``: now; ``math.inf``: when more comes."""
        return self._waiting.turns.due()

    def rest(self, topic: Topic, until: float) -> None:
        """It is not this topic's turn until then (monotonic seconds)."""
        if self.has(topic):
            self._waiting.turns.rest(topic, until)

    def wake(self, topic: Topic | None = None) -> None:
        """It, or every topic, rests no more."""
        if topic is None:
            self._waiting.turns.wake_all()
        else:
            self._waiting.turns.wake(topic)

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
        first, end = intervals.take(topic.unsent, most, from_end=newest)
        left = size

        def is_enough(row: Row) -> bool:
            nonlocal left
            left -= len(row[4]) + 1
            return left < 0

        try:
            found = self._recent.take(topic, first, end, is_enough, newest=newest)
        except StateDirectoryError:
            intervals.add(topic.unsent, first, end)
            raise
        if not self.has(topic):
            return []
        if newest:
            found.reverse()
        taken = [rows.stored(row) for row in found]
        if taken and newest and first < taken[0].sequence:
            intervals.add(topic.unsent, first, taken[0].sequence)
        elif taken and not newest and taken[-1].sequence + 1 < end:
            intervals.add(topic.unsent, taken[-1].sequence + 1, end)
        self._waiting.turns.had_turn(topic)
        for source, part in _by_source(taken).items():
            self._waiting.took(topic.lanes[source], len(part))
        return taken

    def give_back(self, topic: Topic, readings: Sequence[Stored]) -> None:
        """They are not under way any more: to be sent again."""
        if not self.has(topic):
            return
        for first, end in intervals.of([reading.sequence for reading in readings]):
            intervals.add(topic.unsent, first, end)
        for source, part in _by_source(readings).items():
            first_of = part[0]
            self._waiting.put(
                topic.lanes[source],
                len(part),
                first_of.sequence,
                (first_of.era, first_of.moment),
            )

    def forget(self, topic: Topic, readings: Sequence[Stored], cause: Cause | None = None) -> None:
        """AWS has these, or (with a cause) never will; deleted with the next commit.

        Args:
            topic: Theirs.
            readings: Under way until now; ascending.
            cause: Why they are dropped, and counted as that.
        """
        if not self.has(topic):
            return
        for number, part in _by_source(readings).items():
            source = topic.lanes[number].source
            size = sum([len(reading.payload) for reading in part])
            for first, end in intervals.of([reading.sequence for reading in part]):
                self._accounts.remove(topic, source, first, end - first, size)
                size = 0
            if cause:
                self._accounts.lose(source, cause, len(part))

    def tidy(self) -> None:
        """Drops what waits for longer than the bound allows; returns disk space.

        Raises:
            StateDirectoryError: The file cannot be read, or not be written.
        """
        while found := self._waiting.oldest():
            topic, (era, moment) = found
            if self.ages.age(int(era), moment) <= self._bounds.max_age:
                break
            sequence = topic.unsent[0][0]
            old = rows.at(self._file, topic, sequence)
            if old is not None and self.has(topic):
                source = topic.lanes[old.source].source
                self._drop(topic, source, sequence, len(old.payload), "age")
        if self.bytes < _SMALL and self._file.is_large:
            # Readings that come and go all the time leave some to be deleted at any moment.
            self.flush()
            self._file.shrink()

    def oldest(self) -> float | None:
        """The time (Unix seconds) of the oldest reading that waits; None: nothing waits.

        Raises:
            StateDirectoryError: The file cannot be read.
        """
        if (found := self._waiting.oldest()) is None:
            return None
        oldest = rows.at(self._file, found[0], found[0].unsent[0][0])
        return None if oldest is None else float(oldest.time)

    @property
    def replaced(self) -> tuple[Path, str] | None:
        """What a damaged file is called now, and what was wrong with it; None: there was none."""
        return self._file.replaced

    # The file -------------------------------------------------------------------------------------------------------

    @property
    def has_unwritten(self) -> bool:
        """Whether readings that AWS has are still in the file."""
        return bool(self._accounts.to_tidy)

    def flush(self) -> None:
        """Deletes what AWS has. Not forced to the disk: what a power cut brings back is sent again.

        Raises:
            StateDirectoryError: The file cannot be written; tried again with the next commit.
        """
        if self._accounts.to_tidy:
            self._write((), "normal")

    def close(self) -> None:
        """Writes what is left to write and lets go of the file."""
        with contextlib.suppress(StateDirectoryError):
            self.flush()
        self._file.close()

    def has(self, topic: Topic) -> bool:
        """Whether it is of the file as it is now."""
        return self._accounts.names.get(topic.name) is topic

    def _write(self, readings: Sequence[Reading], synchronous: str) -> Growth:
        """Deletes what AWS has and insert the readings; what is known in memory changes once that is committed."""
        growth = Growth()
        markers: dict[int, int | None] = {}
        surplus: list[Topic] = []
        changed: list[Source] = []

        accounts, file = self._accounts, self._file

        def change() -> None:  # run again as a whole when a damaged file was replaced
            nonlocal growth, surplus, changed
            growth = accounts.plan(readings, *self.ages.now)
            markers.clear()
            for topic in accounts.to_tidy.values():
                is_growing = topic.name in growth.topics
                markers[topic.number] = rows.delete(file, topic, is_growing=is_growing)
            surplus = accounts.surplus(TOPICS_KEPT, growth)
            for topic in surplus:
                rows.delete_topic(file, topic, markers.get(topic.number, topic.marker))
            changed = [source for source in accounts.sources.values() if source.is_changed]
            rows.write_sources(file, changed)
            if eras := self.ages.changed():
                rows.write_eras(file, eras)
            rows.insert(file, (grown.topic for grown in growth.topics.values()), growth.rows)

        file.write(change, synchronous)
        self.ages.written()
        for source in changed:
            source.is_changed = False
        accounts.deleted(markers, surplus)
        return growth

    def _look_around(self, file: Database) -> None:
        """Learns what is in the file: all of it is read, so that damage shows now."""
        scan = Scan(file)
        self._accounts.load(scan)
        self._recent = Recent(file)
        self.ages.load(scan.eras, scan.used)
        self._waiting = Waiting(file)
        for topic in self._accounts.names.values():
            for lane in topic.lanes.values():
                head = scan.heads[topic.number, lane.source.number]
                unsent, lane.unsent = lane.unsent, 0
                self._waiting.put(lane, unsent, lane.first, head)


def _by_source(readings: Sequence[Stored]) -> dict[int, Sequence[Stored]]:
    """Mostly all are of one."""
    if len(readings) == 1:
        return {readings[0].source: readings}
    sources = {reading.source for reading in readings}
    if len(sources) <= 1:
        return dict.fromkeys(sources, readings)
    found: dict[int, list[Stored]] = {}
    for reading in readings:
        found.setdefault(reading.source, []).append(reading)
    return dict(found)
