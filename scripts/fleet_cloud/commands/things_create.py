"""``fleet-cloud things create``: numbered things with certificates, for trials."""

import argparse
import dataclasses
import json
from pathlib import Path

from fleet_cloud.aws.calls import Aws
from fleet_cloud.aws.names import Account
from fleet_cloud.errors import UsageError
from fleet_cloud.fleet import certify
from fleet_cloud.local import files, openssl, quoting
from fleet_cloud.local.shell import Variable
from fleet_cloud.options import Context
from fleet_cloud.outcome import Outcome
from fleet_cloud.practice import trials
from fleet_cloud.practice.trials import TrialFolder

NAME = ("things", "create")
SUMMARY = "create numbered things with certificates"
DESCRIPTION = """\
Creates the things thing_0 to thing_N-1, each with its own certificate for a key that is made here. DIR gets the keys
(0600), the certificates, and things.json: a record of what was created, which things send and things clean read.

When run again, it changes nothing and says so; after an interruption, or with a larger N, it creates the rest.
"""

_MOST = 1000
_REQUEST, _ARN = Variable("request"), Variable("certificate_arn")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the argument that says how many, and the folder."""
    parser.add_argument(
        "count", metavar="N", nargs="?", type=int, default=1, help="how many (default: 1)"
    )
    add_folder(parser)


def add_folder(parser: argparse.ArgumentParser) -> None:
    """Adds where the record is."""
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        default=Path("things"),
        help="the folder (default: things)",
    )


def run(context: Context, arguments: argparse.Namespace) -> Outcome:
    """Creates those that are missing."""
    if not 1 <= arguments.count <= _MOST:
        raise UsageError(f"{arguments.count} things", remedy=f"pass a number from 1 to {_MOST}")
    context.shell.need("openssl")
    aws, folder = context.aws(), TrialFolder(arguments.out)
    account = aws.account()
    record = folder.of_account(account)
    missing = [f"thing_{n}" for n in range(arguments.count) if f"thing_{n}" not in record.things]
    if missing:
        context.shell.make_folder(folder.path, 0o700)
    for thing in missing:
        context.console.say(f"  making {thing}")
        arn = _make(context, aws, account, folder, thing)
        if not context.shell.dry_run:
            record = dataclasses.replace(record, things={**record.things, thing: arn})
            folder.write(record)
    done = f"{len(missing)} things created" if missing else "nothing to do: they exist already"
    return Outcome(
        data={
            "dry_run": context.shell.dry_run,
            "made": missing,
            "things": record.things,
            "folder": str(folder.path),
        },
        lines=[done, f"next: fleet-cloud things send --out {quoting.word(folder.path)}"],
    )


def _make(context: Context, aws: Aws, account: Account, folder: TrialFolder, thing: str) -> str:
    """Makes one, or the rest of it; returns its certificate's ARN."""
    shell, who = context.shell, folder.identity(thing)
    attributes = json.dumps({"attributes": trials.ATTRIBUTES})
    named = ("--thing-name", thing)
    aws.change(aws.command("iot", "create-thing", *named, "--attribute-payload", attributes))
    if not who.key.exists():
        shell.change(openssl.make_key(who.key))
    arn: str | Variable = _ARN
    if who.certificate.exists():
        identifier = openssl.certificate_id(files.read(who.certificate) or "", who.certificate)
        arn = account.iot(f"cert/{identifier}")
    else:
        shell.change(openssl.make_request(who.key, thing, _REQUEST))
        aws.change(certify.command(aws, _REQUEST, who.certificate, _ARN))
    aws.change(aws.command("iot", "attach-thing-principal", *named, "--principal", arn))
    return shell.value(arn) if isinstance(arn, Variable) else arn
