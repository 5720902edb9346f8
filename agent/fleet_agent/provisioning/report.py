"""What the walk reports on its way: to a person on stderr, to the journal, or not at all."""

import enum
from typing import Protocol

from fleet_agent.errors import AgentError


class Milestone(enum.StrEnum):
    """What is done of the walk, in order, as people read it."""

    PARAMETERS = "parameters"
    CLOCK = "clock"
    CLAIM_SESSION = "claim session"
    CERTIFICATE = "certificate"
    STORED = "stored"
    REGISTERED = "registered"
    ADOPTED = "adopted"  # in place of what is asked for
    PROVEN = "proven"
    CURRENT = "current"


class Report(Protocol):
    """Where provisioning reports its progress."""

    def step(self, name: Milestone, detail: str = "") -> None:
        """A step is done; ``detail``: a few words."""

    def waiting(self, why: str, seconds: float, problem: AgentError | None = None) -> None:
        """Something did not work and is tried again after ``seconds``; a ``problem`` needs a person to act first."""

    def problem(self, problem: AgentError) -> None:
        """Provisioned, but something should be looked at."""
