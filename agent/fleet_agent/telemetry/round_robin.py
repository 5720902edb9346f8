"""Round robin over sources, and within a source over its topics. Pure: the caller passes the time.

A source that writes to thirty thousand topics gets no more turns than a source with a single topic. A topic can be
paused until a given time; each operation costs at most the logarithm of the number of topics.
"""

import heapq
import math

from fleet_agent.telemetry.model import Topic


class RoundRobin:
    """Topics with unsent readings, by the readings' sources."""

    def __init__(self) -> None:
        # By source number, then by topic number; the next in turn comes first.
        self._ready: dict[int, dict[int, Topic]] = {}
        self._paused: dict[int, tuple[float, Topic]] = {}
        self._timers: list[tuple[float, int]] = []

    def enter(self, source: int, topic: Topic) -> None:
        """Adds a topic that has unsent readings of this source."""
        if topic.number not in self._paused:
            self._ready.setdefault(source, {}).setdefault(topic.number, topic)

    def leave(self, source: int, topic: Topic) -> None:
        """Removes a topic that has no unsent readings of this source."""
        if (topics := self._ready.get(source)) and topics.pop(topic.number, None) and not topics:
            del self._ready[source]

    def forget(self, topic: Topic) -> None:
        """Drops the pause of a topic that has no unsent readings at all."""
        self._paused.pop(topic.number, None)

    def move_to_back(self, topic: Topic) -> None:
        """Moves the topic behind the others of its sources, and those behind the other sources."""
        for source in topic.lanes:
            if (topics := self._ready.get(source)) and topics.pop(topic.number, None):
                topics[topic.number] = topic
                self._ready[source] = self._ready.pop(source)

    def pause(self, topic: Topic, until: float) -> None:
        """Passes over the topic until then (monotonic seconds)."""
        for source in topic.lanes:
            self.leave(source, topic)
        self._paused[topic.number] = until, topic
        heapq.heappush(self._timers, (until, topic.number))

    def resume(self, topic: Topic) -> None:
        """Ends the topic's pause."""
        if self._paused.pop(topic.number, None):
            for lane in topic.lanes.values():
                if lane.unsent:
                    self.enter(lane.source.number, topic)

    def resume_all(self) -> None:
        """Ends all pauses."""
        for _, topic in list(self._paused.values()):
            self.resume(topic)
        self._timers.clear()

    def next(self, now: float) -> Topic | None:
        """Returns the topic whose turn it is at ``now`` (monotonic seconds)."""
        while self._timers and self._timers[0][0] <= now:
            until, number = heapq.heappop(self._timers)
            if (paused := self._paused.get(number)) and paused[0] == until:
                self.resume(paused[1])
        for topics in self._ready.values():
            return next(iter(topics.values()))
        return None

    def due(self) -> float:
        """When ``next`` returns a topic (monotonic seconds); ``-math.inf``: now; ``math.inf``: not by time alone."""
        if self._ready:
            return -math.inf
        while self._timers:
            until, number = self._timers[0]
            if (paused := self._paused.get(number)) and paused[0] == until:
                return until
            heapq.heappop(self._timers)
        return math.inf

    def all(self) -> list[Topic]:
        """Returns all topics in turn order, paused ones last."""
        found = {
            topic.number: topic for topics in self._ready.values() for topic in topics.values()
        }
        found.update((topic.number, topic) for _, topic in self._paused.values())
        return list(found.values())
