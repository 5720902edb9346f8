"""The values of the queue's index: topics, sources, and which of their readings wait."""

import dataclasses

from fleet_agent.record import mutable
from fleet_agent.telemetry import intervals
from fleet_agent.telemetry.chunks import Row

# Bits of a reading's id that hold its sequence within the topic; those above hold the topic's number.
SHIFT = 40


@dataclasses.dataclass(slots=True)
class Dropped:
    """Counts of readings that will never be sent, by cause, since the queue was created."""

    full: int = 0
    age: int = 0
    expired: int = 0
    refused: int = 0


@mutable
class Source:
    """A source of readings: one in the configuration, or a user whose programs send to its socket."""

    number: int
    name: str
    count: int = 0  # readings in the file that AWS does not have, ...
    bytes: int = 0  # ... and the bytes of their payloads
    dropped: Dropped = dataclasses.field(default_factory=Dropped)
    # Not in the file yet, or not as it is now.
    is_changed: bool = True
    # Topics without readings that it wrote to last; longest idle first.
    idle: "dict[int, Topic]" = dataclasses.field(default_factory=dict)


@mutable
class Lane:
    """The readings of one source in one topic."""

    source: Source
    topic: "Topic"
    unsent: int = 0  # how many are not in flight
    first: int = 0  # no unsent reading has a lower sequence
    priority: int = 1  # of its newest reading


@mutable
class Topic:
    """One topic.

    When a damaged file is replaced, new ``Topic`` objects replace these; what is in flight then belongs to none.
    """

    number: int
    name: str
    next: int = 0  # the sequence of the next reading
    left: int = 0  # readings in the file that AWS does not have
    unsent: intervals.Intervals = dataclasses.field(default_factory=list)
    # Still in the file, but to be deleted: AWS has them, or never will.
    gone: intervals.Intervals = dataclasses.field(default_factory=list)
    lanes: dict[int, Lane] = dataclasses.field(default_factory=dict)  # by the sources' numbers
    last: Source | None = None  # that wrote to it last
    marker: int | None = None  # sequence of the empty row that preserves ``next``
    is_new: bool = True  # the file does not have its name yet

    def lane(self, source: Source) -> Lane:
        """Returns the source's readings in this topic."""
        lane = self.lanes.get(source.number)
        if lane is None:
            lane = self.lanes[source.number] = Lane(source, self)
        return lane


@mutable
class PlannedTopic:
    """A topic that gets readings, and its next sequence afterwards."""

    topic: Topic
    end: int


@mutable
class PlannedLane:
    """The readings one source adds to one topic; ``first``: the sequence of the first."""

    topic_plan: PlannedTopic
    source: Source
    first: int
    count: int = 0
    bytes: int = 0
    priority: int = 1


@mutable
class InsertPlan:
    """What ``Queue.add`` inserts into the file."""

    topics: dict[str, PlannedTopic] = dataclasses.field(default_factory=dict)
    lanes: dict[tuple[str, str], PlannedLane] = dataclasses.field(default_factory=dict)
    places: list[tuple[Topic, int]] = dataclasses.field(default_factory=list)
    rows: list[Row] = dataclasses.field(default_factory=list)
