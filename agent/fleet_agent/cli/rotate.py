"""``fleet-agent rotate``: replace this device's key and certificate, by the running agent or without one."""

import argparse
import signal
import threading
from pathlib import Path
from typing import Any

from fleet_agent import pasted
from fleet_agent.cli import flags
from fleet_agent.cli.outcome import Outcome
from fleet_agent.cli.steps import Steps
from fleet_agent.clock import SystemClock, text
from fleet_agent.config.paths import runtime_dir
from fleet_agent.config.settings import Settings
from fleet_agent.credentials.model import Credential
from fleet_agent.errors import (
    AgentError,
    DeviceError,
    RefusedError,
    StateDirectoryError,
    TemporaryError,
    UnreachableError,
)
from fleet_agent.health import status_file
from fleet_agent.identity import rotate
from fleet_agent.identity.configured import open_store
from fleet_agent.identity.due import Due
from fleet_agent.identity.in_use import in_use
from fleet_agent.statedir.lock import holder, signal_agent

# What systemd's ExecCondition= makes of it: 0 go on, 1 to 254 skip, 255 failed.
DUE, NOT_DUE, NO_IDENTITY, ERROR = 0, 1, 2, 255

_LOOK_EVERY = 0.2  # seconds
# By the exit status, which is the same whoever did it.
_KINDS = {
    str(int(kind.exit_status)): kind
    for kind in (UnreachableError, StateDirectoryError, RefusedError, DeviceError)
}


def register(
    subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]",
    common: argparse.ArgumentParser,
) -> None:
    """Adds the verb."""
    parser = subparsers.add_parser(
        "rotate",
        parents=[common],
        help="replace this device's key and certificate",
        description="Makes a new key, gets a certificate for it, proves it with a connection, and only then uses "
        "it. If the agent is running, it does the work and reconnects.",
    )
    flags.add_settings(parser)
    flags.add_owner(parser)
    parser.add_argument(
        "--check",
        action="store_true",
        help="only report whether it is due, also as the exit status",
    )
    parser.add_argument("--force", action="store_true", help="rotate even if it is not due")
    parser.add_argument("--dry-run", action="store_true", help="only show what would happen")
    flags.add_timeout(parser, 180.0)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> Outcome:
    """Runs the verb."""
    try:
        settings = flags.settings(arguments)
        flags.become_owner(arguments, Path(settings.state_dir))
        due = rotate.look(settings, SystemClock())
    except AgentError as error:
        if not arguments.check:
            raise
        notes = (f"fleet-agent: {error.title}", f"  {error.remedy}")
        return Outcome(notes=notes, status=ERROR)
    if arguments.check:
        return _due(due)
    if due is None:
        raise rotate.no_identity()
    if not (due.is_due or arguments.force):
        words = f"{due.why} Nothing was done; --force rotates now."
        return Outcome(data={"rotated": False, **_values(due)}, lines=[words])
    if arguments.dry_run:
        return _plan(settings, due)
    return _rotate(settings, arguments)


def _due(due: Due | None) -> Outcome:
    if due is None:
        words = "This device has no identity yet."
        return Outcome(data=_values(due), lines=[words], status=NO_IDENTITY)
    words = due.why + (f" ({text(due.moment)})" if due.moment else "")
    return Outcome(data=_values(due), lines=[words], status=DUE if due.is_due else NOT_DUE)


def _values(due: Due | None) -> dict[str, Any]:
    if due is None:
        return {"due": False, "provisioned": False}
    since = text(due.moment) if due.moment else None
    return {"due": due.is_due, "provisioned": True, "why": due.why, "moment": since}


def _plan(settings: Settings, due: Due) -> Outcome:
    process = holder(Path(settings.state_dir))
    who = f"The running agent (process {process})" if process else "This command"
    credential = (
        "its current certificate" if settings.rotation.credential == "own" else "the claim"
    )
    where = f"{settings.endpoint}:{settings.port}"
    words = f"{who} would request a new certificate from {where}, with {credential}."
    answer = {"rotated": False, "dry_run": True, "process": process}
    more = {"credential": settings.rotation.credential}
    return Outcome(data={**answer, **_values(due), **more}, lines=[words])


def _rotate(settings: Settings, arguments: argparse.Namespace) -> Outcome:
    store = open_store(settings)
    before = in_use(store)
    process = holder(Path(settings.state_dir))
    if process is None:
        with Steps() as steps:
            credential = rotate.rotate(settings, steps, timeout=arguments.timeout)
    else:
        request(Path(settings.state_dir))
        credential = await_credential(settings, before, arguments.timeout)
    lines = [
        f"thing        {credential.thing_name or '(none)'}",
        f"certificate  {credential.certificate_id}",
        f"replaced     {before.certificate_id if before else '-'}",
    ]
    if before:
        command = pasted.command("fleet-cloud", "devices", "prune", before.certificate_id)
        lines.append(f"             deactivate it in the cloud: {command}")
    data = {
        "rotated": True,
        "thing_name": credential.thing_name,
        "certificate_id": credential.certificate_id,
        "replaced": before.certificate_id if before else None,
    }
    return Outcome(data=data, lines=lines)


def request(state_dir: Path) -> None:
    """Asks the running agent to rotate, or to carry out the move that was requested.

    Raises:
        AgentError: It cannot be asked.
    """
    try:
        signal_agent(state_dir, signal.SIGUSR1)
    except ProcessLookupError:
        raise TemporaryError(
            f"The agent ended just now, or {state_dir / 'lock'} does not name the process that holds it.",
            remedy="Run the command again; if it fails again: systemctl restart fleet-agent",
            code="agent-ended",
        ) from None
    except PermissionError:
        raise DeviceError(
            f"The agent that uses {state_dir} belongs to another user.",
            remedy="Run as that user or as root, with sudo.",
            code="not-permitted",
        ) from None


def await_credential(
    settings: Settings, before: Credential | None, timeout: float, *, step: str = "rotation"
) -> Credential:
    """Waits until the running agent has another credential.

    Raises:
        AgentError: It reports why not, or the time (seconds; 0: no limit) is over.
    """
    clock, store = SystemClock(), open_store(settings)
    shown = runtime_dir(Path(settings.state_dir), settings.runtime_dir)
    asked, until = clock.wall(), clock.monotonic() + (timeout or 1e9)
    known = before.certificate_id if before else None
    while clock.monotonic() < until:
        process = holder(Path(settings.state_dir))
        found = in_use(store)
        if found is not None and found.certificate_id != known:
            return found
        if process is None:
            raise TemporaryError(
                "The agent ended before it had a new credential.",
                remedy="Start it (systemctl start fleet-agent): it continues where it stopped.",
                code="agent-ended",
            )
        failure = _failure(shown)
        if failure and failure["failed"] >= text(asked):
            kind = _KINDS.get(failure["status"], TemporaryError)
            error = kind(failure["title"], remedy=failure["remedy"], code=failure["code"])
            error.step = step
            raise error
        threading.Event().wait(_LOOK_EVERY)
    raise UnreachableError(
        "The running agent has not finished in time; it continues.",
        remedy="To see what it does: fleet-agent status",
        code="timeout",
    )


def _failure(shown: Path) -> dict[str, str] | None:
    found = status_file.read(shown).get("rotation")
    if not isinstance(found, dict):
        return None
    names = ("failed", "title", "remedy", "code", "status")
    return {name: str(found.get(name, "")) for name in names}
