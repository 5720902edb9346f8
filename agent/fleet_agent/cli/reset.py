"""``fleet-agent reset``: forgets this device's identity, so that it can get another one, or go into an image."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from fleet_agent import pasted
from fleet_agent.cli import flags
from fleet_agent.cli.outcome import Outcome, note
from fleet_agent.credentials.model import HardwareToken
from fleet_agent.errors import AgentError, UsageError
from fleet_agent.identity import reset
from fleet_agent.identity.configured import hardware_tokens
from fleet_agent.identity.reset import Leftover
from fleet_agent.process import streams


def register(
    subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]",
    common: argparse.ArgumentParser,
) -> None:
    """Adds the verb."""
    parser = subparsers.add_parser(
        "reset",
        parents=[common],
        help="remove this device's identity",
        description="Removes the identity, unfinished attempts, the queue of readings and the hardware fingerprint, "
        "and lists the certificates to retire in the cloud. Claim and configuration stay: the next start provisions "
        "the device again. Without --yes it asks first; without a terminal it only shows what would be removed. "
        "Stop the service first.",
    )
    flags.add_settings(parser)
    flags.add_owner(parser)
    group = parser.add_argument_group("what to do")
    group.add_argument("--yes", action="store_true", help="do not ask")
    group.add_argument("--keep-queue", action="store_true", help="keep unsent readings")
    group.add_argument(
        "--for-image",
        action="store_true",
        help="the disk becomes an image: also remove the ledger, and list what else belongs to this device alone",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> Outcome:
    """Runs the verb."""
    state_dir, runtime_dir = flags.directories(arguments)
    is_watched = sys.stdin.isatty()
    flags.become_owner(arguments, state_dir, stdin=is_watched and not arguments.yes)
    wanted = {"keep_queue": arguments.keep_queue, "for_image": arguments.for_image}
    if not arguments.yes:
        found = reset.look(state_dir, runtime_dir, **wanted)
        _confirm(found, state_dir, is_watched=is_watched)
    found = reset.reset(state_dir, runtime_dir, **wanted, tokens=_tokens(arguments))
    hints = reset.image_hints() if arguments.for_image else []
    data = {
        "thing_name": found.credential.thing_name if found.credential else None,
        "certificate_id": found.credential.certificate_id if found.credential else None,
        "retire": list(found.retire),
        "copied": found.original is not None,
        "removed": _removed(found, state_dir),
        "hints": hints,
        "state_dir": str(state_dir),
    }
    return Outcome(data=data, lines=_for_people(found, state_dir, hints))


def _tokens(arguments: argparse.Namespace) -> list[HardwareToken]:
    """The hardware tokens of the configuration, where there is one."""
    try:
        return list(hardware_tokens(flags.settings(arguments)))
    except AgentError:  # without an endpoint, say: a key that stays in its hardware token is named
        return []


def _removed(found: Leftover, state_dir: Path) -> list[str]:
    identity = [str(state_dir / "credentials")] if found.has_identity else []
    return identity + [str(path) for path in found.remove]


def _confirm(found: Leftover, state_dir: Path, *, is_watched: bool) -> None:
    going = _removed(found, state_dir)
    if not going:
        return
    who = f" ({found.credential.thing_name})" if found.credential else ""
    note(f"This forgets the device's identity{who}:", *(f"  {name}" for name in going))
    if is_watched:
        streams.print_error("Type yes to continue: ", end="")
        if streams.read_line() == "yes":
            return
    raise UsageError(
        "Nothing was removed.",
        remedy="To do it: fleet-agent reset --yes, with the same other flags.",
        code="not-confirmed",
    )


def _for_people(found: Leftover, state_dir: Path, hints: list[str]) -> Iterator[str]:
    for name in _removed(found, state_dir):
        yield f"removed      {name}"
    if not found.has_identity:
        yield f"clean        {state_dir} contains no identity"
    if found.original is not None:
        yield (
            f"careful      this identity was proven on other hardware (its {found.original} differs): its certificate "
            "may be in use there"
        )
    for certificate_id in found.retire:
        yield f"retire       {certificate_id}"
    for certificate_id in found.retire:
        deactivate = ("aws", "iot", "update-certificate", "--new-status", "INACTIVE")
        yield f"  {pasted.command(*deactivate, '--certificate-id', certificate_id)}"
    if found.retire:
        yield "  or delete them as well: fleet-cloud devices prune CERTIFICATE..."
    if found.credential is not None and found.credential.thing_name:
        allow = ("fleet-cloud", "devices", "allow", found.credential.thing_name)
        yield "again        before this device provisions under its name again, with another key:"
        yield f"  {pasted.command(*allow, '--for', '1h', '--any-key')}"
    for hint in hints:
        yield f"image        {hint}"
