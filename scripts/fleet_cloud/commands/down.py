"""``fleet-cloud down``: deletes what ``up`` and ``claim new`` created, and the fleet's devices."""

import argparse
from collections.abc import Mapping, Sequence

from fleet_cloud import confirm
from fleet_cloud.aws.calls import Aws
from fleet_cloud.aws.tasks import run_all
from fleet_cloud.errors import CommandError, Exit
from fleet_cloud.fleet import claims, deletion, inventory
from fleet_cloud.fleet.claims import Claim
from fleet_cloud.fleet.inventory import Devices
from fleet_cloud.local.shell import Command
from fleet_cloud.options import Context
from fleet_cloud.outcome import Outcome
from fleet_cloud.plan import credentials, plan, teardown
from fleet_cloud.plan.teardown import Existing, Piece

NAME = ("down",)
SUMMARY = "delete everything of the fleet"
DESCRIPTION = """\
Deletes the fleet: disables the template and every claim first, so that no device registers meanwhile; then deletes the
devices with their certificates, the claims, the policies, the template, thing type and groups, role aliases, hook and
roles, in the order that AWS demands. Asks first.

Only what has the tags fleet=NAME and made-by=fleet-cloud is deleted; whatever has a name of the fleet without them, or
is a thing type that existed before, is kept and listed. With --keep-devices the devices keep working: their things,
certificates, policy, type and groups stay.

AWS may refuse to delete a detached policy or a deprecated thing type for up to five minutes: it waits for that,
--patience seconds each. What is left then is listed, and the exit status is 1; run it again to continue.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags for what to keep, and how long to wait."""
    parser.add_argument("--keep-devices", action="store_true", help="keep the devices working")
    parser.add_argument(
        "--patience",
        metavar="SECONDS",
        type=float,
        default=330.0,
        help="how long to retry what AWS does not delete yet (default: %(default)g)",
    )
    confirm.add_to(parser)


def run(context: Context, arguments: argparse.Namespace) -> Outcome:
    """Looks up what exists, asks for confirmation, disables it, then deletes it."""
    aws, names = context.aws(), context.names
    account, template = plan.look(aws, names)
    aliases = credentials.aliases_of(aws, names)
    pieces = teardown.of_fleet(aws, names, account, template, aliases)
    there = teardown.existing(aws, names, pieces)
    held = inventory.holdings(aws, names)
    found = claims.gather(aws, names, held, everything=False).claims
    devices = Devices(things=[], orphans=[])
    if not arguments.keep_devices:
        devices = inventory.things(aws, names, held)
    else:
        there = _without_devices(there)
    rows = _rows(there, found, devices)
    for piece in there.others:
        context.console.say(
            f"  {piece.kind} {piece.name} does not have the fleet's tags, so it is kept"
        )
    if rows:
        question = f"Permanently delete all this in account {account.number}, {account.region}?"
        confirm.confirm(context, question, yes=arguments.yes, rows=rows)
    left = _take_away(aws, there.ours, found, devices, arguments.patience)
    return Outcome(
        data={
            "fleet": names.fleet,
            "account": account.number,
            "region": account.region,
            "dry_run": context.shell.dry_run,
            "deleted": [" ".join(row) for row in rows if " ".join(row) not in left],
            "left": left,
            "not_ours": [f"{piece.kind} {piece.name}" for piece in there.others],
        },
        lines=[
            *(f"{name} was not deleted: {why}" for name, why in left.items()),
            "done" if rows and not left else "run it again later" if left else "nothing to do",
        ],
        status=Exit.FAILED if left else Exit.DONE,
    )


def _without_devices(there: Existing) -> Existing:
    """Returns what may be deleted while the devices keep working."""
    needed = {"device policy", "thing type", "thing group", "billing group"}
    needed |= {credentials.ALIAS, credentials.ROLE}
    return Existing(
        ours=[piece for piece in there.ours if piece.kind not in needed], others=there.others
    )


def _rows(there: Existing, found: Sequence[Claim], devices: Devices) -> list[list[str]]:
    return [
        *(["claim", claim.certificate.identifier] for claim in found),
        *(["device", thing.name] for thing in devices.things),
        *(["certificate", certificate.identifier] for certificate in devices.orphans),
        *([piece.kind, piece.name] for piece in there.ours),
    ]


def _take_away(
    aws: Aws,
    pieces: Sequence[Piece],
    found: Sequence[Claim],
    devices: Devices,
    patience: float,
) -> dict[str, str]:
    """Deletes in AWS's order; returns what could not be, by kind and name, and why."""
    say = aws.shell.console.say
    off = [
        (f"claim {claim.certificate.identifier}", [deletion.switch_off(aws, claim.certificate)])
        for claim in found
        if claim.certificate.status == inventory.ACTIVE
    ]
    before = [(f"{piece.kind} {piece.name}", piece.first) for piece in pieces if piece.first]
    if off or before:
        say("  disabling template and claims")
    left = _reasons(run_all(aws, [*off, *before], "disabling"))
    # They are already deactivated, so they only have to be deleted.
    tasks: list[tuple[str, Sequence[Command]]] = [
        *(
            (f"device {thing.name}", deletion.thing_commands(aws, thing))
            for thing in devices.things
        ),
        *(
            (
                f"certificate {certificate.identifier}",
                deletion.certificate_commands(aws, certificate),
            )
            for certificate in devices.orphans
        ),
        *(
            (
                f"claim {claim.certificate.identifier}",
                deletion.certificate_commands(aws, claim.certificate)[-1:],
            )
            for claim in found
        ),
    ]
    if tasks:
        say(f"  deleting {len(devices.things)} devices, {len(found)} claims")
    left |= _reasons(run_all(aws, tasks, "deleting"))
    for piece in pieces:
        waiting = [
            name
            for piece in pieces
            if piece.remembered and (name := f"{piece.kind} {piece.name}") in left
        ]
        if piece.kind == "template" and waiting:
            left[f"template {piece.name}"] = f"it still stores {', '.join(waiting)}"
            continue
        say(f"  {'would delete' if aws.shell.dry_run else 'deleting'} {piece.kind} {piece.name}")
        left |= _reasons(run_all(aws, [teardown.deletion(aws, piece)], "", patience))
    return left


def _reasons(left: Mapping[str, CommandError]) -> dict[str, str]:
    return {name: error.said for name, error in left.items()}
