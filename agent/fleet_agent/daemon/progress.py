"""Reports provisioning in the daemon: as log lines, in the status, and as a problem while it waits."""

import logging

from fleet_agent.errors import AgentError, NotApprovedError
from fleet_agent.health.problems import ProblemKind
from fleet_agent.health.status import Health
from fleet_agent.health.table import kind_of
from fleet_agent.identity.ladder import Rung
from fleet_agent.process import log
from fleet_agent.process.log import Moment
from fleet_agent.provisioning.report import Milestone

_log = logging.getLogger(__name__)


class Progress:
    """A ``provisioning.report.Report`` for an unattended process."""

    def __init__(self, health: Health) -> None:
        self._health = health
        # The problem that is reported meanwhile.
        self._waits_for: ProblemKind | None = None

    def step(self, name: Milestone, detail: str = "") -> None:
        """Reports a finished step."""
        self._clear()
        moment = Moment.PROVISIONED if name is Milestone.CURRENT else None
        _log.info("%s: %s", name, detail, extra=log.fields(moment))
        self._health.set_activity(f"provisioning: {name}")

    def waiting(self, why: str, seconds: float, problem: AgentError | None = None) -> None:
        """Reports a wait before another try."""
        kind = kind_of(problem) if problem else None
        if kind != self._waits_for:
            self._clear()
        if problem is not None and kind is not None:
            self._waits_for = kind
            self._health.report(kind.problem(problem.title, problem.remedy))
        _log.warning("%s Trying again in %.0f s.", why, seconds, extra=log.fields(Moment.WAITING))
        doing = Rung.APPROVAL.value if isinstance(problem, NotApprovedError) else "provisioning"
        self._health.set_activity(f"{doing}: {why} Trying again in {seconds:.0f} s")

    def problem(self, problem: AgentError) -> None:
        """Reports a problem of a device that is provisioned all the same."""
        _log.warning(
            "%s %s",
            problem.title,
            problem.remedy,
            extra=log.fields(Moment.PROBLEM, problem=problem.code),
        )
        self._health.report(kind_of(problem).problem(problem.title, problem.remedy))

    def _clear(self) -> None:
        if self._waits_for is not None:
            self._health.clear(self._waits_for)
            self._waits_for = None
