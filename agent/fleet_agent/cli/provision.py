"""``fleet-agent provision``: from claim to identity, on a bench or from a script."""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from fleet_agent.cli import flags, terminal
from fleet_agent.clock import SystemClock
from fleet_agent.errors import AgentError
from fleet_agent.identity.provision import Request, Result, provision

# In the order in which they are done.
_STEPS = (
    "parameters",
    "clock",
    "claim session",
    "certificate",
    "stored",
    "registered",
    "proven",
    "current",
)


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
        "provisioned device it says so and changes nothing.",
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
        "--force", action="store_true", help="provision anew, beside the identity in use"
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


def run(arguments: argparse.Namespace) -> int:
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
    with Steps() as steps:
        result = provision(settings, request, steps)
    credential = result.credential
    if arguments.json:
        answer = {
            "schema": 1,
            "thing_name": credential.thing_name,
            "certificate_id": credential.certificate_id,
            "certificate_file": credential.certificate_file,
            "private_key_file": credential.private_key_file,
            "device_configuration": dict(credential.device_configuration),
            "proven": credential.is_proven,
            "state_dir": str(Path(settings.state_dir).absolute()),
            "seconds": round(clock.monotonic() - started, 3),
        }
        print(json.dumps(answer))
    if result.was_there:
        print("This device is provisioned already; --force provisions anew.", file=sys.stderr)
    if not arguments.json:
        _print_for_people(result)
    return 0


def _print_for_people(result: Result) -> None:
    credential = result.credential
    print(f"thing        {credential.thing_name or '(the template makes none)'}")
    print(f"certificate  {credential.certificate_id}")
    print(f"             {credential.certificate_file}")
    print(
        f"key          {credential.private_key_file or 'elsewhere: not proven; bring it with --csr-key'}"
    )
    for name, value in credential.device_configuration.items():
        print(f"setting      {name} = {value}")


class Steps:
    """Tells the steps on stderr, each with its time since the one before; on a terminal, also what is waited for.

    Used as a context, so that the line which moves is gone before anything else is said.

    Args:
        names: The steps in the order in which they are done.
    """

    def __init__(self, names: Sequence[str] = _STEPS) -> None:
        self._names = names
        self._last = time.perf_counter()
        self._spinner = terminal.Spinner(sys.stderr)
        self._style = terminal.Style(sys.stderr)

    def __enter__(self) -> Self:
        self._spinner.show(self._names[0])
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._spinner.__exit__(kind, error, trace)

    def step(self, name: str, detail: str = "") -> None:
        """A step is done."""
        now = time.perf_counter()
        line = f"{now - self._last:7.3f} s  {self._style(f'{name:<14}', 'green')} {detail}"
        self._spinner.say(line.rstrip())
        self._spinner.show(self._after(name))
        self._last = now

    def waiting(self, why: str, seconds: float, _problem: AgentError | None = None) -> None:
        """Something is tried again."""
        self._spinner.say(
            f"           {self._style(why, 'yellow')} Trying again in {seconds:.0f} s."
        )

    def problem(self, problem: AgentError) -> None:
        """Provisioned, but something should be looked at."""
        title = self._style(problem.title, "yellow")
        self._spinner.say(f"           {title}\n           {problem.remedy}")

    def _after(self, name: str) -> str:
        """What is waited for once a step is done."""
        known = name in self._names[:-1]
        return self._names[self._names.index(name) + 1] if known else ""
