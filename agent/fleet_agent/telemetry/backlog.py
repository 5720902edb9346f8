"""What waits and is not under way: whose turn it is to be sent, and what goes first when there is no room.

Beyond the queue's bounds the oldest of the lowest priority goes, of the source that has the most: a program that
floods the queue loses its own readings, not those of others. A step costs the logarithm of what waits at most.
"""

from collections.abc import Collection

from fleet_agent.telemetry import rows
from fleet_agent.telemetry.database import Database
from fleet_agent.telemetry.lazy_heap import Heads, Key
from fleet_agent.telemetry.model import Lane, Source, Topic
from fleet_agent.telemetry.round_robin import Turns

_EARLIEST: Key = (0, 0.0)


class Waiting:
    """Keeps ``Topic.unsent`` and the lanes' counts, and what follows from them.

    Args:
        file: Where a topic's or a lane's oldest reading is looked up.
    """

    def __init__(self, file: Database) -> None:
        self._file = file
        self.turns = Turns()
        self._topics: Heads[Topic] = Heads(self._look_at_topic)
        self._lanes: dict[int, Heads[Lane]] = {}  # by the sources' numbers

    def put(
        self, lane: Lane, count: int, first: int, moment: Key, priority: int | None = None
    ) -> None:
        """Readings of a lane wait (again).

        Args:
            lane: Whose.
            count: How many.
            first: The sequence of the first of them.
            moment: When that was stored: era and moment.
            priority: The lane's from now on, when it changes.
        """
        oldest = moment
        if priority is not None:
            if lane.unsent and priority < lane.priority:
                # Those that wait already are older: how much is looked up when it matters.
                oldest = _EARLIEST
            lane.priority = priority
        lane.first = min(lane.first, first) if lane.unsent else first
        lane.unsent += count
        number = lane.source.number
        heads = self._lanes.get(number)
        if heads is None:
            heads = self._lanes[number] = Heads(self._look_at_lane)
        heads.put(lane, (lane.priority, *oldest))
        self._topics.put(lane.topic, moment)
        self.turns.enter(number, lane.topic)

    def took(self, lane: Lane, count: int) -> None:
        """So many of them do not wait any more; the caller takes their sequences out of ``unsent``."""
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
        """The topic with the oldest reading of all, and that one's era and moment.

        Raises:
            StateDirectoryError: The file cannot be read.
        """
        return self._topics.first()

    def least(
        self, sources: Collection[Source], *, by_bytes: bool
    ) -> tuple[Lane, int, int] | None:
        """What can be spared first: its lane, sequence and size.

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
