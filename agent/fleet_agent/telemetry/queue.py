"""The durable queue: readings are on disk from the answer to their sender until AWS has them.

SQLite in WAL mode with a single connection that locks the file (``database``, ``rows``). Which readings are in flight
is known in memory only (``index``, ``backlog``): after a crash they are sent again.
"""

import contextlib
from collections.abc import Sequence
from pathlib import Path

from fleet_agent.clock import Clock
from fleet_agent.config.telemetry import Queue as Bounds
from fleet_agent.errors import StateDirectoryError
from fleet_agent.telemetry import intervals, rows
from fleet_agent.telemetry.age_clock import AgeClock
from fleet_agent.telemetry.backlog import Backlog
from fleet_agent.telemetry.batch import Stored
from fleet_agent.telemetry.database import Database
from fleet_agent.telemetry.index import Cause, Index
from fleet_agent.telemetry.model import SHIFT, Dropped, InsertPlan, Source, Topic
from fleet_agent.telemetry.reading import Reading
from fleet_agent.telemetry.row_cache import RowCache
from fleet_agent.telemetry.scan import Scan

NAME = "telemetry.sqlite3"

TOPICS_KEPT = 1000  # idle topics that keep their sequence

_TURN = 0.25  # seconds of dropping readings, until others have their turn
_SMALL = 1 << 20  # bytes of readings that are copied quickly when the file is shrunk


