"""How an order ended: a value, kept on disk until who asked has it."""

import binascii
import dataclasses
import enum
from typing import Any

from fleet_agent.orders.order import in_base64
from fleet_agent.record import record


class Result(enum.Enum):
    """The result of an order, as a word."""

    DONE = "done"
    FAILED = "failed"
    REFUSED = "refused"
    TIMED_OUT = "timed out"


# Whoever gave it does not want it any more.
CANCELED = "canceled"
# Words for an order that was not carried out, for a reason that lies in it or in how much there is to do.
BAD_ID = "bad-id"
BUSY = "busy"
DUPLICATE = "duplicate"
NOT_UNDERSTOOD = "not-understood"
REFUSED = "refused"
REFUSED_NAME = "refused-name"
TOO_LARGE = "too-large"
_REFUSALS = frozenset(
    (BAD_ID, BUSY, CANCELED, DUPLICATE, NOT_UNDERSTOOD, REFUSED, REFUSED_NAME, TOO_LARGE)
)
TIMEOUT = "timeout"
# The agent ended, or the device booted, while it was carried out: what it had done by then is not known.
STOPPED = "stopped"


@record
class Outcome:
    """The outcome of an order.

    ``error`` is empty unless the agent has to say why there is no exit status; ``reason`` is empty when all is well.
    ``stderr`` is its tail. ``was_begun``: whether it may have had an effect, so that doing it again would be twice.
    """

    status: int = 0
    error: str = ""
    reason: str = ""
    stdout: bytes | None = None
    stderr: bytes = b""
    is_cut: bool = False
    packet: bytes | None = None
    was_begun: bool = True

    @property
    def is_good(self) -> bool:
        """Whether it did what was asked."""
        return self.status == 0

    @property
    def result(self) -> Result:
        """The result, as a word."""
        if self.error == TIMEOUT:
            return Result.TIMED_OUT
        if self.error in _REFUSALS:
            return Result.REFUSED
        return Result.DONE if self.is_good else Result.FAILED


def failure(error: str, reason: str, *, was_begun: bool = False) -> Outcome:
    """An order that was refused, or could not be carried out."""
    return Outcome(status=-1, error=error, reason=reason, was_begun=was_begun)


def to_values(outcome: Outcome) -> dict[str, Any]:
    """The outcome as values for JSON, bytes in base64."""
    return {
        name: in_base64(value) if isinstance(value, bytes) else value
        for name, value in dataclasses.asdict(outcome).items()
    }


def from_values(values: dict[str, Any]) -> Outcome:
    """Reads an outcome from what was kept on disk.

    Raises:
        ValueError: It is not what ``to_values`` gave.
    """
    try:
        found = {
            name: None if values[name] is None else binascii.a2b_base64(values[name])
            for name in ("stdout", "stderr", "packet")
        }
        return Outcome(**values | found)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(str(error)) from error
