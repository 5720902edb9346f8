"""``fleet-cloud rotate status``: the progress of a rotation, and retirement of the certificates that it replaced."""

import argparse
import collections
import datetime as dt
from collections.abc import Mapping, Sequence

from fleet_cloud import confirm
from fleet_cloud.aws import times
from fleet_cloud.aws.tasks import run_all
from fleet_cloud.commands.devices_clean import left_lines
from fleet_cloud.errors import CommandError, Exit, FleetCloudError
from fleet_cloud.fleet import deletion, jobs
from fleet_cloud.fleet.jobs import Execution, Retirement
from fleet_cloud.options import Context
from fleet_cloud.outcome import Outcome, table

NAME = ("rotate", "status")
SUMMARY = "show the progress of a rotation; retire the certificates that it replaced"
DESCRIPTION = """\
Shows the progress of the fleet's last rotation (or the one given by --job): how many devices are waiting, in progress,
done and failed, and each device that has started. Exit status 1 when a device failed.

With --retire it retires the replaced certificates: detaches, deactivates and deletes them, but only where the device
itself has reported success in a session with its new certificate, and the thing has both and the new one is active.
Asks first; --dry-run shows. It may be run at any time while a rotation is in progress.
"""

# Reports take a query for each device: from here on only for those that failed, unless their certificates retire.
_MOST_ASKED = 250
_ORDER = ("QUEUED", "IN_PROGRESS", jobs.SUCCEEDED, *jobs.FAILURES, "CANCELED", "REMOVED")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags: which job, and whether to retire."""
    parser.add_argument("--job", metavar="ID", help="another job than the fleet's last one")
    parser.add_argument(
        "--retire", action="store_true", help="retire the certificates that were replaced"
    )
    confirm.add_to(parser)


def run(context: Context, arguments: argparse.Namespace) -> Outcome:
    """Shows the progress of a rotation; with --retire, retires the certificates that it replaced."""
    aws, names = context.aws(), context.names
    identifier = arguments.job or jobs.latest(aws, names)
    (job,) = aws.ask_all([jobs.describe(aws, identifier)]) if identifier else (None,)
    if identifier is None or job is None:
        raise FleetCloudError(
            f"there is no job {identifier}" if identifier else "no rotation was started",
            remedy="start one: fleet-cloud rotate start --fleet",
            code="no-rotation",
        )
    found = jobs.executions(aws, identifier)
    ended = [each for each in found if each.status in {jobs.SUCCEEDED, *jobs.FAILURES}]
    asked = ended
    if len(ended) > _MOST_ASKED and not arguments.retire:
        asked = [each for each in ended if each.status in jobs.FAILURES][:_MOST_ASKED]
    begun = jobs.with_details(aws, identifier, asked)
    by_thing = {execution.thing: execution for execution in begun}
    found = [by_thing.get(execution.thing, execution) for execution in found]
    plans: list[Retirement] = []
    left: Mapping[str, CommandError] = {}
    if arguments.retire:
        plans = jobs.retirements(
            aws, names, [execution for execution in begun if execution.status == jobs.SUCCEEDED]
        )
        left = _retire(context, plans, yes=arguments.yes)
    state = _state(job)
    counts = collections.Counter(execution.status for execution in found)
    failed = any(execution.status in jobs.FAILURES for execution in found)
    return Outcome(
        data={
            "fleet": names.fleet,
            "dry_run": context.shell.dry_run,
            "job": identifier,
            "state": state,
            "targets": jobs.targets_of(job),
            "counts": {status: counts[status] for status in _ORDER if counts[status]},
            "devices": [_describe(execution) for execution in found],
            "retired": [_retired(plan, left) for plan in plans],
        },
        lines=[
            f"job {identifier}: {state.lower().replace('_', ' ')}",
            _counted(counts),
            *_rows(found),
            *_unasked(len(ended) - len(asked)),
            *_retired_lines(plans, left),
        ],
        status=Exit.FAILED if failed or left else Exit.DONE,
    )


def _unasked(count: int) -> list[str]:
    return [f"{count} more devices were not queried: each takes a call"] if count else []


def _retire(
    context: Context, plans: Sequence[Retirement], *, yes: bool
) -> Mapping[str, CommandError]:
    aws = context.aws()
    chosen = [
        (plan.certificate, plan.execution.thing) for plan in plans if plan.certificate is not None
    ]
    if not chosen:
        return {}
    rows = [[thing, certificate.identifier] for certificate, thing in chosen]
    many = "certificate" if len(chosen) == 1 else f"{len(chosen)} certificates"
    question = f"Permanently retire the replaced {many}?"
    confirm.confirm(context, question, yes=yes, rows=rows)
    tasks = [
        (certificate.identifier, deletion.certificate_commands(aws, certificate, [thing]))
        for certificate, thing in chosen
    ]
    return run_all(aws, tasks, "retiring certificates")


def _state(job: Mapping[str, object]) -> str:
    found = job.get("job")
    return str(found.get("status")) if isinstance(found, Mapping) else "unknown"


def _describe(execution: Execution) -> dict[str, object]:
    return {
        "thing": execution.thing,
        "status": execution.status,
        "changed": times.text(execution.changed),
        "replaced": execution.replaced,
        "certificate_id": execution.taken,
        "reason": execution.details.get("reason"),
    }


def _retired(plan: Retirement, left: Mapping[str, CommandError]) -> dict[str, object]:
    certificate = plan.certificate
    return {
        "thing": plan.execution.thing,
        "certificate_id": certificate.identifier if certificate else plan.execution.replaced,
        "retired": certificate is not None and certificate.identifier not in left,
        "why": plan.why or None,
    }


def _counted(counts: Mapping[str, int]) -> str:
    counted = [f"{counts[status]} {status.lower()}" for status in _ORDER if counts.get(status)]
    return ", ".join(counted).replace("_", " ") or "no device has received it yet"


def _rows(found: Sequence[Execution]) -> list[str]:
    now = dt.datetime.now(dt.UTC)
    rows = [
        [
            execution.thing,
            execution.status.lower().replace("_", " "),
            times.age(execution.changed, now),
            (execution.replaced or "-")[:12],
            (execution.taken or "-")[:12],
            str(execution.details.get("reason") or ""),
        ]
        for execution in found
        if execution.status != "QUEUED"
    ]
    return table([["THING", "STATE", "SINCE", "FROM", "TO", "REASON"], *rows]) if rows else []


def _retired_lines(plans: Sequence[Retirement], left: Mapping[str, CommandError]) -> list[str]:
    if not plans:
        return []
    done = sum(plan.certificate is not None for plan in plans) - len(left)
    kept = [f"{plan.execution.thing}: {plan.why}" for plan in plans if plan.why]
    return [*kept, *left_lines(left), f"replaced certificates retired: {done}"]
