"""``fleet-cloud explain``: what happened to one device, in chronological order, and the likely cause."""

import argparse
import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fleet_cloud.aws import times
from fleet_cloud.aws.calls import Answer, Aws, strings
from fleet_cloud.errors import CommandError, Exit, UsageError
from fleet_cloud.fleet import device_bundle, diagnosis, presence, refusals, timeline
from fleet_cloud.fleet.diagnosis import Subject
from fleet_cloud.fleet.timeline import Event
from fleet_cloud.local.shell import Command
from fleet_cloud.options import Context
from fleet_cloud.outcome import Outcome, table
from fleet_cloud.plan import registry

NAME = ("explain",)
SUMMARY = "show what happened to one device, and the likely cause"
DESCRIPTION = """\
Prints one timeline of a device, from the registry, the connection, the logs of AWS IoT and of the hook and, with
--bundle, from the device itself (fleet-agent doctor --bundle FILE): its ledger, problems and journal. It ends with the
likely cause and the commands to run.

THING may also be a client id, such as claim-…, under which a device provisions. AWS IoT writes its log only while
logging is on (aws iot set-v2-logging-options), and lines about refused certificates only if the event type
Connection.AuthNError is on, too (--event-configurations). Exit status 1 when something is wrong.
"""

LOG = "AWSIotLogsV2"
_MOST = 200  # lines that are shown


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the device and the time range."""
    parser.add_argument(
        "thing", metavar="THING|CLIENT-ID", help="the thing's name, or a client id"
    )
    parser.add_argument(
        "--bundle",
        metavar="FILE",
        type=Path,
        help="bundle that fleet-agent doctor --bundle wrote on the device",
    )
    parser.add_argument(
        "--since",
        metavar="DURATION",
        default="1d",
        help="how far to look back, such as 2h or 7d (default: %(default)s)",
    )


def run(context: Context, arguments: argparse.Namespace) -> Outcome:
    """Asks all sources, and prints the timeline."""
    name: str = arguments.thing
    registry.check("THING", name)
    seconds = times.seconds(arguments.since)
    if not seconds:
        raise UsageError(f"--since {arguments.since!r} is not a time", remedy="write it as 1d")
    events = device_bundle.read(arguments.bundle) if arguments.bundle else []
    aws = context.aws()
    subject, asked, missing = _asked(context, aws, name, time.time() - seconds)
    events += asked
    ordered = timeline.in_order(events)
    cause = diagnosis.cause(subject, ordered)
    merged = timeline.merged(ordered)
    shown = merged[-_MOST:]
    rows = [[times.text(event.at), event.where, event.words] for event in shown]
    return Outcome(
        data={
            "subject": name,
            "events": [timeline.as_json(event) for event in ordered],
            "not_asked": missing,
            "cause": {"code": cause.code, "words": cause.words, "next": cause.remedy},
        },
        lines=[
            *([f"({len(merged) - len(shown)} earlier ones)"] if len(merged) > len(shown) else []),
            *(table(rows) if rows else ["no events found"]),
            *(f"not known: {each}" for each in missing),
            f"likely cause: {cause.words}",
            f"next: {cause.remedy}",
        ],
        status=Exit.DONE if cause.code == diagnosis.WELL else Exit.FAILED,
    )


def _asked(
    context: Context, aws: Aws, name: str, since: float
) -> tuple[Subject, list[Event], list[str]]:
    """Returns the subject, the events that AWS reports of it, and what could not be read."""
    subject, attributes, certificates = _subject(aws, name)
    missing = [*subject.presence.unknown]
    events = [*timeline.of_certificates(certificates), *timeline.of_presence(subject.presence)]
    serial = str(attributes.get("serialNumber") or name.removeprefix(context.names.thing_prefix))
    logs: tuple[tuple[Command, str, Callable[[Answer], Iterator[Event]]], ...] = (
        (
            _log(aws, name, [*certificates], since),
            "the log of AWS IoT",
            functools.partial(timeline.of_log, client_id=name, certificates=certificates),
        ),
        (
            refusals.read(aws, context.names, since),
            "the hook's log",
            functools.partial(timeline.of_hook, names=(name, serial)),
        ),
    )
    for command, source, read in logs:
        try:
            events += read(aws.ask(command))
        except CommandError as error:
            missing.append(_words(source, error))
    return subject, events, missing


def _subject(
    aws: Aws, name: str
) -> tuple[Subject, Mapping[str, object], Mapping[str, Mapping[str, object]]]:
    described, principals = aws.ask_all(
        [
            aws.command("iot", "describe-thing", "--thing-name", name),
            aws.command("iot", "list-thing-principals", "--thing-name", name),
        ]
    )
    identifiers = [arn.rpartition("/")[2] for arn in strings(principals, "principals")]
    answers = aws.ask_all(
        [
            aws.command("iot", "describe-certificate", "--certificate-id", each)
            for each in identifiers
        ]
    )
    facts: dict[str, Mapping[str, object]] = {}
    for identifier, answer in zip(identifiers, answers, strict=True):
        found: Any = (answer or {}).get("certificateDescription")
        facts[identifier] = found if isinstance(found, Mapping) else {}
    given: Any = (described or {}).get("attributes")
    subject = Subject(
        name=name,
        is_thing=described is not None,
        certificates={identifier: str(about.get("status")) for identifier, about in facts.items()},
        presence=presence.of(aws, name),
    )
    return subject, given if isinstance(given, Mapping) else {}, facts


def _log(aws: Aws, name: str, certificates: Sequence[str], since: float) -> Command:
    return aws.command(
        "logs",
        "filter-log-events",
        *("--log-group-name", LOG),
        *("--filter-pattern", timeline.pattern(name, certificates)),
        *("--start-time", str(int(since * 1000))),
    )


def _words(source: str, error: CommandError) -> str:
    if error.code == "ResourceNotFoundException":
        if source.startswith("the hook"):
            return f"{source}: there is none (no hook, or no device has used it yet)"
        return (
            f"{source}: there is none. Switch it on: aws iot set-v2-logging-options --role-arn ROLE "
            "--default-log-level WARN, with a role by which AWS IoT may write logs"
        )
    return f"{source}: {error.cause or error.title}; {error.remedy}"
