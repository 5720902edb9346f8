"""``fleet-agent adopt``: an identity from a certificate and key that the device has already."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from fleet_agent.cli import flags
from fleet_agent.cli.outcome import Outcome
from fleet_agent.cli.steps import Steps
from fleet_agent.clock import SystemClock
from fleet_agent.credentials.model import Credential, KeyPair
from fleet_agent.errors import DeviceError, UsageError
from fleet_agent.identity import adopt
from fleet_agent.identity.provision import Result, provision
from fleet_agent.identity.walk import Request
from fleet_agent.provisioning.report import Milestone


def register(
    subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]",
    common: argparse.ArgumentParser,
) -> None:
    """Adds the verb."""
    parser = subparsers.add_parser(
        "adopt",
        parents=[common],
        help="adopt a certificate and key that this device already has",
        description="Makes a certificate and key that this device already has its identity: copies them, proves "
        "them with a connection, and uses them from then on. Nothing is requested from AWS IoT, and the files stay "
        "as they are. AWS IoT closes the first connections of a certificate that it registers by its CA: they are "
        "retried for two minutes.",
    )
    flags.add_identity(parser)
    flags.add_owner(parser)
    group = parser.add_argument_group("what to do")
    group.add_argument(
        "--force",
        action="store_true",
        help="adopt it even so; the current identity stays until this one is proven",
    )
    group.add_argument("--restart", action="store_true", help="discard an unfinished attempt")
    group.add_argument(
        "--delete-files", action="store_true", help="delete both files once the identity is in use"
    )
    flags.add_timeout(group, 180.0)
    flags.add_allow_volatile(group)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> Outcome:
    """Runs the verb."""
    settings = flags.settings(arguments)
    if settings.identity.pair is None:
        raise UsageError(
            "No certificate and key to adopt are named.",
            remedy="Pass --cert FILE --key FILE, or add the section identity to the configuration.",
            code="usage",
        )
    clock = SystemClock()
    started = clock.monotonic()
    # Before root becomes the agent's user, who may not read what another agent keeps.
    pair = adopt.read(settings)
    request = Request(
        pair=pair,
        force=arguments.force,
        restart=arguments.restart,
        allow_volatile=arguments.allow_volatile,
        timeout=arguments.timeout,
    )
    flags.become_owner(arguments, Path(settings.state_dir))
    result = provision(settings, request, Steps(Milestone.CLOCK))
    if result.was_there:
        _refuse_another(result.credential, pair)
    deleted, stay = adopt.delete_files(settings.identity) if arguments.delete_files else ([], [])
    data = _data(result, Path(settings.state_dir), deleted)
    data["seconds"] = round(clock.monotonic() - started, 3)
    notes = ["This certificate is already in use."] if result.was_there else []
    lines = _for_people(result.credential, deleted, stay)
    return Outcome(data=data, lines=lines, notes=notes)


def _refuse_another(credential: Credential, pair: KeyPair) -> None:
    """Refuses to take another identity in use for the requested one."""
    from fleet_agent.credentials import certificates

    given = certificates.checked_leaf(pair).certificate_id
    if given != credential.certificate_id:
        raise DeviceError(
            f"This device already has an identity: {credential.client_id}, certificate {credential.certificate_id}. "
            f"{pair.certificate_file} is another certificate.",
            remedy="To replace that identity, add --force; it stays until the new one is proven",
            code="identity-in-use",
        )


def _data(result: Result, state_dir: Path, deleted: Sequence[str]) -> dict[str, object]:
    credential = result.credential
    return {
        "thing_name": credential.thing_name,
        "certificate_id": credential.certificate_id,
        "certificate_file": credential.certificate_file,
        "private_key_file": credential.private_key_file,
        "origin": credential.origin,
        "was_there": result.was_there,
        "deleted": list(deleted),
        "state_dir": str(state_dir.absolute()),
    }


def _for_people(credential: Credential, deleted: Sequence[str], stay: Sequence[str]) -> list[str]:
    return [
        f"thing        {credential.thing_name or '(none)'}",
        f"certificate  {credential.certificate_id}",
        f"             {credential.certificate_file}",
        f"key          {credential.private_key_file}",
        *(f"deleted      {path}" for path in deleted),
        *(f"stays        {reference}" for reference in stay),
    ]
