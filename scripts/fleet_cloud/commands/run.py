"""``fleet-cloud run``: orders one device, or a group, to do something, and follows it."""

import argparse
import datetime as dt
import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from fleet_cloud.aws.calls import Aws, text
from fleet_cloud.errors import CommandError, Exit, FleetCloudError, UsageError
from fleet_cloud.fleet import runs
from fleet_cloud.fleet.data_plane import DataPlane, lacking
from fleet_cloud.fleet.runs import Report
from fleet_cloud.local import files
from fleet_cloud.options import Context
from fleet_cloud.outcome import Outcome
from fleet_cloud.plan import registry

NAME = ("run",)
SUMMARY = "run an order on a device or a group, and print the outcome"
DESCRIPTION = """\
Orders a device to do something, waits for the end, and prints the device's answer: a status, a reason, the end of its
output. Exit status 1 unless every device succeeded.

A thing gets an AWS IoT Command, a group (--group) an AWS IoT Job; --job and --command override this. A command says
{"operation": "NAME", "arguments": [...]}, a job {"operation": "NAME", "args": [...]}: the agent passes it to the
handler named in commands.operations or jobs.operations. If this account has a command with the id NAME, it is sent as
it is when there are no arguments.

The device needs the rights (fleet-cloud up --jobs --commands) and the configuration. A command that is not taken within
--timeout has timed out; a job for a device that is offline waits for it, and continues after --timeout: aws iot
cancel-job --job-id ID stops it.
"""

