"""Unsent readings: which topic sends next, and which reading is dropped when the queue is full.

Beyond the queue's bounds the oldest reading of the lowest priority is dropped, of the source with the most: a program
that floods the queue loses its own readings, not those of others. Each operation costs at most the logarithm of the
backlog.
"""

from collections.abc import Collection

from fleet_agent.telemetry import rows
from fleet_agent.telemetry.database import Database
from fleet_agent.telemetry.lazy_heap import Key, LazyHeap
from fleet_agent.telemetry.model import Lane, Source, Topic
from fleet_agent.telemetry.round_robin import RoundRobin

_EARLIEST: Key = (0, 0.0)


class Backlog:
    """Orders what is unsent, by turn, age and priority.

    Args:
        file: Where a topic's or a lane's oldest reading is looked up.
    """

    def __init__(self, file: Database) -> None:
        self._file = file
        self.turns = RoundRobin()
        self._topics: LazyHeap[Topic] = LazyHeap(self._look_at_topic)
        self._lanes: dict[int, LazyHeap[Lane]] = {}  # by the sources' numbers

    def put(
        self, lane: Lane, count: int, first: int, moment: Key, priority: int | None = None
    ) -> None:
        """Adds readings of a lane, or returns them to it.

        Args:
            lane: Theirs.
            count: How many.
            first: The sequence of the first.
            moment: When the first was stored: era and moment.
            priority: The lane's new priority, if it changes.
        """
        oldest = moment
        if priority is not None:
            if lane.unsent and priority < lane.priority:
                # Those already waiting are older; their exact age is looked up when needed.
                oldest = _EARLIEST
            lane.priority = priority
        lane.first = min(lane.first, first) if lane.unsent else first
        lane.unsent += count
        number = lane.source.number
        heads = self._lanes.get(number)
        if heads is None:
            heads = self._lanes[number] = LazyHeap(self._look_at_lane)
        heads.put(lane, (lane.priority, *oldest))
        self._topics.put(lane.topic, moment)
        self.turns.enter(number, lane.topic)

    def taken(self, lane: Lane, count: int) -> None:
        """Notes that readings of a lane were taken; the caller removes their sequences from ``unsent``."""
        lane.unsent -= count
        if lane.unsent <= 0:
            self._emptied(lane)
        if not lane.topic.unsent:
            for other in lane.topic.lanes.values():
                self._emptied(other)
            self._topics.discard(lane.topic)
            self.turns.forget(lane.topic)

    def _emptied(self, lane: Lane) -> None:
        lane.unsent = 0
        number = lane.source.number
        self.turns.leave(number, lane.topic)
        if number in self._lanes:
            self._lanes[number].discard(lane)

    def oldest(self) -> tuple[Topic, Key] | None:
        """Returns the topic with the oldest reading, and that reading's era and moment.

        Raises:
            StateDirectoryError: The file cannot be read.
        """
        return self._topics.first()

    def next_to_drop(
        self, sources: Collection[Source], *, by_bytes: bool
    ) -> tuple[Lane, int, int] | None:
        """Returns the reading to drop first: its lane, sequence and size.

        Raises:
            StateDirectoryError: The file cannot be read.
        """
        greedy = sorted(
            (source for source in sources if source.number in self._lanes),
            key=lambda source: source.bytes if by_bytes else source.count,
            reverse=True,
        )
        for source in greedy:
            if found := self._lanes[source.number].first():
                lane = found[0]
                if head := self._head(lane):
                    return lane, head.sequence, head.size
        return None

    def _look_at_topic(self, topic: Topic) -> Key | None:
        if not topic.unsent:
            return None
        oldest = rows.at(self._file, topic, topic.unsent[0][0])
        return (oldest.era, oldest.moment) if oldest else None

    def _look_at_lane(self, lane: Lane) -> Key | None:
        head = self._head(lane)
        return (lane.priority, head.era, head.moment) if head else None

    def _head(self, lane: Lane) -> rows.Head | None:
        head = rows.head(self._file, lane)
        if head is not None:
            lane.first = head.sequence
        return head
