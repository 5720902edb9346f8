"""Operations that the agent carries out itself, which may end its connection on the way."""

from collections.abc import Mapping
from typing import Any, Protocol

from fleet_agent.orders.router import Receipt
from fleet_agent.record import record


@record
class Conclusion:
    """How a job of one ended, and the details that it is reported with."""

    has_succeeded: bool
    details: Mapping[str, str]


class Operation(Protocol):
    """One of them; what it has begun is in the job's details, which AWS keeps, and in what is true of the device."""

    @property
    def name(self) -> str:
        """The ``operation`` of the job document."""

    @property
    def receipt(self) -> Receipt:
        """What is asked of the loop."""

    def refusal(self, document: Mapping[str, Any]) -> str | None:
        """Why what this document asks for is not done; None: it is."""

    def begin(self, document: Mapping[str, Any]) -> Mapping[str, str]:
        """What the job's details say from now on: AWS has them before anything is done."""

    def is_begun(self, document: Mapping[str, Any], details: Mapping[str, str]) -> bool:
        """Whether the details say that what the document asks for was begun."""

    def outcome(self, details: Mapping[str, str]) -> Conclusion | None:
        """How it ended; None: it is to be done now, or again."""

    def carry_out(self, job: str, details: Mapping[str, str]) -> None:
        """It is to be done now, for this job; the receipt asks the loop for it."""
