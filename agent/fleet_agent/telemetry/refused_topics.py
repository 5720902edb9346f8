"""Topics that AWS refuses, or whose messages end the connection: reported, and left alone for a while."""

import math

from fleet_agent.clock import Clock
from fleet_agent.errors import AgentError
from fleet_agent.telemetry import verdict
from fleet_agent.telemetry.in_flight import Problems
from fleet_agent.telemetry.model import Topic
from fleet_agent.telemetry.topic_backoff import POLICY, Patience, TopicBackoff

KEPT = 100  # refused topics that are remembered
ENDERS_SHOWN = 3600.0  # seconds that a problem names a message that ended the connection


class RefusedTopics:
    """Remembers them.

    Args:
        problems: Receives what is wrong.
        clock: For the pauses.
    """

    def __init__(self, problems: Problems, clock: Clock) -> None:
        self._problems = problems
        self._clock = clock
        self._refused: set[str] = set()
        self._backoff = TopicBackoff()
        # Topics that ended connections: a new connection is no reason to try them again.
        self._ender_backoff = TopicBackoff()
        self._enders_shown: dict[str, float] = {}  # topic → until when

    def connected(self) -> None:
        """A new connection may mean a new policy: everything is tried again, but what ended a connection."""
        now = self._clock.monotonic()
        self._backoff.clear()
        for topic in [
            refused for refused in self._refused if self._enders_shown.get(refused, now) <= now
        ]:
            self._enders_shown.pop(topic, None)
            self.accepted(topic)

    def add(self, topic: str, error: AgentError) -> None:
        """Notes that AWS refuses messages on this topic."""
        if topic in self._refused or len(self._refused) < KEPT:
            self._refused.add(topic)
            self._problems.topic(topic, error)

    def accepted(self, topic: str) -> None:
        """Notes that AWS accepts messages on this topic."""
        if topic in self._refused:
            self._refused.remove(topic)
            self._problems.topic(topic, None)

    def ended_connection(self, topic: str) -> None:
        """Notes that a message on this topic ended the connection twice."""
        self._enders_shown[topic] = self._clock.monotonic() + ENDERS_SHOWN
        self.add(topic, verdict.ended_connection(topic))

    def has_ended_connection(self, topic: str) -> bool:
        """Whether one did, not long ago."""
        return self._enders_shown.get(topic, -math.inf) > self._clock.monotonic()

    # Pauses of topics of readings -------------------------------------------------------------------------------------

    def until(self, topic: Topic) -> float:
        """Returns when messages of this topic may go (monotonic seconds)."""
        return max(self._backoff.until(topic.number), self._ender_backoff.until(topic.number))

    def pause(self, topic: Topic, patience: Patience) -> float:
        """Leaves a topic alone for a while; returns until when (monotonic seconds)."""
        self._backoff.block(topic.number, patience, self._clock.monotonic())
        return self._backoff.until(topic.number)

    def pause_ender(self, topic: Topic) -> None:
        """Leaves a topic alone whose message ended the connection, whatever connections come."""
        self._ender_backoff.block(topic.number, POLICY, self._clock.monotonic())

    def received(self, topic: Topic) -> None:
        """Notes that AWS has accepted readings of this topic."""
        self._backoff.clear(topic.number)
        self._ender_backoff.clear(topic.number)
        if self._refused:
            self.accepted(topic.name)
