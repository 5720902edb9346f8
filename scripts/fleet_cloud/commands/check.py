"""``fleet-cloud check``: connects as things that were made in bulk, and sends each a message through the cloud."""

import argparse
import time
from pathlib import Path

from fleet_cloud.bulk.layout import BulkFolder
from fleet_cloud.errors import Exit, FleetCloudError, UsageError
from fleet_cloud.fleet import configuration, connection
from fleet_cloud.fleet.connection import Connection, Identity, RefusedError, Server
from fleet_cloud.fleet.trust import check_trust
from fleet_cloud.options import Context
from fleet_cloud.outcome import Outcome

NAME = ("check",)
SUMMARY = "connect as each thing registered in bulk, and do a round trip"
DESCRIPTION = """\
Connects as each thing of DIR under its own name, subscribes to dt/THING/check, publishes there and waits for the
message to come back; many at a time. Failures are listed for each thing, and the exit status is 1.

The first three test the connection: if none of them gets an answer, the others are not tried. Endpoint and CA are those
given to bulk, if any.

It connects as a device, which needs awscrt: the project's environment is taken when it is there (. scripts/environment
makes it).
"""

# The number of things that test the connection before the others try it.
_FIRST = 3
_AT_ONCE = 16
_SHOWN = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags that say which things."""
    parser.add_argument("things", metavar="THING", nargs="*", help="names of things in DIR")
    parser.add_argument("--all", action="store_true", help="every thing in DIR")
    parser.add_argument(
        "--out", metavar="DIR", type=Path, default=Path("bulk"), help="the folder (default: bulk)"
    )
    parser.add_argument(
        "--ca-file",
        metavar="FILE",
        type=Path,
        help="the CA of an endpoint that is not Amazon's (default: what bulk was given)",
    )


def run(context: Context, arguments: argparse.Namespace) -> Outcome:
    """Connects as each thing."""
    folder = BulkFolder(arguments.out)
    things = _things(folder, arguments)
    connection.check_ca_file(arguments.ca_file)
    connection.need_environment()
    server = _server(context, folder, arguments.ca_file)
    if context.shell.dry_run:
        context.console.script(f"# would connect as {len(things)} things")
        return Outcome(data={"checked": 0, "failed": {}, "dry_run": True}, lines=[])

    check_trust(server)

    def check(thing: str) -> RefusedError | None:
        return round_trip(server, folder.identity(thing), thing)

    began = time.monotonic()
    first, rest = things[:_FIRST], things[_FIRST:]
    found = context.console.spread(check, first, "", _FIRST)
    if len(things) > 1:
        connection.check_reachable(server, found)
    found += context.console.spread(check, rest, "checking things", _AT_ONCE)
    seconds = round(time.monotonic() - began, 2)
    failed = {thing: str(why) for thing, why in zip(things, found, strict=True) if why is not None}
    good = len(things) - len(failed)
    return Outcome(
        data={"checked": len(things), "failed": failed, "seconds": seconds, "dry_run": False},
        lines=[
            *[f"{thing}: {why}" for thing, why in failed.items()][:_SHOWN],
            f"{good} of {len(things)} things connect and receive what they publish ({seconds} s)",
        ],
        status=Exit.FAILED if failed else Exit.DONE,
    )


def round_trip(server: Server, identity: Identity, thing: str) -> RefusedError | None:
    """Sends a message from a thing to itself; returns what went wrong, or nothing."""
    topic, message = f"dt/{thing}/check", {"check": thing}
    try:
        with Connection(server, identity, thing) as session:
            session.subscribe(topic)
            session.publish(topic, message)
            if session.receive() != (topic, message):
                return RefusedError("a different message came back")
    except RefusedError as error:
        return error
    return None


def _server(context: Context, folder: BulkFolder, ca_file: Path | None) -> Server:
    """Returns where to connect: as given to bulk, or else as AWS says."""
    record = folder.read()
    given = record.device_endpoint if record else ""
    if given:
        endpoint = configuration.endpoint(given)
    else:
        aws = context.aws()
        endpoint = connection.endpoint_of(aws.ask(connection.ask_endpoint(aws)))
    return Server(endpoint=endpoint, ca_file=ca_file or folder.remembered_ca)


def _things(folder: BulkFolder, arguments: argparse.Namespace) -> list[str]:
    given: list[str] = arguments.things
    if bool(given) == arguments.all:
        raise UsageError("which things?", remedy="pass --all, or names of things")
    record = folder.read()
    if record is None:
        raise FleetCloudError(
            f"{folder.path} is not a folder of a bulk registration",
            remedy="pass the folder of fleet-cloud bulk with --out",
            code="record-missing",
        )
    made = set(record.things) - {*folder.pending(record)}
    if not made:
        raise FleetCloudError(
            f"no thing of {folder.path} has a certificate yet",
            remedy="run fleet-cloud bulk again: it continues where it stopped",
            code="nothing-to-check",
        )
    unknown = [name for name in given if name not in made]
    if unknown:
        raise UsageError(
            f"{unknown[0]} is not a thing of {folder.path}",
            remedy=f"see {folder.path}/things",
        )
    return [thing for thing in given or record.things if thing in made]
