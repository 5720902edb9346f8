"""A message on its way to a handler, and the form in which it waits on disk."""

import binascii
import dataclasses
import json
from collections.abc import Callable
from typing import Any, Protocol

from fleet_agent.record import record


class Arrived(Protocol):
    """What the router takes: a message as the session gives it."""

    @property
    def topic(self) -> str:
        """Where it was published."""

    @property
    def payload(self) -> bytes:
        """What was published."""

    @property
    def response_topic(self) -> str | None:
        """Where the sender awaits an answer."""

    @property
    def correlation_data(self) -> bytes | None:
        """What distinguishes answers for the sender."""

    @property
    def content_type(self) -> str | None:
        """What the payload is."""

    @property
    def user_properties(self) -> tuple[tuple[str, str], ...]:
        """What the sender put beside it."""

    @property
    def retain(self) -> bool:
        """Whether AWS had kept it, and sends it because of the subscription."""

    @property
    def qos(self) -> int:
        """Whether it comes again until it is acknowledged (1), or not (0)."""

    @property
    def acknowledge(self) -> Callable[[], None]:
        """Tells AWS that it need not come again."""


@record
class Command:
    """A message for one handler.

    ``levels``: what the wildcards of the handler's topic filter stand for. ``identity``: what tells it apart from
    others, where the handler asks for that and the message has it.
    """

    topic: str
    payload: bytes = dataclasses.field(repr=False)
    response_topic: str | None = None
    correlation_data: bytes | None = None
    content_type: str | None = None
    user_properties: tuple[tuple[str, str], ...] = ()
    levels: tuple[str, ...] = ()
    identity: str | None = None


def to_bytes(command: Command) -> bytes:
    """As it waits on disk: JSON, bytes in base64."""
    values: dict[str, object] = dataclasses.asdict(command)
    values["payload"] = in_base64(command.payload)
    if command.correlation_data is not None:
        values["correlation_data"] = in_base64(command.correlation_data)
    return json.dumps(values).encode()


def from_bytes(data: bytes) -> Command:
    """Read it back.

    Raises:
        ValueError: It is not what ``to_bytes`` wrote.
    """
    try:
        values: dict[str, Any] = json.loads(data)
        correlation = values["correlation_data"]
        values["payload"] = binascii.a2b_base64(values["payload"])
        values["correlation_data"] = correlation and binascii.a2b_base64(correlation)
        values["user_properties"] = tuple(
            (name, value) for name, value in values["user_properties"]
        )
        values["levels"] = tuple(values["levels"])
        return Command(**values)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(str(error)) from error


def in_base64(data: bytes) -> str:
    """Base64 in one line."""
    return binascii.b2a_base64(data, newline=False).decode()
