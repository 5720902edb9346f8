"""An operator's orders: a command for one thing, a job for several; how to start them and follow them."""

import dataclasses
import datetime as dt
import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fleet_cloud.aws.call import Call
from fleet_cloud.aws.calls import Answer, Aws, text
from fleet_cloud.aws.names import FleetNames
from fleet_cloud.fleet import jobs
from fleet_cloud.fleet.data_plane import DataPlane
from fleet_cloud.plan import resources

ENDED = frozenset({"SUCCEEDED", "FAILED", "REJECTED", "TIMED_OUT", "CANCELED", "REMOVED"})
_MINUTE = 60
_ID_DIGITS = 16


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report:
    """What one device said of an order; ``said`` by name, as it said it."""

    thing: str
    status: str
    said: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def has_ended(self) -> bool:
        """Whether the device has reported its last."""
        return self.status in ENDED


def job_document(operation: str, arguments: Sequence[str]) -> str:
    """Returns the document of a job, as AWS's older handlers have it, too."""
    return json.dumps({"operation": operation, "args": [*arguments]}, separators=(",", ":"))


def command_payload(operation: str, arguments: Sequence[str]) -> str:
    """Returns the payload of a command."""
    return json.dumps({"operation": operation, "arguments": [*arguments]}, separators=(",", ":"))


def command_id(names: FleetNames, payload: str) -> str:
    """Returns the id of the command that carries this: the same one each time."""
    return f"{names.fleet[:40]}-{hashlib.sha256(payload.encode()).hexdigest()[:_ID_DIGITS]}"


def make_command(aws: Aws, names: FleetNames, payload: str, file: Path) -> Call:
    """Returns the call that makes a command; ``file`` holds its payload."""
    return aws.command(
        "iot",
        "create-command",
        *("--command-id", command_id(names, payload)),
        *("--payload", f"content@=fileb://{file},contentType=application/json"),
        *("--description", "Made by fleet-cloud run."),
        *resources.tags(names),
    )


def start_command(plane: DataPlane, command_arn: str, target_arn: str, seconds: int) -> Call:
    """Returns the call that starts a command on one thing."""
    return plane.call(
        "iot-jobs-data",
        "start-command-execution",
        *("--command-arn", command_arn),
        *("--target-arn", target_arn),
        *("--execution-timeout-seconds", str(seconds)),
    )


def command_report(aws: Aws, thing: str, target_arn: str, execution: str) -> Report:
    """Looks up what the device said of a command."""
    answer = aws.ask(
        aws.command(
            "iot",
            "get-command-execution",
            *("--execution-id", execution),
            *("--target-arn", target_arn),
            "--include-result",
        )
    )
    reason: Any = answer.get("statusReason")
    result: Any = answer.get("result")
    said = {
        key: str(reason[name])
        for key, name in (("code", "reasonCode"), ("reason", "reasonDescription"))
        if isinstance(reason, Mapping) and name in reason
    }
    said |= {
        str(key): str(next(iter(value.values()), ""))
        for key, value in (result.items() if isinstance(result, Mapping) else ())
        if isinstance(value, Mapping)
    }
    return Report(thing=thing, status=text(answer, "status"), said=said)


def job_id(names: FleetNames, now: dt.datetime) -> str:
    """Returns the id of a job that is started now."""
    return f"{names.fleet}-run-{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"


def start_job(
    aws: Aws, names: FleetNames, identifier: str, target_arn: str, payload: str, seconds: int
) -> Call:
    """Returns the call that starts a job."""
    minutes = max(1, -(-seconds // _MINUTE))
    return aws.command(
        "iot",
        "create-job",
        *("--job-id", identifier),
        *("--targets", target_arn),
        *("--document", payload),
        *("--description", "By fleet-cloud run."),
        *("--timeout-config", json.dumps({"inProgressTimeoutInMinutes": minutes})),
        *resources.tags(names),
    )


def job_reports(aws: Aws, identifier: str, known: Mapping[str, Report]) -> list[Report]:
    """Looks up how far each device of a job is; of those that have ended since, what they said."""
    found = jobs.executions(aws, identifier)
    fresh = [each for each in found if each.status in ENDED and not _is_known(known, each.thing)]
    details = {each.thing: each.details for each in jobs.with_details(aws, identifier, fresh)}
    return [
        known[each.thing]
        if _is_known(known, each.thing)
        else Report(
            thing=each.thing,
            status=each.status,
            said={str(key): str(value) for key, value in details.get(each.thing, {}).items()},
        )
        for each in found
    ]


def _is_known(known: Mapping[str, Report], thing: str) -> bool:
    return thing in known and known[thing].has_ended


def arn_of(answer: Answer | None) -> str | None:
    """Returns the ARN of a command that exists."""
    return text(answer, "commandArn") if answer else None
