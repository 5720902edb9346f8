"""How a command ended, and the answer to its sender.

An answer is one JSON object: ``status`` is 0 when all is well, a program's exit status, or -1 when there is none; then
``error`` is a short word for programs and ``reason`` the same for people. A local program that was asked over its
socket writes its answer itself.
"""

import json
from collections.abc import Iterable
from typing import Protocol

from fleet_agent.record import record
from fleet_agent.topics import filters
from fleet_agent.topics.limits import message_fault

JSON = "application/json"
OTHER = "application/octet-stream"

# Bytes of an answer; AWS IoT takes 128 KiB with the topic and the properties.
MAX_ANSWER = 120 * 1024


@record
class Outcome:
    """How a command ended.

    ``error`` is empty unless the agent has to say why there is no exit status; ``reason`` is empty when all is well.
    ``was_begun``: whether it may have had an effect, so that doing it again would be twice.
    """

    status: int = 0
    error: str = ""
    reason: str = ""
    stdout: bytes | None = None
    is_cut: bool = False
    packet: bytes | None = None
    was_begun: bool = True

    @property
    def is_good(self) -> bool:
        """Whether it did what was asked."""
        return self.status == 0


def failure(error: str, reason: str, *, was_begun: bool = False) -> Outcome:
    """A command that was refused, or could not be handled."""
    return Outcome(status=-1, error=error, reason=reason, was_begun=was_begun)


class Answering(Protocol):
    """Publishes an answer at QoS 1."""

    def __call__(
        self,
        topic: str,
        payload: bytes,
        *,
        correlation_data: bytes | None,
        content_type: str,
        user_properties: tuple[tuple[str, str], ...],
    ) -> None:
        """Publish it."""


def written(outcome: Outcome) -> tuple[bytes, str]:
    """The answer's payload, of at most ``MAX_ANSWER`` bytes, and its content type."""
    if outcome.packet is not None:
        return outcome.packet, JSON if _is_json(outcome.packet) else OTHER
    values: dict[str, object] = {"status": outcome.status}
    if outcome.error:
        values["error"] = outcome.error
    if outcome.reason:
        values["reason"] = outcome.reason
    if outcome.stdout is None:
        return _encoded(values), JSON
    text, is_cut = outcome.stdout.decode(errors="replace"), outcome.is_cut
    while True:
        data = _encoded({**values, "stdout": text, "truncated": is_cut})
        if len(data) <= MAX_ANSWER:
            return data, JSON
        # What JSON escapes grows: as much less as it is too much, and a little, until it fits.
        text, is_cut = text[: len(text) * MAX_ANSWER // len(data) - 1], True


def refusal(topic: str, correlation_data: bytes | None, own: Iterable[str]) -> str:
    """Why no answer goes where the sender of a message wants it, to be read after the topic; empty when one does.

    The sender chose the topic. What AWS IoT does not take ends the connection; below ``$`` are its own topics; and what
    this device publishes, or listens to, is not for others to have it forge.

    Args:
        topic: The response topic.
        correlation_data: What goes back with the answer.
        own: This device's topics and topic filters.
    """
    if topic.startswith("$"):
        return "is one of AWS IoT's own"
    if any(filters.matches(name, topic) for name in own):
        return "is one of this device's own"
    fault = message_fault(topic, correlation_data=correlation_data)
    return fault.problem if fault else ""


def _encoded(values: dict[str, object]) -> bytes:
    return json.dumps(values, ensure_ascii=False).encode(errors="replace")


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return False
    return True