_EVERY_SECONDS = 1.0
_LONGEST = 43_200  # of a command
_DOCUMENT = 32_000
_COMMAND_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the target, the operation and its limits."""
    parser.add_argument(
        "words",
        metavar="THING NAME [ARGUMENT...]",
        nargs="+",
        type=str,
        help="the thing (not with --group), the operation, its arguments",
    )
    parser.add_argument("--group", metavar="GROUP", help="things of this group, instead of THING")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--job", action="store_true", help="send a job, even for one thing")
    how.add_argument("--command", action="store_true", dest="as_command", help="send a command")
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=_seconds,
        default=60,
        help="how long the device may take (default: %(default)s)",
    )


def run(context: Context, arguments: argparse.Namespace) -> Outcome:
    """Starts the order and follows it."""
    words: list[str] = arguments.words
    least = 1 if arguments.group else 2
    if len(words) < least:
        raise UsageError(
            "no order was named",
            remedy="type: fleet-cloud run THING NAME, or run --group GROUP NAME",
        )
    if arguments.group and arguments.as_command:
        raise UsageError(
            "--group with --command: a command goes to one thing", remedy="remove --command"
        )
    registry.check("--group", arguments.group)
    thing = None if arguments.group else words[0]
    registry.check("THING", thing)
    name, *given = words[least - 1 :]
    payload = runs.job_document(name, given)
    if len(payload) > _DOCUMENT:
        raise UsageError(
            "the order is too long", remedy="send less, or an address to fetch it from"
        )
    aws = context.aws()
    account = aws.account()
    if thing is None or arguments.job:
        kind = f"thing/{thing}" if thing else f"thinggroup/{arguments.group}"
        return _job(context, aws, account.iot(kind), payload, arguments.timeout)
    return _command(
        context, aws, thing, account.iot(f"thing/{thing}"), (name, given), arguments.timeout
    )


def _command(
    context: Context,
    aws: Aws,
    thing: str,
    target: str,
    order: tuple[str, Sequence[str]],
    seconds: int,
) -> Outcome:
    plane = DataPlane(aws)
    name, given = order
    arn = None if given else _existing(aws, name)
    if arn is None:
        arn = _made(context, aws, runs.command_payload(name, given))
    call = runs.start_command(plane, arn, target, seconds)
    try:
        started = aws.change(call)
    except CommandError as error:
        raise _explained(lacking(error, call.operation), thing) from error
    if context.shell.dry_run:
        return Outcome(data={"dry_run": True, "thing": thing, "command": arn}, lines=[])
    execution = text(json.loads(started), "executionId")
    context.console.say(f"  command {arn.rpartition('/')[2]}, execution {execution}")
    report = Report(thing=thing, status="CREATED")
    for _ in _ticks(seconds + 2 * _EVERY_SECONDS):
        before, report = report, runs.command_report(aws, thing, target, execution)
        if report.status != before.status:
            context.console.say(f"  {thing}: {report.status.lower().replace('_', ' ')}")
        if report.has_ended:
            break
    return _outcome({"command": arn, "execution": execution}, [report])


def _existing(aws: Aws, name: str) -> str | None:
    if not _COMMAND_ID.fullmatch(name):
        return None
    call = aws.command("iot", "get-command", "--command-id", name)
    try:
        return runs.arn_of(aws.ask(call))
    except CommandError as error:
        if error.code == "ResourceNotFoundException":
            return None
        raise lacking(error, call.operation) from error


def _made(context: Context, aws: Aws, payload: str) -> str:
    """Makes the command that carries a payload, unless it exists; returns its ARN."""
    arn = aws.account().iot(f"command/{runs.command_id(context.names, payload)}")
    with files.temporary_folder() as folder:
        path = (Path() if context.shell.dry_run else folder) / "payload.json"
        context.shell.write_upload(path, payload.encode())
        call = runs.make_command(aws, context.names, payload, path)
        try:
            aws.change(call)
        except CommandError as error:
            if error.code != "ConflictException":
                raise lacking(error, call.operation) from error
    return arn


def _job(context: Context, aws: Aws, target: str, payload: str, seconds: int) -> Outcome:
    identifier = runs.job_id(context.names, dt.datetime.now(dt.UTC))
    aws.change(runs.start_job(aws, context.names, identifier, target, payload, seconds))
    if context.shell.dry_run:
        return Outcome(data={"dry_run": True, "job": identifier, "target": target}, lines=[])
    context.console.say(f"  job {identifier}")
    known: dict[str, Report] = {}
    for _ in _ticks(seconds):
        for report in runs.job_reports(aws, identifier, known):
            if report.has_ended and not (known.get(report.thing) or report).has_ended:
                context.console.say(f"  {report.thing}: {report.status.lower()}")
            known[report.thing] = report
        if known and all(report.has_ended for report in known.values()):
            break
    return _outcome({"job": identifier}, [*known.values()])


def _ticks(seconds: float) -> Iterator[None]:
    """Yields once a second until the time is over."""
    until = time.monotonic() + seconds
    yield
    while time.monotonic() < until:
        time.sleep(_EVERY_SECONDS)
        yield


def _outcome(sent: Mapping[str, str], reports: Sequence[Report]) -> Outcome:
    lines = []
    for report in reports:
        lines.append(f"{report.thing}: {report.status.lower().replace('_', ' ')}")
        for name, value in report.said.items():
            first, *more = value.splitlines() or [""]
            lines += [f"  {name}: {first}", *(f"    {line}" for line in more)]
        lines += [f"  {hint}" for hint in _hints(report, sent)]
    if not reports:
        lines.append("no device yet: is the group empty?")
    done = bool(reports) and all(report.status == "SUCCEEDED" for report in reports)
    return Outcome(
        data={
            **sent,
            "devices": [
                {"thing": each.thing, "status": each.status, "said": dict(each.said)}
                for each in reports
            ],
        },
        lines=lines,
        status=Exit.DONE if done else Exit.FAILED,
    )


def _hints(report: Report, sent: Mapping[str, str]) -> list[str]:
    see = f"fleet-cloud devices show {report.thing}"
    if report.said.get("code") == "$NO_RESPONSE_FROM_DEVICE" or report.status == "CREATED":
        return [
            f"it did not answer: is it connected ({see})?",
            "its policy (fleet-cloud up --commands) and its configuration (commands: {enabled: true}) must allow it",
        ]
    if report.status == "QUEUED":
        return [
            f"it has not started: is it connected ({see})?",
            "its policy (fleet-cloud up --jobs) and its configuration (jobs: {enabled: true}) must allow it",
            f"the job waits for it; to cancel it: aws iot cancel-job --job-id {sent['job']}",
        ]
    return [] if report.has_ended else ["it is still working"]


def _explained(error: FleetCloudError, thing: str) -> FleetCloudError:
    if error.code != "ResourceNotFoundException":
        return error
    return FleetCloudError(
        f"there is no thing {thing}",
        remedy="type: fleet-cloud devices list   to see the things; check --region",
        code="thing-missing",
    )


def _seconds(given: str) -> int:
    if not given.isdecimal() or not 1 <= int(given) <= _LONGEST:
        raise argparse.ArgumentTypeError(
            f"{given!r} is not a number of seconds from 1 to {_LONGEST}"
        )
    return int(given)
