"""A reading: one telemetry datum, as it waits in the queue; and the interfaces of sources."""

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


# Not frozen, which would cost a third of the time to take one in.
@dataclasses.dataclass(kw_only=True, slots=True)
class Reading:
    """A datum published under ``topic``, alone or together with others of that topic.

    ``time`` and ``expires`` are Unix seconds; the queue keeps their difference, so that setting the clock makes nothing
    expire. ``priority`` is an index into ``PRIORITIES``; ``source`` names where it comes from, for fairness.
    """

    topic: str
    payload: bytes
    time: float
    content_type: str = JSON
    expires: float | None = None
    priority: int = 1
    source: str = ""


# Receives the outcome for a reading: None for success, else the reason.
Callback = Callable[[str | None], None]


class Intake(Protocol):
    """Takes readings; every source is given one."""

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
            on_stored: Called with None once the reading is durable, else with why it was not taken.
            on_acknowledged: Called with None once AWS has it, else with why it never will.
            sends_on: Whether its sender continues without waiting for the answer.
        """


class Source(Protocol):
    """A source of readings, driven by the loop on the deciding thread.

    A fault in what it reads is reported as a problem, never raised.
    """

    name: str

    @property
    def due(self) -> float:
        """When ``act`` is to be called (monotonic seconds); ``math.inf``: it has no deadline."""

    def act(self) -> None:
        """Handles a deadline that has passed."""

    def close(self) -> None:
        """Releases descriptors and child processes."""


def timed(moment: float, values: Mapping[str, Value]) -> bytes:
    """Builds a JSON payload of named values, with ``time`` (``moment``, Unix seconds) first."""
    return json.dumps({"time": clock.text(moment), **values}).encode()
