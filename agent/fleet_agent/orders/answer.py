"""How a command ended, and what its sender is told of it.

An answer is one JSON object: ``status`` is 0 when all is well, a program's exit status, or -1 when there is none; then
``error`` is a short word for programs and ``reason`` says it to people. A local program that was asked over its socket
writes its answer itself.
"""

import dataclasses
import json
from typing import Protocol

JSON = "application/json"
OTHER = "application/octet-stream"

# Bytes of an answer; AWS IoT takes 128 KiB with the topic and the properties.
MAX_ANSWER = 120 * 1024

# AWS IoT's limits of a topic; it ends the connection on more.
_TOPIC_BYTES = 256
_TOPIC_SLASHES = 7


@dataclasses.dataclass(frozen=True, kw_only=True)
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


def is_possible_topic(topic: str) -> bool:
    """Whether an answer can go there: the sender chose it, and AWS ends the connection over an impossible one."""
    return (
        0 < len(topic.encode(errors="replace")) <= _TOPIC_BYTES
        and topic.count("/") <= _TOPIC_SLASHES
        and not any(sign in topic for sign in "#+\0")
        and not any("\ud800" <= character <= "\udfff" for character in topic)
    )


def _encoded(values: dict[str, object]) -> bytes:
    return json.dumps(values, ensure_ascii=False).encode(errors="replace")


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return False
    return True
