"""``fleet-cloud bulk``: registers many things at once, with keys made here; ``bulk reset`` removes them."""

import argparse
from pathlib import Path

from fleet_cloud import confirm
from fleet_cloud.aws.names import BulkNames, check_not_claim
from fleet_cloud.bulk import layout, reset
from fleet_cloud.bulk.layout import BulkFolder, Record
from fleet_cloud.bulk.registration import Progress, Registration
from fleet_cloud.errors import Exit, UsageError
from fleet_cloud.fleet import configuration, connection
from fleet_cloud.local import pem, quoting
from fleet_cloud.options import Context
from fleet_cloud.outcome import Outcome
from fleet_cloud.plan import registry

NAME = ("bulk",)
SUMMARY = "register many things at once, with keys made here"
DESCRIPTION = """\
Registers PREFIX-1 to PREFIX-N with AWS IoT's bulk registration, in tasks of 500 things, then 1,500, then 3,000. While
AWS IoT works on one task, the next is prepared here and the previous one saved. Keys (EC P-256) and certificate signing
requests are made here; the requests go to S3 as JSON lines, AWS IoT registers one thing a line, and the certificates in
the task's report are saved beside their keys:

  DIR/things/PREFIX-1/private.pem.key, certificate.pem.crt   (both 0600)

What it needs is created if missing: the role NAME-bulk, the policy NAME-bulk (a thing may publish to its own topics
below dt/ and receive those below cmd/), the thing type, and a bucket. AWS runs one such task at a time in an account.

When run again, it resumes, and with a larger --count it adds the rest. Lines that AWS IoT refused are shown, and the
exit status is 1.

bulk reset deletes every thing with the policy NAME-bulk from the cloud, with the certificates, then everything that was
created for them, and the keys and certificates in DIR.
"""

_SHOWN = 10  # lines of the error report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags for the number of things and their names."""
    parser.add_argument("action", nargs="?", choices=["reset"], help="delete everything")
    parser.add_argument("--count", metavar="N", type=int, help="how many things")
    parser.add_argument(
        "--prefix",
        metavar="PREFIX",
        default="thing",
        help="prefix of their names (default: thing)",
    )
    parser.add_argument(
        "--thing-type", metavar="TYPE", help="their thing type (default: the prefix)"
    )
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument(
        "--unique-certificates",
        action="store_true",
        help="a certificate for each thing (the default)",
    )
    kind.add_argument(
        "--shared-certificate", action="store_true", help="one certificate for all of them"
    )
    parser.add_argument(
        "--out", metavar="DIR", type=Path, default=Path("bulk"), help="the folder (default: bulk)"
    )
    parser.add_argument(
        "--device-endpoint",
        metavar="HOST[:PORT]",
        help="where they connect, for check (default: the account's endpoint)",
    )
    parser.add_argument(
        "--ca-file",
        metavar="FILE",
        type=Path,
        help="the CA of an endpoint that is not Amazon's, for check; DIR keeps a copy",
    )
    confirm.add_to(parser)


def run(context: Context, arguments: argparse.Namespace) -> Outcome:
    """Registers, continues a registration, or removes it."""
    if arguments.action == "reset":
        return reset.run(context, arguments.out, yes=arguments.yes)
    _check(arguments)
    ca = _ca(arguments.ca_file)
    context.shell.need("openssl")
    aws = context.aws()
    bulk = BulkNames(context.names, aws.account())
    folder = BulkFolder(arguments.out)
    wanted = Record(
        fleet=context.names.fleet,
        account=bulk.account.number,
        region=bulk.account.region,
        prefix=arguments.prefix,
        thing_type=arguments.thing_type or arguments.prefix,
        count=arguments.count,
        shared=arguments.shared_certificate,
        device_endpoint=arguments.device_endpoint or "",
    )
    found = folder.read()
    record = layout.continued(found, wanted, folder.path)
    if found and found.device_endpoint != record.device_endpoint and not context.shell.dry_run:
        folder.write(record)
    if ca:
        context.shell.make_folder(folder.path, 0o700)
        context.shell.write_public(folder.ca_file, ca)
    return _outcome(context, record, folder, Registration(context, aws, bulk, folder).run(record))


def _outcome(context: Context, record: Record, folder: BulkFolder, progress: Progress) -> Outcome:
    total = record.count - len(progress.left)
    end = f"{total} of {record.count} things registered"
    if not progress.made and not progress.left:
        end = f"nothing to do: {record.count} things are registered"
    hint = f"next: fleet-cloud check --all --out {quoting.word(folder.path)}"
    return Outcome(
        data={
            "fleet": record.fleet,
            "dry_run": context.shell.dry_run,
            "folder": str(folder.path),
            "count": record.count,
            "made": progress.made,
            "missing": progress.left,
            "errors": progress.errors,
        },
        lines=[
            *progress.errors[:_SHOWN],
            end,
            "run it again to try the rest" if progress.left else hint,
        ],
        status=Exit.FAILED if progress.left and not context.shell.dry_run else Exit.DONE,
    )


def _ca(given: Path | None) -> str | None:
    """Returns the CA's text.

    Raises:
        UsageError: There is no such file, or something else is in it.
    """
    connection.check_ca_file(given)
    return pem.certificates(given, "--ca-file") if given else None


def _check(arguments: argparse.Namespace) -> None:
    if arguments.count is None or not 1 <= arguments.count <= layout.MOST:
        raise UsageError(
            "--count is missing" if arguments.count is None else f"--count {arguments.count}",
            remedy=f"pass a number from 1 to {layout.MOST}, such as --count 10",
        )
    if arguments.device_endpoint:
        configuration.endpoint(arguments.device_endpoint)
    registry.check("--prefix", arguments.prefix)
    check_not_claim("--prefix", arguments.prefix)
    registry.check("--thing-type", arguments.thing_type)
    registry.check("--prefix", f"{arguments.prefix}-{arguments.count}")
