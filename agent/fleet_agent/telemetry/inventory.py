"""What is known of the queue's file without looking into it: its topics, and which of their readings wait."""

import dataclasses

from fleet_agent.telemetry import runs
from fleet_agent.telemetry.database import Database

SHIFT = (
    40  # bits of a reading's id that count within its topic; those above are the topic's number
)


@dataclasses.dataclass(slots=True, eq=False)
class Topic:
    """What is known of one topic without looking into the file.

    A damaged file that is replaced takes its ``Topic`` objects along: what was under way then belongs to none.
    """

    number: int
    name: str
    next: int = 0  # the sequence of the next reading
    left: int = 0  # readings in the file that AWS does not have
    priority: int = 1  # of its newest reading
    unsent: runs.Runs = dataclasses.field(default_factory=list)
    oldest: float | None = None  # time of the first unsent reading; None: not looked up
    marker: int | None = None  # sequence of the emptied row that keeps ``next``
    is_new: bool = True  # the file does not have its name yet


@dataclasses.dataclass(slots=True)
class Dropped:
    """Readings that will never be sent, by what was the matter with them."""

    full: int = 0
    age: int = 0
    expired: int = 0
    refused: int = 0


@dataclasses.dataclass(slots=True)
class Growth:
    """What ``add`` puts into the file: its topics, by name, with the sequence that each ends at; and the rows."""

    topics: dict[str, Topic] = dataclasses.field(default_factory=dict)
    ends: dict[str, int] = dataclasses.field(default_factory=dict)
    places: list[tuple[Topic, int]] = dataclasses.field(default_factory=list)
    rows: list[tuple[object, ...]] = dataclasses.field(default_factory=list)


def take_stock(file: Database) -> tuple[dict[str, Topic], list[tuple[Topic, int, int]]]:
    """Read all of the file.

    Returns:
        Its topics by name; and what can be deleted: markers that are not their topic's last row any more.
    """
    topics = {
        number: Topic(number, name, is_new=False)
        for number, name in file.execute("SELECT id, name FROM topic")
    }
    removed = []
    rows = file.execute("SELECT id, priority, payload IS NULL FROM reading ORDER BY id")
    for identifier, priority, is_marker in rows:
        topic = topics[identifier >> SHIFT]
        sequence = identifier & (1 << SHIFT) - 1
        if topic.marker is not None:
            removed.append((topic, topic.marker, topic.marker + 1))
        topic.next, topic.priority, topic.marker = sequence + 1, priority, None
        if is_marker:
            topic.marker = sequence
        else:
            runs.add(topic.unsent, sequence, sequence + 1)
            topic.left += 1
    return {topic.name: topic for topic in topics.values()}, removed
