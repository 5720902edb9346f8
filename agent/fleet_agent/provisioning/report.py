"""How the walk reports its progress: to a person on stderr, to the journal, or not at all."""

import enum
from typing import Protocol

from fleet_agent.errors import AgentError


class Milestone(enum.StrEnum):
    """The milestones of the walk, in order, as people read them."""

    PARAMETERS = "parameters"
    CLOCK = "clock"
    CLAIM_SESSION = "claim session"
    CERTIFICATE = "certificate"
    STORED = "stored"
    REGISTERED = "registered"
    ADOPTED = "adopted"  # instead of REGISTERED
    PROVEN = "proven"
    CURRENT = "current"


class Report(Protocol):
    """Receives the progress of provisioning."""

    def step(self, name: Milestone, detail: str = "") -> None:
        """Reports a finished step; ``detail``: a few words."""

    def waiting(self, why: str, seconds: float, problem: AgentError | None = None) -> None:
        """Something failed and is tried again after ``seconds``; with a ``problem``, a person must act first."""

    def problem(self, problem: AgentError) -> None:
        """Reports a problem of a device that is provisioned all the same."""
