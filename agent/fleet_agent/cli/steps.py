"""The steps of a walk as a person sees them: ``provision``, ``adopt``, ``rotate`` and ``move`` print the same."""

import itertools
import sys
import time
from types import TracebackType
from typing import Self

from fleet_agent.cli import terminal
from fleet_agent.cli.terminal import Styled
from fleet_agent.errors import AgentError
from fleet_agent.provisioning.report import Milestone


class Steps:
    """Prints the steps on stderr, each with its time since the one before; on a terminal, also what is waited for.

    Used as a context, so that the line which moves is gone before anything else is printed.

    Args:
        first: What is waited for at first.
    """

    def __init__(self, first: Milestone = Milestone.PARAMETERS) -> None:
        self._first = first
        self._last = time.perf_counter()
        self._spinner = terminal.Spinner(sys.stderr)

    def __enter__(self) -> Self:
        self._spinner.show(self._first)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._spinner.__exit__(kind, error, trace)

    def step(self, name: Milestone, detail: str = "") -> None:
        """Reports a finished step."""
        now = time.perf_counter()
        self._spinner.write(
            (f"{now - self._last:7.3f} s  ", Styled(f"{name:<14}", "green"), f" {detail}")
        )
        self._spinner.show(_after(name))
        self._last = now

    def waiting(self, why: str, seconds: float, _problem: AgentError | None = None) -> None:
        """Reports a wait before another try."""
        again = f" Trying again in {seconds:.0f} s."
        self._spinner.write(("           ", Styled(why, "yellow"), again))

    def problem(self, problem: AgentError) -> None:
        """Reports a problem of a device that is provisioned all the same."""
        self._spinner.write(("           ", Styled(problem.title, "yellow")))
        self._spinner.write(f"           {problem.remedy}")


def _after(done: Milestone) -> str:
    """Returns what is awaited after a step."""
    shown = (name for name in Milestone if name is not Milestone.ADOPTED or name is done)
    following = itertools.dropwhile(lambda name: name is not done, shown)
    return next(itertools.islice(following, 1, None), "")
