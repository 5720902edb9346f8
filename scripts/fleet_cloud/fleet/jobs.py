"""AWS IoT Jobs that order a rotation: what is started, its outcome, and which certificate each replaced."""

import dataclasses
import datetime as dt
import json
import re
from collections.abc import Iterable, Mapping, Sequence

from fleet_cloud.aws import times
from fleet_cloud.aws.calls import Answer, Aws, entries, strings, text
from fleet_cloud.aws.names import FleetNames
from fleet_cloud.fleet import inventory
from fleet_cloud.fleet.inventory import ACTIVE, Certificate, Holdings
from fleet_cloud.local.shell import Command
from fleet_cloud.plan import resources

# What the agent recognises as an order; docs/reference/jobs.md describes it.
DOCUMENT = {"operation": "rotate-credential"}
SUCCEEDED = "SUCCEEDED"
FAILURES = ("FAILED", "REJECTED", "TIMED_OUT")
TARGETS = 100  # AWS's limit of a job

# A rollout that goes wrong stops by itself: after ten devices, when a fifth of them failed.
_ABORT = {
    "criteriaList": [
        {
            "failureType": "FAILED",
            "action": "CANCEL",
            "thresholdPercentage": 20,
            "minNumberOfExecutedThings": 10,
        }
    ]
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Execution:
    """A job on one device; ``details`` are what the device said of it."""

    thing: str
    status: str
    changed: dt.datetime | None
    details: Mapping[str, object] = dataclasses.field(default_factory=dict)

    @property
    def replaced(self) -> str | None:
        """The id of the certificate that the device was to replace."""
        return _identifier(self.details.get("from"))

    @property
    def taken(self) -> str | None:
        """The id of the certificate that the device reported its success with."""
        return _identifier(self.details.get("certificate"))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Retirement:
    """The plan for a replaced certificate: ``certificate`` is to be retired; or ``why`` not, or not yet."""

    execution: Execution
    certificate: Certificate | None
    why: str


def prefix(names: FleetNames) -> str:
    """Returns what the ids of this fleet's rotation jobs begin with."""
    return f"{names.fleet}-rotate-"


def new_id(names: FleetNames, now: dt.datetime) -> str:
    """Returns the id of a job that is started now; ids in order are jobs in order."""
    return prefix(names) + now.strftime("%Y%m%dT%H%M%SZ")


def start(
    aws: Aws, names: FleetNames, identifier: str, targets: Sequence[str], rate: int
) -> Command:
    """Returns the command that starts a job on these ARNs, ``rate`` devices a minute."""
    rollout = {"maximumPerMinute": rate}
    return aws.command(
        "iot",
        "create-job",
        *("--job-id", identifier),
        *("--targets", *targets),
        *("--document", json.dumps(DOCUMENT)),
        *("--description", "Rotation, by fleet-cloud."),
        *("--job-executions-rollout-config", json.dumps(rollout)),
        *("--abort-config", json.dumps(_ABORT)),
        *resources.tags(names),
    )


def latest(aws: Aws, names: FleetNames) -> str | None:
    """Asks for the fleet's last rotation job."""
    listed = aws.ask(aws.command("iot", "list-jobs"))
    found = [text(entry, "jobId") for entry in entries(listed, "jobs")]
    return max((identifier for identifier in found if is_of(identifier, names)), default=None)


def is_of(identifier: str, names: FleetNames) -> bool:
    """Whether a job's id is one of this fleet's; another fleet's name may begin with ours and go on with -rotate-."""
    return bool(re.fullmatch(re.escape(prefix(names)) + r"[0-9]{8}T[0-9]{6}Z", identifier))


def describe(aws: Aws, identifier: str) -> Command:
    """Returns the command that describes a job."""
    return aws.command("iot", "describe-job", "--job-id", identifier)


def executions(aws: Aws, identifier: str) -> list[Execution]:
    """Looks up how far each device is, without what it said of it."""
    listed = aws.ask(aws.command("iot", "list-job-executions-for-job", "--job-id", identifier))
    found = []
    for entry in entries(listed, "executionSummaries"):
        summary = entry.get("jobExecutionSummary")
        progress = summary if isinstance(summary, Mapping) else {}
        found.append(
            Execution(
                thing=text(entry, "thingArn").rpartition("/")[2],
                status=text(progress, "status"),
                changed=times.moment(progress.get("lastUpdatedAt")),
            )
        )
    return sorted(found, key=lambda execution: execution.thing)


def with_details(aws: Aws, identifier: str, chosen: Sequence[Execution]) -> list[Execution]:
    """Looks up what these devices said: one query for each device."""
    answers = aws.ask_all(
        [
            aws.command(
                "iot",
                "describe-job-execution",
                *("--job-id", identifier),
                *("--thing-name", execution.thing),
            )
            for execution in chosen
        ],
        "reading each device's report",
    )
    return [
        dataclasses.replace(execution, details=_details(answer))
        for execution, answer in zip(chosen, answers, strict=True)
    ]


def retirements(aws: Aws, names: FleetNames, done: Sequence[Execution]) -> list[Retirement]:
    """Looks up which replaced certificates may go: the thing has both, and the new one is in force."""
    held = inventory.holdings(aws, names)
    has = inventory.of_things(aws, [execution.thing for execution in done])
    return [judge(execution, has[execution.thing], held) for execution in done]


def judge(execution: Execution, principals: Iterable[str], held: Holdings) -> Retirement:
    """Returns what is to become of the certificate that a device replaced.

    Args:
        execution: Succeeded, with its details.
        principals: ARNs of what the thing has now: no other certificate is ever touched, whatever a device reports.
        held: The account's certificates.
    """
    its = {
        certificate.identifier: certificate
        for arn in principals
        if (certificate := held.certificates.get(arn)) is not None
    }
    replaced, taken = execution.replaced, execution.taken
    old = its.get(replaced) if replaced else None
    new = its.get(taken) if taken else None
    if replaced is None or taken is None or replaced == taken:
        why = "the device did not say which certificates"
    elif new is None or new.status != ACTIVE:
        why = "the new certificate is not the thing's, or not active"
        old = None
    elif old is None:
        why = "retired already"
    else:
        return Retirement(execution=execution, certificate=old, why="")
    return Retirement(execution=execution, certificate=None, why=why)


def _details(answer: Answer | None) -> Mapping[str, object]:
    found: object = answer
    for key in ("execution", "statusDetails", "detailsMap"):
        found = found.get(key) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _identifier(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def targets_of(job: Answer | None) -> list[str]:
    """Returns the things and groups that a job is for, by their ARNs."""
    found = job.get("job") if job else None
    return strings(found if isinstance(found, Mapping) else None, "targets")
