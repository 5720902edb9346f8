"""Reads the whole of the queue's file when it is opened: what it contains, and whether that is consistent."""

from typing import Any

from fleet_agent.telemetry import chunks, intervals
from fleet_agent.telemetry.age_clock import Era
from fleet_agent.telemetry.damage import damaged
from fleet_agent.telemetry.database import Database
from fleet_agent.telemetry.model import SHIFT, Dropped, Source, Topic
from fleet_agent.telemetry.rows import MOMENT, SEQUENCE, SOURCE, are_numbers


class Scan:
    """The file's topics, sources and eras, and where their readings are.

    ``used``: the eras that readings belong to; ``heads``: the era and moment of each lane's first reading.

    Raises:
        sqlite3.Error: It cannot be read, or is damaged.
    """

    def __init__(self, file: Database) -> None:
        self.topics = {
            number: Topic(number, name, is_new=False)
            for number, name in file.execute("SELECT id, name FROM topic")
            if are_numbers(number) and isinstance(name, str)
        }
        self.sources = {
            number: Source(number, name, dropped=Dropped(*lost), is_changed=False)
            for number, name, *lost in file.execute(
                "SELECT id, name, full, age, expired, refused FROM source"
            )
            if are_numbers(number, *lost) and isinstance(name, str)
        }
        self.eras = [
            Era(number, boot, offset, last)
            for number, boot, offset, last in file.execute(
                "SELECT id, boot, offset, last FROM era"
            )
            if isinstance(boot, str) and are_numbers(number, offset or 0, last)
        ]
        if "" not in {source.name for source in self.sources.values()}:
            raise damaged("sources are missing")
        self.used: set[int] = set()
        self.heads: dict[tuple[int, int], tuple[int, float]] = {}
        rows = file.execute(
            f"SELECT id, priority, length(payload), {SOURCE}, {MOMENT}, sizes FROM reading ORDER BY id"  # noqa: S608
        )
        for found in rows:
            self._add(found)

    def _add(self, found: tuple[Any, ...]) -> None:
        identifier, priority, size, number, era, moment, sizes = found
        if not isinstance(identifier, int):
            raise damaged("a reading has no number")
        topic = self.topics.get(identifier >> SHIFT)
        sequence = identifier & SEQUENCE
        source = self.sources.get(number)
        if topic is None or source is None or sequence < topic.next:
            raise damaged("a reading is of no topic or source")
        if topic.marker is not None:
            intervals.add(topic.gone, topic.marker, topic.marker + 1)
        topic.next, topic.marker, topic.last = sequence + 1, None, source
        if size is None:
            topic.marker = sequence
            return
        if not are_numbers(priority, era, moment):
            raise damaged("a reading makes no sense")
        count = len(chunks.lengths(sizes, size))
        topic.next = sequence + count
        self.used.add(era)
        intervals.add(topic.unsent, sequence, topic.next)
        topic.left += count
        source.count += count
        source.bytes += size
        lane = topic.lane(source)
        if not lane.unsent:
            lane.first = sequence
            self.heads[topic.number, number] = (era, moment)
        lane.unsent += count
        lane.priority = priority
