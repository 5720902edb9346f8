"""What goes through the publisher: answers and readings under way, and the counts of both."""

import dataclasses
from collections.abc import Callable
from typing import Protocol

from fleet_agent.errors import AgentError
from fleet_agent.record import mutable
from fleet_agent.session.message import Outgoing
from fleet_agent.telemetry.batch import Stored
from fleet_agent.telemetry.model import Topic


class Problems(Protocol):
    """Hears what does not go up."""

    def topic(self, topic: str, error: AgentError | None) -> None:
        """A topic is refused (an error), or not any more (None)."""

    def disk(self, error: AgentError | None) -> None:
        """The disk takes no readings (an error), or does again (None)."""


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """A message that is not in the queue; ``on_end`` is called when AWS has it, or never will."""

    message: Outgoing
    on_end: Callable[[], None] | None = None

    def end(self) -> None:
        """AWS has it, or never will."""
        if self.on_end is not None:
            self.on_end()


# Not frozen: there is one a message, and that costs.
@mutable
class Sent:
    """A message under way, of a topic's readings or an answer, since when (monotonic seconds)."""

    of: Topic | Answer
    readings: list[Stored]
    message: Outgoing
    at: float


@mutable
class Counts:
    """Since the agent started."""

    stored: int = 0
    acknowledged: int = 0
    messages: int = 0
    not_stored: int = 0  # the disk did not take them; their senders heard it
    answers_dropped: int = 0  # too many waited, or they could not be sent
