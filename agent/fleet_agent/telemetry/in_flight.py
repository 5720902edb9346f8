"""Messages in flight: published and not yet acknowledged, of readings or answers; and the publisher's counters."""

import dataclasses
from collections.abc import Callable
from typing import Protocol

from fleet_agent.errors import AgentError
from fleet_agent.record import mutable
from fleet_agent.session.message import Outgoing
from fleet_agent.telemetry.batch import Stored
from fleet_agent.telemetry.model import Topic


class Problems(Protocol):
    """Receives what is wrong with publishing."""

    def topic(self, topic: str, error: AgentError | None) -> None:
        """Reports that AWS refuses a topic, or (None) accepts it again."""

    def disk(self, error: AgentError | None) -> None:
        """Reports that the disk takes no readings, or (None) does again."""


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """A message that is not in the queue; ``on_end`` is called when AWS has it, or never will."""

    message: Outgoing
    on_end: Callable[[], None] | None = None

    def end(self) -> None:
        """Reports that AWS has it, or never will."""
        if self.on_end is not None:
            self.on_end()


# Not frozen, which would cost time: there is one for each message.
@mutable
class InFlight:
    """A message that was published at ``at`` (monotonic seconds), of a topic's readings or an answer."""

    of: Topic | Answer
    readings: list[Stored]
    message: Outgoing
    at: float


@mutable
class Counts:
    """Counters since the agent started."""

    stored: int = 0
    acknowledged: int = 0
    messages: int = 0
    not_stored: int = 0  # the disk did not take them; their senders were informed
    answers_dropped: int = 0  # too many waited, or they could not be sent
