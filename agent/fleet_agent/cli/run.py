"""``fleet-agent run``: what the service starts."""

import argparse
import functools
import logging

from fleet_agent import log
from fleet_agent.cli import flags
from fleet_agent.cli.outcome import Outcome
from fleet_agent.daemon import service
from fleet_agent.errors import AgentError
from fleet_agent.health.problems import Kind
from fleet_agent.health.status import Health
from fleet_agent.health.table import kind_of
from fleet_agent.identity.walk import Request
from fleet_agent.log import Moment
from fleet_agent.provisioning.report import Milestone

_log = logging.getLogger(__name__)


def register(
    subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]",
    common: argparse.ArgumentParser,
) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "run",
        parents=[common],
        help="provision if need be, then carry telemetry",
        description="The daemon: provisions if need be, connects as the thing, publishes readings, listens to the "
        "configured topics, until SIGTERM.",
    )
    flags.add_settings(parser)
    flags.add_owner(parser)
    parser.add_argument(
        "--allow-volatile", action="store_true", help="accept a state directory in memory"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> Outcome:
    """Run the verb; ends when it is asked to, or by an error."""
    request = Request(
        allow_volatile=arguments.allow_volatile,
        outlasts_refusal=True,
        any_owner=arguments.as_owner,
    )
    service.run(functools.partial(flags.settings, arguments), request, _Log)
    return Outcome()


class _Log:
    """Logs provisioning's progress, and reports what it waits for as a problem."""

    def __init__(self, health: Health) -> None:
        self._health = health
        # Which is a problem meanwhile.
        self._waits_for: Kind | None = None

    def step(self, name: Milestone, detail: str = "") -> None:
        """A step is done."""
        self._clear()
        moment = Moment.PROVISIONED if name is Milestone.CURRENT else None
        _log.info("%s: %s", name, detail, extra=log.fields(moment))
        self._health.set_activity(f"provisioning: {name}")

    def waiting(self, why: str, seconds: float, problem: AgentError | None = None) -> None:
        """Something is tried again."""
        kind = kind_of(problem) if problem else None
        if kind != self._waits_for:
            self._clear()
        if problem is not None and kind is not None:
            self._waits_for = kind
            self._health.report(kind.problem(problem.title, problem.remedy))
        _log.warning("%s Trying again in %.0f s.", why, seconds, extra=log.fields(Moment.WAITING))
        self._health.set_activity(f"provisioning: {why} Trying again in {seconds:.0f} s")

    def problem(self, problem: AgentError) -> None:
        """Provisioned, but something should be looked at."""
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
