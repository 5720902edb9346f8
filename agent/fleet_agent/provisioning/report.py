"""What the walk tells while it goes: to a person on stderr, to the journal, to nobody."""

from typing import Protocol

from fleet_agent.errors import AgentError


class Report(Protocol):
    """Somebody who wants to know how provisioning goes."""

    def step(self, name: str, detail: str = "") -> None:
        """A step is done; ``name`` as in the flow, ``detail`` a few words."""

    def waiting(self, why: str, seconds: float, problem: AgentError | None = None) -> None:
        """Something did not work and is tried again after ``seconds``; ``problem``: somebody must look at it first."""

    def problem(self, problem: AgentError) -> None:
        """Provisioned, but something should be looked at."""
