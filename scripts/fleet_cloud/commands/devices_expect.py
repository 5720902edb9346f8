"""``fleet-cloud devices expect``: says which devices are to come, and with which keys."""

import argparse
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from fleet_cloud.aws.calls import Aws, entries, text
from fleet_cloud.aws.names import THING_NAME
from fleet_cloud.commands.devices_clean import left_lines
from fleet_cloud.errors import CommandError, Exit, FleetCloudError, UsageError
from fleet_cloud.fleet import expected, inventory, registrations
from fleet_cloud.fleet.expected import Entry
from fleet_cloud.local.shell import Command
from fleet_cloud.options import Context
from fleet_cloud.outcome import Outcome
from fleet_cloud.plan import hook_settings, hooks, templates

_SHOWN = 10  # names that cannot be

NAME = ("devices", "expect")
SUMMARY = "register expected devices, with their keys"
DESCRIPTION = """\
Registers the things of devices that are expected, so that the hook of up knows them before they register. FILE has one
serial number a line, or is CSV whose first line names the columns:

  serial,key,site
  4711,9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08,north

key is the SHA-256 of the device's public key (SubjectPublicKeyInfo, DER, in hexadecimal), as fleet-agent key --make
prints it in the factory: then only the device with that key can register, and a stolen claim is useless. Any other
column is a parameter of the template, or otherwise an attribute of the thing. Lines that begin with # are comments.

--only refuses every device that is not in the registry by then; --no-only revokes that; both are remembered in the
cloud, and can be given without FILE. When run again, it resumes after an interruption, and applies what the file says
differently now.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the list, and whether other devices are accepted."""
    parser.add_argument("file", metavar="FILE", type=Path, nargs="?", help="the list")
    parser.add_argument(
        "--only",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="refuse devices that are not expected, or stop doing so",
    )


def run(context: Context, arguments: argparse.Namespace) -> Outcome:
    """Reads the list, queries AWS, and creates what is missing."""
    if arguments.file is None and arguments.only is None:
        raise UsageError("nothing to do", remedy="pass FILE, --only or --no-only")
    devices = expected.read(arguments.file) if arguments.file else []
    aws = context.aws()
    template, function = aws.ask_all(
        [templates.read(aws, context.names), hooks.read(aws, context.names)]
    )
    if template is None:
        raise templates.missing(context.names.template, aws.region)
    if not templates.is_own_hook(context.names, str(templates.facts(template)["hook"])):
        raise FleetCloudError(
            "the fleet has no hook, so it accepts every device",
            remedy="run fleet-cloud up without --no-hook first",
            code="hook-missing",
        )
    known = hook_settings.of_template(templates.facts(template)["body"])
    wanted = [expected.entry(device, known) for device in devices]
    _check_names(arguments.file, wanted)
    tasks = _tasks(aws, wanted) if wanted else []
    if tasks:
        context.console.say(f"  {len(wanted)} devices, {len(tasks)} to create or change")
    left = _carry_out(aws, tasks)
    if arguments.only is not None and not left:
        _set_only(aws, context, function, only=arguments.only)
    return Outcome(
        data={
            "fleet": context.names.fleet,
            "dry_run": context.shell.dry_run,
            "expected": len(wanted),
            "changed": len(tasks) - len(left),
            "left": {name: error.said for name, error in left.items()},
            "only": arguments.only,
        },
        lines=[
            *left_lines(left),
            *([f"{len(wanted)} devices are expected"] if wanted and not left else []),
            *(["run it again to continue"] if left else []),
            *(
                ["devices that are not expected are refused"]
                if arguments.only and not left
                else []
            ),
        ],
        status=Exit.FAILED if left else Exit.DONE,
    )


def _check_names(file: Path | None, wanted: Sequence[Entry]) -> None:
    """Checks that each can be a thing: of thousands the one that cannot would be found only at its turn.

    Raises:
        UsageError: One cannot.
    """
    wrong = [entry.name for entry in wanted if not THING_NAME.fullmatch(entry.name)]
    if wrong:
        more = [f"and {len(wrong) - _SHOWN} more"] * (len(wrong) > _SHOWN)
        raise UsageError(
            f"{file} contains names that a thing cannot have:",
            remedy="a name has 1 to 128 of the characters 0-9 A-Z a-z : _ -",
            details=[*map(repr, wrong[:_SHOWN]), *more],
        )


def _carry_out(
    aws: Aws, tasks: Sequence[tuple[str, Sequence[Command]]]
) -> dict[str, CommandError]:
    """Runs the commands of each task in their order, several tasks at a time; returns what failed."""

    def run(task: tuple[str, Sequence[Command]]) -> tuple[str, CommandError | None]:
        name, commands = task
        try:
            for command in commands:
                aws.change(command)
        except CommandError as error:
            return name, error
        return name, None

    # A dry run's script has its lines in order.
    results = (
        [run(task) for task in tasks] if aws.shell.dry_run else aws.spread(run, tasks, "expecting")
    )
    return {name: error for name, error in results if error}


def _tasks(aws: Aws, wanted: Sequence[Entry]) -> list[tuple[str, Sequence[Command]]]:
    """Returns the commands that make each thing, or bring it to what the file says."""
    listed = aws.ask(aws.command("iot", "list-things"))
    there = {text(entry, "thingName"): entry for entry in entries(listed, "things")}
    return [
        (entry.name, commands)
        for entry in wanted
        if (
            commands := _changing(aws, entry, there[entry.name])
            if entry.name in there
            else _making(aws, entry)
        )
    ]


def _making(aws: Aws, entry: Entry) -> list[Command]:
    flags = {"thingTypeName": "--thing-type-name", "billingGroupName": "--billing-group-name"}
    named = ("--thing-name", entry.name)
    return [
        aws.command(
            "iot",
            "create-thing",
            *named,
            *("--attribute-payload", registrations.payload(entry.new)),
            *(word for name, value in entry.where.items() for word in (flags[name], value)),
        ),
        *(
            aws.command("iot", "add-thing-to-thing-group", *named, "--thing-group-name", group)
            for group in entry.groups
        ),
    ]


def _changing(aws: Aws, entry: Entry, there: Mapping[str, object]) -> list[Command]:
    """Returns the command for a thing that exists; what it remembers otherwise stays."""
    attributes = inventory.attributes(there)
    known = registrations.of(attributes)
    changed = dataclasses.replace(known, expected=entry.key or known.expected)
    wanted = dict(entry.attributes)
    if changed != known:
        wanted |= changed.attribute
    if all(attributes.get(name) == value for name, value in wanted.items()):
        return []
    return [
        aws.command(
            "iot",
            "update-thing",
            *("--thing-name", entry.name),
            *("--attribute-payload", registrations.payload(wanted, merge=True)),
            *("--expected-version", str(there.get("version", 1))),
        )
    ]


def _set_only(
    aws: Aws, context: Context, function: Mapping[str, object] | None, *, only: bool
) -> None:
    """Puts into the function's settings whether expected devices alone may register."""
    found = hooks.settings_of(function)
    if not isinstance(found, Mapping):
        raise FleetCloudError(
            f"the function {context.names.hook} no longer exists, so no device can register",
            remedy="run fleet-cloud up to create it, then this again",
            code="hook-missing",
        )
    if found.get("only") is only:
        return
    aws.change(
        aws.command(
            "lambda",
            "update-function-configuration",
            *("--function-name", context.names.hook),
            *("--environment", hooks.environment({**found, "only": only})),
        )
    )
