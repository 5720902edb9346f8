"""``fleet-agent key``: the device's key before it has an identity, and what the cloud knows it by."""

import argparse
from pathlib import Path

from fleet_agent.cli import flags
from fleet_agent.cli.outcome import Outcome
from fleet_agent.identity import factory_key


def register(
    subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]",
    common: argparse.ArgumentParser,
) -> None:
    """Adds the verb."""
    parser = subparsers.add_parser(
        "key",
        parents=[common],
        help="make the device's key in the factory, or print its hash",
        description="Prints the SHA-256 of the device's public key (SubjectPublicKeyInfo, DER, in hexadecimal), "
        "for fleet-cloud devices expect: the claim is then useless without this device. While the identity is "
        "being replaced, it is the new key's. The key itself never leaves the device.",
    )
    flags.add_settings(parser)
    flags.add_owner(parser)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument(
        "--make",
        action="store_true",
        help="make the key that provisioning will use, in a file or a hardware token, unless it exists",
    )
    action.add_argument(
        "--print-hash", action="store_true", help="only print the hash; make no key"
    )
    flags.add_allow_volatile(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> Outcome:
    """Runs the verb."""
    settings = flags.settings(arguments)
    flags.become_owner(arguments, Path(settings.state_dir))
    if arguments.make:
        found = factory_key.make(settings, allow_volatile=arguments.allow_volatile)
    else:
        found = factory_key.find(settings)
    is_old = arguments.make and not found.was_made
    return Outcome(
        data={
            "public_key_sha256": found.public_key_hash,
            "made": found.was_made,
            "generation": found.generation,
        },
        lines=[found.public_key_hash],
        notes=["This device already had a key; this is its hash."] if is_old else [],
    )
