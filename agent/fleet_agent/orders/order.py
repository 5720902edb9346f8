"""An order on its way to a handler, and the form in which it waits on disk.

It came as a message, as a step of an AWS IoT Job, or as an AWS IoT Command (``origin``); its outcome goes back there.
"""

import binascii
import dataclasses
import json
import os
from collections.abc import Callable
from typing import Any, Protocol

from fleet_agent import clock as clocks
from fleet_agent.clock import Clock, Uptime
from fleet_agent.record import record

MESSAGE, JOB, COMMAND = "message", "job", "command"


class Arrived(Protocol):
    """A message as the session gives it."""

    @property
    def topic(self) -> str:
        """The topic that it was published on."""

    @property
    def payload(self) -> bytes:
        """The payload."""

    @property
    def response_topic(self) -> str | None:
        """The topic on which the sender awaits an answer."""

    @property
    def correlation_data(self) -> bytes | None:
        """The sender's data to match the answer."""

    @property
    def content_type(self) -> str | None:
        """The payload's content type."""

    @property
    def user_properties(self) -> tuple[tuple[str, str], ...]:
        """The sender's user properties."""

    @property
    def retain(self) -> bool:
        """Whether AWS had kept it, and sends it because of the subscription."""

    @property
    def qos(self) -> int:
        """Whether it comes again until it is acknowledged (1), or not (0)."""

    @property
    def expiry(self) -> int | None:
        """Seconds that it was still of use for when it arrived; None: for ever."""

    @property
    def acknowledge(self) -> Callable[[], None]:
        """Acknowledges it, so that AWS does not repeat it."""


@record
class Bound:
    """How long an order is of use: ``seconds`` from a moment (Unix seconds, and the clock that does not step)."""

    seconds: float
    since: float
    uptime: Uptime | None

    def left(self, clock: Clock) -> float:
        """Seconds that are left; none or less when it is too late."""
        return self.seconds - max(clocks.passed(self.since, self.uptime, clock), 0.0)


def bound(seconds: float | None, clock: Clock) -> Bound | None:
    """A bound that begins now; None where there is none."""
    if seconds is None:
        return None
    return Bound(seconds=seconds, since=clock.wall(), uptime=clocks.uptime(clock))


@record
class Order:
    """Something for one handler to do.

    ``levels``: what the wildcards of a subscription's filter stand for. ``arguments``: what a job's step, or a command,
    has for a program. ``identity``: by which its sender distinguishes it from others, where that is known; of jobs
    and commands it always is. ``id``: the agent's own for it.
    """

    topic: str = ""
    payload: bytes = dataclasses.field(repr=False)
    response_topic: str | None = None
    correlation_data: bytes | None = None
    content_type: str | None = None
    user_properties: tuple[tuple[str, str], ...] = ()
    levels: tuple[str, ...] = ()
    identity: str | None = None
    origin: str = MESSAGE
    arguments: tuple[str, ...] = ()
    bound: Bound | None = None
    id: str = dataclasses.field(default_factory=lambda: os.urandom(8).hex())

    @property
    def is_answered(self) -> bool:
        """Whether somebody waits for its outcome."""
        return self.origin != MESSAGE or self.response_topic is not None


def to_values(order: Order) -> dict[str, Any]:
    """The order as it waits on disk: for JSON, bytes in base64."""
    values: dict[str, Any] = dataclasses.asdict(order)
    values["payload"] = in_base64(order.payload)
    if order.correlation_data is not None:
        values["correlation_data"] = in_base64(order.correlation_data)
    return values


def from_values(values: dict[str, Any]) -> Order:
    """Reads an order from what waited on disk.

    Raises:
        ValueError: It is not what ``to_values`` gave.
    """
    try:
        correlation, limit = values["correlation_data"], values["bound"]
        return Order(
            **values
            | {
                "payload": binascii.a2b_base64(values["payload"]),
                "correlation_data": None
                if correlation is None
                else binascii.a2b_base64(correlation),
                "user_properties": tuple(
                    (name, value) for name, value in values["user_properties"]
                ),
                "levels": tuple(values["levels"]),
                "arguments": tuple(values["arguments"]),
                "bound": limit and Bound(**limit | {"uptime": Uptime(**limit["uptime"])}),
            }
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(str(error)) from error


def to_bytes(order: Order) -> bytes:
    """The order as ``to_values`` has it, as JSON."""
    return json.dumps(to_values(order)).encode()


def in_base64(data: bytes) -> str:
    """Base64 in one line."""
    return binascii.b2a_base64(data, newline=False).decode()


def arguments(given: object) -> tuple[str, ...] | None:
    """The arguments of a program: texts, numbers and booleans, in a list or alone; None for anything else."""
    entries = given if isinstance(given, list) else [given]
    if any(isinstance(entry, (dict, list)) or entry is None for entry in entries):
        return None
    found = tuple(text(entry) for entry in entries)
    return found if all(is_carried(entry) for entry in found) else None


def text(value: object) -> str:
    """A value as a text: a text itself, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def is_carried(text: str) -> bool:
    """Whether a program can be given it: no NUL, and no half of a character, which JSON can name."""
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False
