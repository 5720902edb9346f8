"""``fleet-agent provision``: from claim to identity, on a bench or from a script."""

import argparse
import itertools
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from fleet_agent.cli import flags, terminal
from fleet_agent.cli.outcome import Outcome
from fleet_agent.cli.terminal import Styled
from fleet_agent.clock import SystemClock
from fleet_agent.credentials.model import Credential
from fleet_agent.errors import AgentError
from fleet_agent.identity.provision import provision
from fleet_agent.identity.walk import Request
from fleet_agent.provisioning.report import Milestone


def register(
    subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]",
    common: argparse.ArgumentParser,
) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "provision",
        parents=[common],
        help="give this device an identity",
        description="Walks from the claim to a proven identity and stores it; interrupted, it goes on from there. On a "
        "provisioned device it reports that and changes nothing.",
    )
    flags.add_settings(parser)
    flags.add_owner(parser)
    group = parser.add_argument_group("what to do")
    for flag, text in (
        ("--csr", "certificate signing request made elsewhere (PEM, at most 2000 bytes)"),
        ("--csr_file", argparse.SUPPRESS),
    ):
        group.add_argument(flag, dest="csr", metavar="FILE", help=text)
    group.add_argument(
        "--csr-key", metavar="FILE", help="its private key; without it nothing is proven"
    )
    group.add_argument(
        "--force", action="store_true", help="provision again, beside the identity in use"
    )
    group.add_argument("--restart", action="store_true", help="drop an interrupted attempt")
    group.add_argument(
        "--timeout",
        type=flags.seconds,
        default=120.0,
        metavar="SECONDS",
        help="0: for ever (default 120)",
    )
    group.add_argument(
        "--allow-volatile", action="store_true", help="accept a state directory in memory"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> Outcome:
    """Run the verb."""
    settings = flags.settings(arguments)
    clock = SystemClock()
    started = clock.monotonic()
    request = Request(
        csr_file=arguments.csr,
        csr_key_file=arguments.csr_key,
        force=arguments.force,
        restart=arguments.restart,
        allow_volatile=arguments.allow_volatile,
        timeout=arguments.timeout,
    )
    flags.become_owner(arguments, Path(settings.state_dir))
    result = provision(settings, request, Steps())
    credential = result.credential
    data = {
        "thing_name": credential.thing_name,
        "certificate_id": credential.certificate_id,
        "certificate_file": credential.certificate_file,
        "private_key_file": credential.private_key_file,
        "device_configuration": dict(credential.device_configuration),
        "proven": credential.is_proven,
        "state_dir": str(Path(settings.state_dir).absolute()),
        "seconds": round(clock.monotonic() - started, 3),
    }
    known = "This device is provisioned already; --force provisions it again."
    notes = [known] if result.was_there else []
    return Outcome(data=data, lines=_for_people(credential), notes=notes)


def _for_people(credential: Credential) -> list[str]:
    key = credential.private_key_file or "elsewhere: not proven; bring it with --csr-key"
    settings = credential.device_configuration.items()
    return [
        f"thing        {credential.thing_name or '(the template makes none)'}",
        f"certificate  {credential.certificate_id}",
        f"             {credential.certificate_file}",
        f"key          {key}",
        *(f"setting      {name} = {value}" for name, value in settings),
    ]


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
        """A step is done."""
        now = time.perf_counter()
        self._spinner.write(
            (f"{now - self._last:7.3f} s  ", Styled(f"{name:<14}", "green"), f" {detail}")
        )
        self._spinner.show(_after(name))
        self._last = now

    def waiting(self, why: str, seconds: float, _problem: AgentError | None = None) -> None:
        """Something is tried again."""
        again = f" Trying again in {seconds:.0f} s."
        self._spinner.write(("           ", Styled(why, "yellow"), again))

    def problem(self, problem: AgentError) -> None:
        """Provisioned, but something should be looked at."""
        self._spinner.write(("           ", Styled(problem.title, "yellow")))
        self._spinner.write(f"           {problem.remedy}")


def _after(done: Milestone) -> str:
    """What is waited for once a step is done."""
    shown = (name for name in Milestone if name is not Milestone.ADOPTED or name is done)
    following = itertools.dropwhile(lambda name: name is not done, shown)
    return next(itertools.islice(following, 1, None), "")