class Queue:
    """The durable queue; every method on the deciding thread.

    Args:
        path: The database file; its folder exists.
        bounds: How much may wait, and how durable a commit must be.
        clock: For ages.

    Raises:
        StateDirectoryError: It can be neither opened nor replaced.
    """

    def __init__(self, path: Path, bounds: Bounds, clock: Clock) -> None:
        self._bounds = bounds
        self._clock = clock
        self.ages = AgeClock(clock)
        self._index = Index()
        # Topic number and sequence of dropped readings, for senders that wait; cleared by ``Commits``.
        self.lost: list[tuple[int, int]] = []
        self._file = Database(path, self._load)

    # In -------------------------------------------------------------------------------------------------------------

    def add(self, readings: Sequence[Reading]) -> list[tuple[Topic, int] | None]:
        """Stores readings in one transaction, durable on return as the settings say.

        Returns:
            For each its topic and sequence; None: dropped at once, since the queue is full.

        Raises:
            StateDirectoryError: Nothing was stored: the disk is full, read-only or failing.
        """
        self._ensure_room()
        moment = self.ages.now
        plan = self._write(readings, self._bounds.synchronous)
        self._index.apply(plan)
        self._row_cache.put(plan.rows)
        for lane_plan in plan.lanes.values():
            lane = lane_plan.topic_plan.topic.lane(lane_plan.source)
            self._backlog.put(lane, lane_plan.count, lane_plan.first, moment, lane_plan.priority)
        return self._kept(plan.places)

    def _ensure_room(self) -> None:
        try:
            self._file.ensure_room()
        except StateDirectoryError:
            if not self.has_unwritten:
                raise
            # What AWS has is deleted first.
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
        """Drops readings until the queue is within its bounds; those in flight stay, as their answers come soon."""
        until = self._clock.monotonic() + _TURN
        while (is_many := self.count > self._bounds.max_messages) or (
            self.bytes > self._bounds.max_bytes
        ):
            # Bounds that were lowered are reached with the commits that follow.
            if self._clock.monotonic() > until:
                return
            found = self._backlog.next_to_drop(self._index.sources.values(), by_bytes=not is_many)
            if found is None:
                return
            lane, sequence, size = found
            if self.has(lane.topic):
                self._drop(lane.topic, lane.source, sequence, size, "full")

    def _drop(self, topic: Topic, source: Source, sequence: int, size: int, cause: Cause) -> None:
        intervals.remove(topic.unsent, sequence)
        self._row_cache.drop((topic.number << SHIFT) + sequence)
        self._backlog.taken(topic.lane(source), 1)
        self._index.remove(topic, source, sequence, 1, size)
        self._index.count_dropped(source, cause, 1)
        self.lost.append((topic.number, sequence))

    @property
    def count(self) -> int:
        """Readings that AWS does not have."""
        return self._index.count

    @property
    def bytes(self) -> int:
        """The bytes of their payloads."""
        return self._index.bytes

    @property
    def dropped(self) -> Dropped:
        """What was dropped since the queue was created."""
        return self._index.dropped

    def most_dropped(self, most: int) -> list[tuple[str, Dropped]]:
        """Returns the sources that lost the most readings since the queue was created."""
        return self._index.most_dropped(most)

    # Out ------------------------------------------------------------------------------------------------------------

    @property
    def topics(self) -> Sequence[Topic]:
        """The topics with unsent readings, in turn order."""
        return self._backlog.turns.all()

    def next(self, now: float) -> Topic | None:
        """Returns the topic whose turn it is (monotonic seconds); paused ones are passed over."""
        return self._backlog.turns.next(now)

    def due(self) -> float:
        """Returns when ``next`` has a topic (monotonic seconds); ``-math.inf``: now; ``math.inf``: when more comes."""
        return self._backlog.turns.due()

    def pause(self, topic: Topic, until: float) -> None:
        """Passes over the topic until then (monotonic seconds)."""
        if self.has(topic):
            self._backlog.turns.pause(topic, until)

    def resume(self, topic: Topic | None = None) -> None:
        """Ends the pause of the topic, or of every topic."""
        if topic is None:
            self._backlog.turns.resume_all()
        else:
            self._backlog.turns.resume(topic)

    def take(self, topic: Topic, most: int, size: int, *, newest: bool = False) -> list[Stored]:
        """Takes consecutive readings of a topic, which are in flight from now on, and moves the topic to the back.

        Args:
            topic: One of ``topics``.
            most: How many, at most.
            size: Bytes of their payloads and separators, at most, unless the first alone has more.
            newest: Start with the newest.

        Returns:
            Ascending; none when a damaged file was replaced.

        Raises:
            StateDirectoryError: The file cannot be read; nothing was taken.
        """
        first, end = intervals.take(topic.unsent, most, from_end=newest)
        try:
            found = self._row_cache.take(topic, first, end, size, newest=newest)
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
        self._backlog.turns.move_to_back(topic)
        for source, part in _by_source(taken).items():
            self._backlog.taken(topic.lanes[source], len(part))
        return taken

    def give_back(self, topic: Topic, readings: Sequence[Stored]) -> None:
        """Returns readings that were in flight: they are sent again."""
        if not self.has(topic):
            return
        for first, end in intervals.of([reading.sequence for reading in readings]):
            intervals.add(topic.unsent, first, end)
        for source, part in _by_source(readings).items():
            first_of = part[0]
            self._backlog.put(
                topic.lanes[source],
                len(part),
                first_of.sequence,
                (first_of.era, first_of.moment),
            )

    def forget(self, topic: Topic, readings: Sequence[Stored], cause: Cause | None = None) -> None:
        """Deletes readings with the next commit: AWS has them, or (with a cause) never will.

        Args:
            topic: Theirs.
            readings: In flight until now; ascending.
            cause: Why they are dropped; counted.
        """
        if not self.has(topic):
            return
        for number, part in _by_source(readings).items():
            source = topic.lanes[number].source
            size = sum([len(reading.payload) for reading in part])
            for first, end in intervals.of([reading.sequence for reading in part]):
                self._index.remove(topic, source, first, end - first, size)
                size = 0
            if cause:
                self._index.count_dropped(source, cause, len(part))

    def tidy(self) -> bool:
        """Drops readings older than the bound, and gives disk space back.

        Returns:
            Whether there are more, after a turn's time: a backlog of millions takes minutes.

        Raises:
            StateDirectoryError: The file cannot be read, or not be written.
        """
        until = self._clock.monotonic() + _TURN
        while found := self._backlog.oldest():
            if self._clock.monotonic() > until:
                self.flush()
                return True
            topic, (era, moment) = found
            if self.ages.age(int(era), moment) <= self._bounds.max_age:
                break
            sequence = topic.unsent[0][0]
            old = rows.at(self._file, topic, sequence)
            if old is not None and self.has(topic):
                source = topic.lanes[old.source].source
                self._drop(topic, source, sequence, len(old.payload), "age")
        if self.bytes < _SMALL and self._file.is_large:
            # Under constant traffic some readings are always waiting to be deleted.
            self.flush()
            self._file.shrink()
        return False

    def oldest(self) -> float | None:
        """Returns the time (Unix seconds) of the oldest waiting reading; None: nothing waits.

        Raises:
            StateDirectoryError: The file cannot be read.
        """
        if (found := self._backlog.oldest()) is None:
            return None
        oldest = rows.at(self._file, found[0], found[0].unsent[0][0])
        return None if oldest is None else float(oldest.time)

    @property
    def replaced(self) -> tuple[Path, str] | None:
        """The new name of a damaged file, and what was wrong with it; None: there was none."""
        return self._file.replaced

    # The file -------------------------------------------------------------------------------------------------------

    @property
    def has_unwritten(self) -> bool:
        """Whether readings that AWS has are still in the file."""
        return bool(self._index.to_tidy)

    def flush(self) -> None:
        """Deletes what AWS has, without an fsync: what a power cut brings back is sent again.

        Raises:
            StateDirectoryError: The file cannot be written; tried again with the next commit.
        """
        if self._index.to_tidy:
            self._write((), "normal")

    def close(self) -> None:
        """Writes what is left to write and closes the file."""
        with contextlib.suppress(StateDirectoryError):
            self.flush()
        self._file.close()

    def has(self, topic: Topic) -> bool:
        """Whether the topic belongs to the current file."""
        return self._index.names.get(topic.name) is topic

    def _write(self, readings: Sequence[Reading], synchronous: str) -> InsertPlan:
        """Deletes what AWS has and inserts the readings; the index changes once that is committed."""
        plan = InsertPlan()
        markers: dict[int, int | None] = {}
        surplus: list[Topic] = []
        changed: list[Source] = []

        index, file = self._index, self._file

        def change() -> None:  # run again as a whole when a damaged file was replaced
            nonlocal plan, surplus, changed
            plan = index.plan(readings, *self.ages.now)
            markers.clear()
            for topic in index.to_tidy.values():
                is_growing = topic.name in plan.topics
                markers[topic.number] = rows.delete(file, topic, is_growing=is_growing)
            surplus = index.surplus(TOPICS_KEPT, plan)
            for topic in surplus:
                rows.delete_topic(file, topic, markers.get(topic.number, topic.marker))
            changed = [source for source in index.sources.values() if source.is_changed]
            rows.write_sources(file, changed)
            if eras := self.ages.changed():
                rows.write_eras(file, eras)
            rows.insert(file, (topic_plan.topic for topic_plan in plan.topics.values()), plan.rows)

        file.write(change, synchronous)
        self.ages.written()
        for source in changed:
            source.is_changed = False
        index.deleted(markers, surplus)
        return plan

    def _load(self, file: Database) -> None:
        """Loads the index; reads the whole file, so that damage shows now."""
        scan = Scan(file)
        self._index.load(scan)
        self._row_cache = RowCache(file)
        self.ages.load(scan.eras, scan.used)
        self._backlog = Backlog(file)
        for topic in self._index.names.values():
            for lane in topic.lanes.values():
                head = scan.heads[topic.number, lane.source.number]
                unsent, lane.unsent = lane.unsent, 0
                self._backlog.put(lane, unsent, lane.first, head)


def _by_source(readings: Sequence[Stored]) -> dict[int, Sequence[Stored]]:
    """Groups readings by source; usually all are of one."""
    if len(readings) == 1:
        return {readings[0].source: readings}
    sources = {reading.source for reading in readings}
    if len(sources) <= 1:
        return dict.fromkeys(sources, readings)
    found: dict[int, list[Stored]] = {}
    for reading in readings:
        found.setdefault(reading.source, []).append(reading)
    return dict(found)
