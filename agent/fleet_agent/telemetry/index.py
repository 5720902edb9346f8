"""The queue's books: topics, sources, how many readings each has in the file, and what is to be deleted there."""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Literal

from fleet_agent.record import mutable
from fleet_agent.telemetry import intervals, rows
from fleet_agent.telemetry.model import (
    SHIFT,
    Dropped,
    GrownLane,
    GrownTopic,
    Growth,
    Source,
    Topic,
)
from fleet_agent.telemetry.reading import Reading
from fleet_agent.telemetry.scan import Scan

SOURCES_KEPT = 1000  # distinguished; all others share what the nameless one has

Cause = Literal["full", "age", "expired", "refused"]


@mutable
class Accounts:
    """What is in the file, in memory."""

    names: dict[str, Topic] = dataclasses.field(default_factory=dict)
    sources: dict[str, Source] = dataclasses.field(default_factory=dict)
    # Those that have something to be deleted, by their numbers.
    to_tidy: dict[int, Topic] = dataclasses.field(default_factory=dict)
    count: int = 0
    bytes: int = 0
    dropped: Dropped = dataclasses.field(default_factory=Dropped)
    _number: int = 0  # the highest of a topic

    def load(self, scan: Scan) -> None:
        """Begins with what is in the file.

        A new file after a damaged one, and one that was opened again, find topics here that are known already: they
        keep their sequences; and what was dropped keeps its count.
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

    def plan(self, readings: Sequence[Reading], era: int, moment: float) -> Growth:
        """Where each reading comes to stand; nothing changes yet."""
        growth = Growth()
        lanes, places, lines = growth.lanes, growth.places, growth.rows
        for reading in readings:
            lane = lanes.get((reading.topic, reading.source))
            if lane is None:
                lane = self._plan_lane(growth, reading)
            grown = lane.grown
            topic, sequence = grown.topic, grown.end
            grown.end += 1
            lane.count += 1
            lane.bytes += len(reading.payload)
            lane.priority = reading.priority
            places.append((topic, sequence))
            identifier = topic.number << SHIFT | sequence
            lines.append(rows.row(identifier, reading, lane.source.number, era, moment))
        return growth

    def _plan_lane(self, growth: Growth, reading: Reading) -> GrownLane:
        grown = growth.topics.get(reading.topic)
        if grown is None:
            topic = self.names.get(reading.topic)
            if topic is None:
                self._number += 1
                topic = Topic(self._number, reading.topic)
            grown = growth.topics[reading.topic] = GrownTopic(topic, topic.next)
        lane = GrownLane(grown, self._source(reading.source), grown.end)
        growth.lanes[reading.topic, reading.source] = lane
        return lane

    def _source(self, name: str) -> Source:
        source = self.sources.get(name)
        if source is None:
            if len(self.sources) >= SOURCES_KEPT:
                return self.sources[""]
            number = 1 + max(source.number for source in self.sources.values())
            source = self.sources[name] = Source(number, name)
        return source

    def grow(self, growth: Growth) -> None:
        """What was planned is in the file."""
        for name, grown in growth.topics.items():
            topic = grown.topic
            intervals.add(topic.unsent, topic.next, grown.end)
            topic.left += grown.end - topic.next
            topic.next, topic.is_new = grown.end, False
            self.names[name] = topic
            if topic.last:
                topic.last.idle.pop(topic.number, None)
        for lane in growth.lanes.values():
            source = lane.grown.topic.last = lane.source
            source.count += lane.count
            source.bytes += lane.bytes
            self.bytes += lane.bytes
        self.count += len(growth.places)

    # Less -----------------------------------------------------------------------------------------------------------

    def remove(self, topic: Topic, source: Source, first: int, count: int, size: int) -> None:
        """Readings that follow each other are to be deleted; ``size``: bytes of their payloads, together."""
        # Mostly they follow each other: one statement deletes them all.
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

    def lose(self, source: Source, cause: Cause, count: int) -> None:
        """So many of its readings will never be sent."""
        for dropped in (self.dropped, source.dropped):
            _increase(dropped, cause, count)
        source.is_changed = True

    def losers(self, most: int) -> list[tuple[str, Dropped]]:
        """Sources that lost readings, by name, those with most first; the nameless one stands for the rest."""
        found = [
            (sum(dataclasses.astuple(source.dropped)), name or "others", source.dropped)
            for name, source in self.sources.items()
        ]
        found.sort(key=lambda lost: -lost[0])
        return [(name, dropped) for count, name, dropped in found[:most] if count]

    def surplus(self, kept: int, growth: Growth) -> list[Topic]:
        """Topics that lose their sequence, of whom has most: there is no end to names that programs may think of.

        Args:
            kept: How many topics with nothing in the file keep theirs.
            growth: Those get more now.
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
            if topic.name not in growth.topics
        ]

    def deleted(self, markers: dict[int, int | None], surplus: Sequence[Topic]) -> None:
        """What was to be deleted is; ``markers`` are the rows that keep sequences since."""
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
