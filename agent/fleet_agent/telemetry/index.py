"""The queue's index in memory: topics, sources, how many readings each has in the file, and what to delete there."""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Literal

from fleet_agent.record import mutable
from fleet_agent.telemetry import intervals, rows
from fleet_agent.telemetry.model import (
    SHIFT,
    Dropped,
    InsertPlan,
    PlannedLane,
    PlannedTopic,
    Source,
    Topic,
)
from fleet_agent.telemetry.reading import Reading
from fleet_agent.telemetry.scan import Scan

SOURCES_KEPT = 1000  # told apart; all others count as the nameless source

Cause = Literal["full", "age", "expired", "refused"]


@mutable
class Index:
    """The index of the queue's file."""

    names: dict[str, Topic] = dataclasses.field(default_factory=dict)
    sources: dict[str, Source] = dataclasses.field(default_factory=dict)
    # Topics with readings to delete, by number.
    to_tidy: dict[int, Topic] = dataclasses.field(default_factory=dict)
    count: int = 0
    bytes: int = 0
    dropped: Dropped = dataclasses.field(default_factory=Dropped)
    _number: int = 0  # the highest topic number

    def load(self, scan: Scan) -> None:
        """Loads what is in the file.

        When a damaged file was replaced, or the file was opened again, topics that are already known keep their
        sequences, and the counts of dropped readings stay.
        """
        self.to_tidy = {topic.number: topic for topic in scan.topics.values() if topic.gone}
        found = {topic.name: topic for topic in scan.topics.values()}
        for name, topic in self.names.items():
            known = found.setdefault(name, Topic(topic.number, name))
            known.next = max(known.next, topic.next)
        sources = {source.name: source for source in scan.sources.values()}
        for name, source in self.sources.items():
            same = sources.setdefault(name, Source(source.number, name))
            same.dropped, same.is_changed = source.dropped, True
        self.names, self.sources = found, sources
        self._number = max([self._number, *(topic.number for topic in found.values())])
        self.count = sum(topic.left for topic in found.values())
        self.bytes = sum(source.bytes for source in scan.sources.values())
        self.dropped = Dropped()
        for source in sources.values():
            for field in dataclasses.fields(Dropped):
                _increase(self.dropped, field.name, getattr(source.dropped, field.name))
        for topic in found.values():
            topic.last = topic.last or sources[""]
            if not topic.left:
                topic.last.idle[topic.number] = topic

    # More -----------------------------------------------------------------------------------------------------------

    def plan(self, readings: Sequence[Reading], era: int, moment: float) -> InsertPlan:
        """Assigns each reading its place; changes nothing yet."""
        plan = InsertPlan()
        lanes, places, lines = plan.lanes, plan.places, plan.rows
        for reading in readings:
            lane = lanes.get((reading.topic, reading.source))
            if lane is None:
                lane = self._plan_lane(plan, reading)
            planned = lane.topic_plan
            topic, sequence = planned.topic, planned.end
            planned.end += 1
            lane.count += 1
            lane.bytes += len(reading.payload)
            lane.priority = reading.priority
            places.append((topic, sequence))
            identifier = topic.number << SHIFT | sequence
            lines.append(rows.row(identifier, reading, lane.source.number, era, moment))
        return plan

    def _plan_lane(self, plan: InsertPlan, reading: Reading) -> PlannedLane:
        planned = plan.topics.get(reading.topic)
        if planned is None:
            topic = self.names.get(reading.topic)
            if topic is None:
                self._number += 1
                topic = Topic(self._number, reading.topic)
            planned = plan.topics[reading.topic] = PlannedTopic(topic, topic.next)
        lane = PlannedLane(planned, self._source(reading.source), planned.end)
        plan.lanes[reading.topic, reading.source] = lane
        return lane

    def _source(self, name: str) -> Source:
        source = self.sources.get(name)
        if source is None:
            if len(self.sources) >= SOURCES_KEPT:
                return self.sources[""]
            number = 1 + max(source.number for source in self.sources.values())
            source = self.sources[name] = Source(number, name)
        return source

    def apply(self, plan: InsertPlan) -> None:
        """Records that the plan was committed."""
        for name, planned in plan.topics.items():
            topic = planned.topic
            intervals.add(topic.unsent, topic.next, planned.end)
            topic.left += planned.end - topic.next
            topic.next, topic.is_new = planned.end, False
            self.names[name] = topic
            if topic.last:
                topic.last.idle.pop(topic.number, None)
        for lane in plan.lanes.values():
            source = lane.topic_plan.topic.last = lane.source
            source.count += lane.count
            source.bytes += lane.bytes
            self.bytes += lane.bytes
        self.count += len(plan.places)

    # Less -----------------------------------------------------------------------------------------------------------

    def remove(self, topic: Topic, source: Source, first: int, count: int, size: int) -> None:
        """Marks consecutive readings for deletion; ``size``: bytes of their payloads together."""
        # Mostly they adjoin those marked before, and one statement deletes them all.
        intervals.add(topic.gone, first, first + count)
        self.to_tidy[topic.number] = topic
        self.count -= count
        self.bytes -= size
        source.count -= count
        source.bytes -= size
        topic.left -= count
        if not topic.left:
            topic.lanes.clear()
            (topic.last or source).idle[topic.number] = topic

    def count_dropped(self, source: Source, cause: Cause, count: int) -> None:
        """Counts readings of a source that will never be sent."""
        for dropped in (self.dropped, source.dropped):
            _increase(dropped, cause, count)
        source.is_changed = True

    def most_dropped(self, most: int) -> list[tuple[str, Dropped]]:
        """Returns the sources that lost the most readings, by name; the nameless source stands for the rest."""
        found = [
            (sum(dataclasses.astuple(source.dropped)), name or "others", source.dropped)
            for name, source in self.sources.items()
        ]
        found.sort(key=lambda lost: -lost[0])
        return [(name, dropped) for count, name, dropped in found[:most] if count]

    def surplus(self, kept: int, plan: InsertPlan) -> list[Topic]:
        """Returns idle topics whose sequences are dropped, from the sources with the most: their number is unbounded.

        Args:
            kept: How many idle topics keep their sequence.
            plan: Its topics are not idle.
        """
        count = {source: len(source.idle) for source in self.sources.values() if source.idle}
        spared = dict.fromkeys(count, 0)
        for _ in range(sum(count.values()) - kept):
            greediest = max(count, key=lambda source: count[source] - spared[source])
            spared[greediest] += 1
        return [
            topic
            for source, number in spared.items()
            for topic in itertools.islice(source.idle.values(), number)
            if topic.name not in plan.topics
        ]

    def deleted(self, markers: dict[int, int | None], surplus: Sequence[Topic]) -> None:
        """Records that all deletions were committed; ``markers``: the rows that now keep the sequences."""
        for topic in self.to_tidy.values():
            topic.gone.clear()
            topic.marker = markers[topic.number]
        self.to_tidy.clear()
        for topic in surplus:
            del self.names[topic.name]
            if topic.last:
                del topic.last.idle[topic.number]


def _increase(dropped: Dropped, name: str, count: int) -> None:
    setattr(dropped, name, getattr(dropped, name) + count)
