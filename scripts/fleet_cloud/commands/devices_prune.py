"""``fleet-cloud devices prune``: retires certificates that no device uses any more."""

import argparse
import dataclasses
import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from fleet_cloud import confirm
from fleet_cloud.aws import times
from fleet_cloud.aws.calls import Aws, strings
from fleet_cloud.commands.devices_clean import told
from fleet_cloud.errors import Exit, UsageError
from fleet_cloud.fleet import inventory, retire
from fleet_cloud.fleet.inventory import ACTIVE, Certificate, Devices, Holdings
from fleet_cloud.local import files
from fleet_cloud.local.json_text import parsed
from fleet_cloud.options import Context
from fleet_cloud.outcome import Outcome

NAME = ("devices", "prune")
SUMMARY = "retire certificates that no device uses any more"
DESCRIPTION = """\
Finds certificates of this fleet that no device uses any more and retires them: detach, switch off, delete.

  superseded  a thing has a newer active certificate, and has had it for --min-age hours
  orphaned    the certificate has the policy NAME-device, and no thing
  ledger      a device's ledger.jsonl, given with --ledger, says last of it: unresolved, retired or dropped

A device that takes a new certificate goes on with the old one until the new one is proven: --min-age leaves it that
time. A ledger's certificate that belongs to another fleet is left alone. Asks before; --dry-run shows.
"""

# What a device's ledger may say last of a certificate that it will never use again.
_GIVEN_UP = {"unresolved", "retired", "dropped"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Candidate:
    """A certificate to retire, why, and the things it is on."""

    certificate: Certificate
    reason: str
    things: Sequence[str] = ()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what else to look at."""
    parser.add_argument(
        "--ledger",
        metavar="FILE",
        type=Path,
        action="append",
        default=[],
        help="a device's ledger.jsonl; may be repeated",
    )
    parser.add_argument(
        "--min-age",
        metavar="HOURS",
        type=float,
        default=24.0,
        help="how long the newer certificate must have been there (default: %(default)g)",
    )
    confirm.add_to(parser)


def run(context: Context, arguments: argparse.Namespace) -> Outcome:
    """Find, ask, retire."""
    given_up = {one for path in arguments.ledger for one in read_ledger(path)}
    aws = context.aws()
    held = inventory.holdings(aws, context.names)
    devices = inventory.things(aws, context.names, held)
    before = dt.datetime.now(dt.UTC) - dt.timedelta(hours=arguments.min_age)
    found = {one.certificate.arn: one for one in _named(aws, held, devices, given_up)}
    found |= {one.certificate.arn: one for one in candidates(devices, before)}
    chosen = [*found.values()]
    rows = [
        [one.certificate.identifier, one.reason, ", ".join(one.things) or "-"] for one in chosen
    ]
    if chosen:
        question = f"Retire these {len(chosen)} certificates for good?"
        confirm.confirm(context, question, yes=arguments.yes, rows=rows)
    tasks = [
        (one.certificate.identifier, retire.certificate_commands(aws, one.certificate, one.things))
        for one in chosen
    ]
    left = retire.run_all(aws, tasks, "retiring certificates")
    return Outcome(
        data={
            "fleet": context.names.fleet,
            "dry_run": context.shell.dry_run,
            "certificates": [
                {
                    "certificate_id": one.certificate.identifier,
                    "reason": one.reason,
                    "things": [*one.things],
                    "age": times.text(one.certificate.created),
                    "left": one.certificate.identifier in left,
                }
                for one in chosen
            ],
        },
        lines=[
            *told(left),
            f"{len(chosen) - len(left)} certificates retired" if chosen else "nothing to do",
        ],
        status=Exit.FAILED if left else Exit.DONE,
    )


def candidates(devices: Devices, before: dt.datetime) -> Iterator[Candidate]:
    """Yield what is superseded by a certificate made before a moment, and what has no thing."""
    for thing in devices.things:
        active = [one for one in thing.certificates if one.status == ACTIVE]
        newest = active[0] if active else None
        if newest is None or newest.created is None or newest.created > before:
            continue
        for one in thing.certificates[thing.certificates.index(newest) + 1 :]:
            yield Candidate(certificate=one, reason="superseded", things=[thing.name])
    for one in devices.orphans:
        yield Candidate(certificate=one, reason="orphaned")


def read_ledger(path: Path) -> list[str]:
    """Return the certificates that a device has given up.

    Raises:
        UsageError: There is no such file, or it is no ledger.
    """
    text = files.read(path)
    last: dict[str, object] = {}
    for line in (text or "").splitlines():
        try:
            entry = parsed(line)
        except ValueError:
            continue  # torn by a power cut: the agent passes over it too
        if isinstance(entry, Mapping) and isinstance(entry.get("certificate_id"), str):
            last[entry["certificate_id"]] = entry.get("event")
    if not last:
        raise UsageError(
            f"--ledger {path}: {'there is no such file' if text is None else 'is no ledger'}",
            remedy="give the ledger.jsonl of a device's state directory",
        )
    return [identifier for identifier, event in last.items() if event in _GIVEN_UP]


def _named(aws: Aws, held: Holdings, devices: Devices, given_up: set[str]) -> Iterator[Candidate]:
    """Yield those of the ledgers that are this fleet's, or nobody's."""
    ours = {one.arn for one in held.devices}
    on = {one.arn: [thing.name] for thing in devices.things for one in thing.certificates}
    rest = [
        one
        for one in held.certificates.values()
        if one.identifier in given_up and one.arn not in {claim.arn for claim in held.claims}
    ]
    strangers = [one for one in rest if one.arn not in ours and one.arn not in on]
    answers = aws.ask_all(
        [aws.command("iot", "list-principal-things", "--principal", one.arn) for one in strangers]
    )
    foreign = {
        one.arn
        for one, answer in zip(strangers, answers, strict=True)
        if strings(answer, "things")
    }
    for one in rest:
        if one.arn not in foreign:
            yield Candidate(certificate=one, reason="ledger", things=on.get(one.arn, []))
