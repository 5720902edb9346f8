"""Operations of jobs that the agent carries out itself, and that may end its connection on the way."""

from collections.abc import Mapping
from typing import Any, Protocol

from fleet_agent.record import record


@record
class Conclusion:
    """The end of such a job, and the details to report."""

    has_succeeded: bool
    details: Mapping[str, str]


class Operation(Protocol):
    """One operation. What it has begun shows in the job's details, which AWS keeps, and in the device's own state."""

    @property
    def name(self) -> str:
        """The ``operation`` of the job document."""

    def refusal(self, document: Mapping[str, Any]) -> str | None:
        """Returns why this document is refused; None: it is carried out."""

    def begin(self, document: Mapping[str, Any]) -> Mapping[str, str]:
        """The job's details from now on: AWS has them before anything is done."""

    def is_begun(self, document: Mapping[str, Any], details: Mapping[str, str]) -> bool:
        """Whether the details say that this document was begun."""

    def outcome(self, details: Mapping[str, str]) -> Conclusion | None:
        """Returns how it ended; None: it is to be done now, or again."""

    def carry_out(self, job: str, details: Mapping[str, str]) -> None:
        """Carries it out for this job; a rotation is requested from the loop."""
