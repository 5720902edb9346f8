"""What is known of the queue's file without looking into it: topics, sources, and which of their readings wait."""

import dataclasses

from fleet_agent.record import mutable
from fleet_agent.telemetry import intervals
from fleet_agent.telemetry.chunks import Row

# Bits of a reading's id that count within its topic; those above are the topic's number.
SHIFT = 40


@dataclasses.dataclass(slots=True)
class Dropped:
    """Readings that will never be sent, by what was the matter with them, since the queue was first made."""

    full: int = 0
    age: int = 0
    expired: int = 0
    refused: int = 0


@mutable
class Source:
    """Who makes readings: a source of the configuration, or a user whose programs send to its socket."""

    number: int
    name: str
    count: int = 0  # readings in the file that AWS does not have, ...
    bytes: int = 0  # ... and bytes of their payloads
    dropped: Dropped = dataclasses.field(default_factory=Dropped)
    # The file does not have this one, or not as it is now.
    is_changed: bool = True
    # Topics that it wrote to last and that have nothing left; longest idle first.
    idle: "dict[int, Topic]" = dataclasses.field(default_factory=dict)


@mutable
class Lane:
    """The readings of one source in one topic."""

    source: Source
    topic: "Topic"
    unsent: int = 0  # how many are not under way
    first: int = 0  # none that is not under way has a lower sequence
    priority: int = 1  # of its newest reading


@mutable
class Topic:
    """What is known of one topic.

    A damaged file that is replaced takes its ``Topic`` objects along: what was under way then belongs to none.
    """

    number: int
    name: str
    next: int = 0  # the sequence of the next reading
    left: int = 0  # readings in the file that AWS does not have
    unsent: intervals.Runs = dataclasses.field(default_factory=list)
    # In the file still, but AWS has these, or never will: to be deleted.
    gone: intervals.Runs = dataclasses.field(default_factory=list)
    lanes: dict[int, Lane] = dataclasses.field(default_factory=dict)  # by the sources' numbers
    last: Source | None = None  # who wrote to it last
    marker: int | None = None  # sequence of the emptied row that keeps ``next``
    is_new: bool = True  # the file does not have its name yet

    def lane(self, source: Source) -> Lane:
        """The source's readings in it."""
        lane = self.lanes.get(source.number)
        if lane is None:
            lane = self.lanes[source.number] = Lane(source, self)
        return lane


@mutable
class GrownTopic:
    """A topic that readings are put into, and the sequence that it ends at then."""

    topic: Topic
    end: int


@mutable
class GrownLane:
    """What one source puts into one topic; ``first``: the sequence of the first."""

    grown: GrownTopic
    source: Source
    first: int
    count: int = 0
    bytes: int = 0
    priority: int = 1


@mutable
class Growth:
    """What ``Queue.add`` puts into the file."""

    topics: dict[str, GrownTopic] = dataclasses.field(default_factory=dict)
    lanes: dict[tuple[str, str], GrownLane] = dataclasses.field(default_factory=dict)
    places: list[tuple[Topic, int]] = dataclasses.field(default_factory=list)
    rows: list[Row] = dataclasses.field(default_factory=list)
