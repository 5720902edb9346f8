"""Whose turn it is to send: sources take turns, and within a source its topics. Pure: the time comes in.

A source that writes to thirty thousand topics gets no more turns than one that writes to a single one. A topic may
rest until a given time; each step costs the logarithm of the number of topics at most.
"""

import heapq
import math

from fleet_agent.telemetry.model import Topic


class Turns:
    """Topics with something unsent, by the sources that it came from."""

    def __init__(self) -> None:
        # By the sources' numbers, then by the topics'; whose turn it is comes first.
        self._ready: dict[int, dict[int, Topic]] = {}
        self._resting: dict[int, tuple[float, Topic]] = {}
        self._alarms: list[tuple[float, int]] = []

    def enter(self, source: int, topic: Topic) -> None:
        """The topic has something unsent of this source."""
        if topic.number not in self._resting:
            self._ready.setdefault(source, {}).setdefault(topic.number, topic)

    def leave(self, source: int, topic: Topic) -> None:
        """The topic has nothing unsent of this source any more."""
        if (topics := self._ready.get(source)) and topics.pop(topic.number, None) and not topics:
            del self._ready[source]

    def forget(self, topic: Topic) -> None:
        """The topic has nothing unsent at all."""
        self._resting.pop(topic.number, None)

    def had_turn(self, topic: Topic) -> None:
        """The topic goes behind the others of its sources, and they behind the other sources."""
        for source in topic.lanes:
            if (topics := self._ready.get(source)) and topics.pop(topic.number, None):
                topics[topic.number] = topic
                self._ready[source] = self._ready.pop(source)

    def rest(self, topic: Topic, until: float) -> None:
        """Leaves the topic alone until then (monotonic seconds)."""
        for source in topic.lanes:
            self.leave(source, topic)
        self._resting[topic.number] = until, topic
        heapq.heappush(self._alarms, (until, topic.number))

    def wake(self, topic: Topic) -> None:
        """The topic rests no more."""
        if self._resting.pop(topic.number, None):
            for lane in topic.lanes.values():
                if lane.unsent:
                    self.enter(lane.source.number, topic)

    def wake_all(self) -> None:
        """None rests any more."""
        for _, topic in list(self._resting.values()):
            self.wake(topic)
        self._alarms.clear()

    def next(self, now: float) -> Topic | None:
        """Whose turn it is (monotonic seconds)."""
        while self._alarms and self._alarms[0][0] <= now:
            until, number = heapq.heappop(self._alarms)
            if (resting := self._resting.get(number)) and resting[0] == until:
                self.wake(resting[1])
        for topics in self._ready.values():
            return next(iter(topics.values()))
        return None

    def due(self) -> float:
        """When ``next`` has one (monotonic seconds); ``-math.inf``: now, ``math.inf``: not for time's sake."""
        if self._ready:
            return -math.inf
        while self._alarms:
            until, number = self._alarms[0]
            if (resting := self._resting.get(number)) and resting[0] == until:
                return until
            heapq.heappop(self._alarms)
        return math.inf

    def all(self) -> list[Topic]:
        """All of them, in the order of their turns; those that rest come last."""
        found = {
            topic.number: topic for topics in self._ready.values() for topic in topics.values()
        }
        found.update((topic.number, topic) for _, topic in self._resting.values())
        return list(found.values())
