"""``fleet-cloud devices clean``: deletes devices from the cloud, with their certificates."""

import argparse
from collections.abc import Mapping, Sequence

from fleet_cloud import confirm
from fleet_cloud.aws.calls import Aws
from fleet_cloud.aws.tasks import run_all
from fleet_cloud.commands import devices_show
from fleet_cloud.errors import CommandError, Exit, FleetCloudError
from fleet_cloud.fleet import deletion, inventory
from fleet_cloud.fleet.inventory import Thing
from fleet_cloud.options import Context
from fleet_cloud.outcome import Outcome

NAME = ("devices", "clean")
SUMMARY = "delete devices from the cloud, with their certificates"
DESCRIPTION = """\
Deletes the named things of this fleet, or all of them, with their certificates: deactivates, detaches and deletes the
certificates, then deletes the thing. The devices lose their identity at once; with a valid claim they can provision
again.

Asks first. What cannot be deleted is listed, and the exit status is 1; run it again to continue.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments that say which devices."""
    parser.add_argument(
        "things", metavar="THING", nargs="*", help="names (default: all of the fleet)"
    )
    confirm.add_to(parser)


def run(context: Context, arguments: argparse.Namespace) -> Outcome:
    """Asks for confirmation, then deletes the devices."""
    given: Sequence[str] = arguments.things
    for name in given:
        devices_show.check_name(name)
    aws = context.aws()
    held = inventory.holdings(aws, context.names)
    if given:
        found = inventory.some_things(aws, context.names, held, given)
        chosen: Sequence[Thing] = _chosen(context, found, given)
    else:
        chosen = inventory.things(aws, context.names, held).things
    if chosen:
        number = sum(len(thing.certificates) for thing in chosen)
        question = f"Delete {len(chosen)} devices and their {number} certificates permanently?"
        confirm.confirm(context, question, yes=arguments.yes)
    left = delete(aws, chosen)
    gone = [thing.name for thing in chosen if thing.name not in left]
    return Outcome(
        data={
            "fleet": context.names.fleet,
            "dry_run": context.shell.dry_run,
            "deleted": gone,
            "left": {name: error.said for name, error in left.items()},
        },
        lines=[
            *left_lines(left),
            f"{len(gone)} devices deleted" if chosen else "nothing to do: no devices",
        ],
        status=Exit.FAILED if left else Exit.DONE,
    )


def delete(aws: Aws, chosen: Sequence[Thing]) -> dict[str, CommandError]:
    """Deletes things with their certificates; returns what could not be."""
    tasks = [(thing.name, deletion.thing_commands(aws, thing)) for thing in chosen]
    return run_all(aws, tasks, "deleting devices")


def left_lines(left: Mapping[str, CommandError]) -> list[str]:
    """Returns for people what could not be deleted."""
    return [f"{name} was not deleted: {error.said}" for name, error in left.items()]


def _chosen(context: Context, found: Sequence[Thing], given: Sequence[str]) -> list[Thing]:
    others = {*given} - {thing.name for thing in found}
    if others:
        raise FleetCloudError(
            f"nothing was deleted, because these do not belong to the fleet {context.names.fleet}: "
            f"{', '.join(sorted(others))}",
            remedy="type: fleet-cloud devices list   to see its things; check --name",
            code="thing-of-another-fleet",
        )
    return [thing for thing in found if thing.name in given]
