"""``fleet-agent provision``: from claim to identity, on a bench or from a script."""

import argparse
from pathlib import Path

from fleet_agent.cli import flags
from fleet_agent.cli.outcome import Outcome
from fleet_agent.cli.steps import Steps
from fleet_agent.clock import SystemClock
from fleet_agent.credentials.model import Credential
from fleet_agent.identity.provision import provision
from fleet_agent.identity.walk import Request


def register(
    subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]",
    common: argparse.ArgumentParser,
) -> None:
    """Adds the verb."""
    parser = subparsers.add_parser(
        "provision",
        parents=[common],
        help="give this device an identity",
        description="Gets an identity by claim, proves it with a connection and stores it. Resumes after an "
        "interruption. On a provisioned device it reports the identity and changes nothing.",
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
        "--csr-key", metavar="FILE", help="its private key; without it the identity is not proven"
    )
    group.add_argument(
        "--force",
        action="store_true",
        help="provision again; the current identity stays until the new one is proven",
    )
    group.add_argument("--restart", action="store_true", help="discard an unfinished attempt")
    flags.add_timeout(group, 120.0)
    flags.add_allow_volatile(group)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> Outcome:
    """Runs the verb."""
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
    known = "This device is already provisioned; --force provisions it again."
    notes = [known] if result.was_there else []
    return Outcome(data=data, lines=_for_people(credential), notes=notes)


def _for_people(credential: Credential) -> list[str]:
    key = (
        credential.private_key_file
        or "not here, so the identity is not proven; pass it with --csr-key"
    )
    settings = credential.device_configuration.items()
    return [
        f"thing        {credential.thing_name or '(the template creates none)'}",
        f"certificate  {credential.certificate_id}",
        f"             {credential.certificate_file}",
        f"key          {key}",
        *(f"setting      {name} = {value}" for name, value in settings),
    ]
