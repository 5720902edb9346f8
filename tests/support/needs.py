"""What a walk is carried out with, where a test needs a part of it."""

from typing import Any, NoReturn

from fleet_agent.credentials.store import Store
from fleet_agent.errors import AgentError
from fleet_agent.provisioning.dependencies import Dependencies, here
from fleet_agent.provisioning.report import Milestone
from support.clock import FakeClock


class Steps:
    """Keeps what is reported."""

    def __init__(self) -> None:
        self.steps: list[tuple[Milestone, str]] = []
        self.waits: list[tuple[str, float, AgentError | None]] = []
        self.problems: list[AgentError] = []

    def step(self, name: Milestone, detail: str = "") -> None:
        """One that is done."""
        self.steps.append((name, detail))

    def waiting(self, why: str, seconds: float, problem: AgentError | None = None) -> None:
        """A wait."""
        self.waits.append((why, seconds, problem))

    def problem(self, problem: AgentError) -> None:
        """Something to be looked at."""
        self.problems.append(problem)


def needs(store: Store, clock: FakeClock, report: Steps, **more: Any) -> Dependencies:
    """All of it; what a test does not give is not to be used by it."""

    def unexpected(*_: object) -> NoReturn:
        raise AssertionError("not expected")

    given: dict[str, Any] = {
        "store": store,
        "clock": clock,
        "call": here,
        "sleep": clock.go,
        "jitter": lambda: 0.5,
        "report": report,
        "read_pair": unexpected,
        "make_api": unexpected,
        "prove": unexpected,
        "topics": (),
        "outlasts_refusal": True,
        **more,
    }
    return Dependencies(**given)
