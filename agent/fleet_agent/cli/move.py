"""``fleet-agent move``: take this device to another account or region, by the running agent or without one."""

import argparse
from pathlib import Path
from typing import Any

from fleet_agent import pasted
from fleet_agent.cli import flags, rotate
from fleet_agent.cli.outcome import Outcome
from fleet_agent.cli.steps import Steps
from fleet_agent.config.settings import Settings
from fleet_agent.credentials.model import Credential
from fleet_agent.identity import home, move
from fleet_agent.identity.configured import open_store
from fleet_agent.identity.in_use import in_use
from fleet_agent.identity.rotate import no_identity
from fleet_agent.statedir.lock import holder

_LONGER = 60.0  # seconds


def register(
    subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]",
    common: argparse.ArgumentParser,
) -> None:
    """Adds the verb."""
    parser = subparsers.add_parser(
        "move",
        parents=[common],
        help="take this device to another account or region",
        description="Moves to a destination listed under move.allowed: gets an identity there by that "
        "destination's claim, proves it with a connection, and only then uses it. If it is not proven in time, the "
        "device stays where it is. If the agent is running, it does the work.",
    )
    flags.add_settings(parser)
    flags.add_owner(parser)
    parser.add_argument(
        "--to", required=True, metavar="NAME", help="a destination under move.allowed"
    )
    parser.add_argument("--dry-run", action="store_true", help="only show what would happen")
    parser.add_argument(
        "--timeout",
        type=flags.seconds,
        metavar="SECONDS",
        help="give up after this long; 0: never (default: move.within); a running agent always uses move.within",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> Outcome:
    """Runs the verb."""
    settings = flags.settings(arguments)
    name = arguments.to
    wanted = home.destination(settings, name)
    flags.become_owner(arguments, Path(settings.state_dir))
    before = in_use(open_store(settings))
    if before is None:
        raise no_identity()
    data: dict[str, Any] = {"moved": False, "to": name, "endpoint": wanted.endpoint}
    if home.is_there(settings, name, before):
        return Outcome(data=data, lines=[f"This device is already at {name}."])
    process = holder(Path(settings.state_dir))
    if arguments.dry_run:
        who = f"The running agent (process {process})" if process else "This command"
        where = f"{wanted.endpoint}:{wanted.port}"
        words = f"{who} would request an identity from {where}, with the claim {wanted.claim.certificate}."
        return Outcome(data={**data, "dry_run": True, "process": process}, lines=[words])
    timeout = settings.move.within if arguments.timeout is None else arguments.timeout
    found = _move(settings, name, before, process, timeout)
    command = pasted.command("fleet-cloud", "devices", "prune", before.certificate_id)
    lines = [
        f"thing        {found.thing_name or '(none)'}",
        f"endpoint     {_where(settings, found)}",
        f"certificate  {found.certificate_id}",
        f"left         {before.certificate_id} at {_where(settings, before)}",
        f"             deactivate it in that account: {command}",
    ]
    more = {"moved": True, "thing_name": found.thing_name}
    ids = {"certificate_id": found.certificate_id, "left": before.certificate_id}
    return Outcome(data={**data, **more, **ids}, lines=lines)


def _where(settings: Settings, credential: Credential) -> str:
    endpoint, port = home.place(settings, credential)
    return f"{endpoint}:{port}"


def _move(
    settings: Settings, name: str, before: Credential, process: int | None, timeout: float
) -> Credential:
    if process is None:
        with Steps() as steps:
            return move.move(settings, name, steps, timeout=timeout)
    move.request(Path(settings.state_dir), name)
    rotate.request(Path(settings.state_dir))
    # The agent goes back by itself, and says so.
    return rotate.await_credential(settings, before, timeout and timeout + _LONGER, step="move")
