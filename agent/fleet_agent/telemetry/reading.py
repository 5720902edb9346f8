"""One telemetry datum, as it waits in the queue, and the way in for whoever makes one."""

import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import Protocol

from fleet_agent import clock

Value = str | float | int | None | Mapping[str, "Value"]

JSON = "application/json"
TEXT = "text/plain; charset=utf-8"
BINARY = "application/octet-stream"

MAX_PAYLOAD = 128 * 1024  # bytes; AWS IoT Core's limit for a message

PRIORITIES = ("low", "normal", "high")


# Not frozen: that would make a third of the time that taking one in needs.
@dataclasses.dataclass(kw_only=True, slots=True)
class Reading:
    """What is published under ``topic``, alone or together with others of that topic.

    ``time`` and ``expires`` in Unix seconds: of what is between them the queue keeps the length, so that a clock that
    is set meanwhile makes nothing expire. ``priority`` is an index of ``PRIORITIES``; ``source`` names who made it, for
    turns and shares.
    """

    topic: str
    payload: bytes
    time: float
    content_type: str = JSON
    expires: float | None = None
    priority: int = 1
    source: str = ""


# Hears the outcome for a reading: None when it came to pass, else why it did not.
Callback = Callable[[str | None], None]


class Intake(Protocol):
    """Takes readings: what every source is given."""

    def put(
        self,
        reading: Reading,
        on_stored: Callback | None = None,
        on_acknowledged: Callback | None = None,
        *,
        sends_on: bool = True,
    ) -> None:
        """Takes a reading; both calls come later, on the deciding thread.

        Args:
            reading: At most ``MAX_PAYLOAD`` bytes.
            on_stored: Hears None once the reading is durable, else why it was not taken.
            on_acknowledged: Hears None once AWS has it, else why it never will be.
            sends_on: Whether its sender goes on without waiting for the answer.
        """


class Source(Protocol):
    """Something that makes readings. The loop drives it; all of it runs on the deciding thread.

    It fails alone: whatever goes wrong with what it reads is a problem in the health, never an exception.
    """

    name: str

    @property
    def due(self) -> float:
        """When ``act`` is to be called (monotonic seconds); ``math.inf``: not for a deadline's sake."""

    def act(self) -> None:
        """The deadline has passed."""

    def close(self) -> None:
        """Ends: lets go of descriptors and child processes."""


def timed(moment: float, values: Mapping[str, Value]) -> bytes:
    """A payload of named values: JSON with ``time`` (of ``moment``, Unix seconds) in front."""
    return json.dumps({"time": clock.text(moment), **values}).encode()
