"""``fleet-cloud devices prune``: retires certificates that no device uses any more."""

import argparse
import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path

from fleet_cloud import confirm
from fleet_cloud.aws import times
from fleet_cloud.aws.tasks import run_all
from fleet_cloud.commands import devices_show
from fleet_cloud.commands.devices_clean import left_lines
from fleet_cloud.errors import CommandError, Exit
from fleet_cloud.fleet import deletion, inventory, ledger, prune, registrations
from fleet_cloud.fleet.inventory import Thing
from fleet_cloud.fleet.prune import Candidate
from fleet_cloud.local import quoting
from fleet_cloud.options import Context
from fleet_cloud.outcome import Outcome

NAME = ("devices", "prune")
SUMMARY = "retire certificates that no device uses any more"
DESCRIPTION = """\
Finds certificates of this fleet that no device uses any more, and retires them: detaches, deactivates and deletes them.

  superseded  a thing's one active certificate is newer, and has been there for --min-age hours
  orphaned    the certificate has the policy NAME-device, and no thing
  ledger      a device's ledger.jsonl, given with --ledger, says last of it: unresolved, retired or dropped
  named       it is named here, by the beginning of its id as devices show and devices list --json have it

If a thing has more than one active certificate, none is retired by age, as somebody who took the thing over would have
the newer one. Such things are listed. For what a rotation by a job replaced: rotate status --retire. Otherwise give the
device's ledger, or name the certificate.

A ledger counts for its own thing (the thing with the certificate that it says is in use; after fleet-agent reset there
is none, and --thing names it), and for certificates without a thing that have only the policy NAME-device, or no policy
and are still pending. Everything else in it is ignored. Asks first; --dry-run shows.

AWS has no list of things with their certificates, so each thing is queried, at 20 queries a second for an account: ten
thousand things take ten minutes.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags for what else to consider."""
    parser.add_argument(
        "certificates",
        metavar="CERTIFICATE",
        nargs="*",
        help="beginning of the id of a certificate to retire, whatever its age",
    )
    parser.add_argument(
        "--ledger",
        metavar="FILE",
        type=Path,
        action="append",
        default=[],
        help="a device's ledger.jsonl; may be repeated",
    )
    parser.add_argument(
        "--thing", metavar="THING", help="the ledgers' thing, if they name no certificate in use"
    )
    parser.add_argument(
        "--min-age",
        metavar="HOURS",
        type=float,
        default=24.0,
        help="how long the newer certificate must have existed (default: %(default)g)",
    )
    confirm.add_to(parser)


def run(context: Context, arguments: argparse.Namespace) -> Outcome:
    """Finds certificates that no device uses, asks for confirmation, and retires them."""
    if arguments.thing:
        devices_show.check_name(arguments.thing)
    ledgers = [ledger.read(path) for path in arguments.ledger]
    aws = context.aws()
    held = inventory.holdings(aws, context.names)
    devices = inventory.things(aws, context.names, held)
    before = dt.datetime.now(dt.UTC) - dt.timedelta(hours=arguments.min_age)
    ours = [
        *(certificate for thing in devices.things for certificate in thing.certificates),
        *devices.orphans,
    ]
    found = [
        *prune.by_age(devices, before),
        *(
            candidate
            for given in ledgers
            for candidate in prune.by_ledger(aws, held, devices, given, arguments.thing)
        ),
        *prune.named(devices, inventory.pick(ours, arguments.certificates, "devices show")),
    ]
    chosen = [*{candidate.certificate.arn: candidate for candidate in found}.values()]
    if chosen:
        rows = [
            [
                candidate.certificate.identifier,
                candidate.reason,
                ", ".join(candidate.things) or "-",
            ]
            for candidate in chosen
        ]
        question = f"Permanently retire these {len(chosen)} certificates?"
        confirm.confirm(context, question, yes=arguments.yes, rows=rows)
    tasks = [
        (
            candidate.certificate.identifier,
            deletion.certificate_commands(aws, candidate.certificate, candidate.things),
        )
        for candidate in chosen
    ]
    left = run_all(aws, tasks, "retiring certificates")
    undecided = prune.undecided(devices, chosen)
    if context.shell.dry_run:
        for line in _undecided_lines(undecided):
            context.console.script(quoting.comment(line))
    return _outcome(context, chosen, left, undecided)


def _outcome(
    context: Context,
    chosen: Sequence[Candidate],
    left: Mapping[str, CommandError],
    undecided: Sequence[Thing],
) -> Outcome:
    return Outcome(
        data={
            "fleet": context.names.fleet,
            "dry_run": context.shell.dry_run,
            "certificates": [
                {
                    "certificate_id": candidate.certificate.identifier,
                    "reason": candidate.reason,
                    "things": [*candidate.things],
                    "age": times.text(candidate.certificate.created),
                    "left": candidate.certificate.identifier in left,
                }
                for candidate in chosen
            ],
            "undecided": [
                {
                    "thing": thing.name,
                    "second_claim": registrations.second_claim(thing.attributes),
                    "certificates": [
                        certificate.identifier for certificate in prune.active_on(thing)
                    ],
                }
                for thing in undecided
            ],
        },
        lines=[
            *left_lines(left),
            *_undecided_lines(undecided),
            f"certificates retired: {len(chosen) - len(left)}" if chosen else "nothing to do",
        ],
        status=Exit.FAILED if left else Exit.DONE,
    )


def _undecided_lines(undecided: Sequence[Thing]) -> list[str]:
    return [
        f"{thing.name} has {len(prune.active_on(thing))} active certificates, so none is retired by age: "
        f"check with fleet-cloud devices show {quoting.word(thing.name)}{_second(thing)}"
        for thing in undecided
    ]


def _second(thing: Thing) -> str:
    second = registrations.second_claim(thing.attributes)
    return f"; {second[:12]} was issued when it registered again" if second else ""
