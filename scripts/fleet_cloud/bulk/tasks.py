"""One bulk registration task: start it, find it again, wait for it, fetch its reports."""

import http.client
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

from fleet_cloud.aws.calls import Answer, Aws, strings, text
from fleet_cloud.aws.names import BulkNames
from fleet_cloud.errors import FleetCloudError
from fleet_cloud.local.shell import Command, Variable
from fleet_cloud.plan import documents
from fleet_cloud.plan.documents import Document

TASK = Variable("task")
_RUNNING = {"InProgress", "Cancelling"}
# Between two looks at a task: a share of the time that it seems to take yet, so that neither a short nor a long one
# costs much; of the time that it has taken, until it reports its progress.
_POLL_SHARE, _POLL_LEAST, _POLL_MOST = 0.5, 0.1, 5.0
_FETCH_SECONDS = 60


def new_key(prefix: str) -> str:
    """Returns a name for parameters in the bucket, by which their task is found again."""
    return f"{prefix}-{time.time_ns()}.jsonl"


def upload(aws: Aws, bulk: BulkNames, key: str, path: Path) -> Command:
    """Returns the command that puts the parameters where AWS IoT reads them."""
    place = ("--bucket", bulk.bucket, "--key", key)
    return aws.command("s3api", "put-object", *place, "--body", str(path))


def start(aws: Aws, bulk: BulkNames, key: str, body: Document) -> Command:
    """Returns the command that starts the task."""
    return aws.command(
        "iot",
        "start-thing-registration-task",
        *("--template-body", documents.compact(body)),
        *("--input-file-bucket", bulk.bucket),
        *("--input-file-key", key),
        *("--role-arn", bulk.account.role(bulk.role)),
        *("--query", "taskId"),
        into=TASK,
    )


def describe(aws: Aws, task: str | Variable) -> Command:
    """Returns the command that reports the progress of a task."""
    return aws.command("iot", "describe-thing-registration-task", "--task-id", task)


def reports(aws: Aws, task: str | Variable, kind: str) -> Command:
    """Returns the command that says where a task's report is: ``RESULTS`` or ``ERRORS``."""
    return aws.command(
        "iot",
        "list-thing-registration-task-reports",
        *("--task-id", task, "--report-type", kind),
    )


def check_none_runs(aws: Aws) -> None:
    """Checks that no task runs: AWS runs one at a time.

    Raises:
        FleetCloudError: One does.
    """
    listed = aws.ask(aws.command("iot", "list-thing-registration-tasks", "--status", "InProgress"))
    running = strings(listed, "taskIds")
    if running:
        raise FleetCloudError(
            f"another bulk registration is running in this account: {running[0]}",
            remedy=f"wait for it: {describe(aws, running[0])}",
            code="task-running",
        )


def find(aws: Aws, key: str) -> str | None:
    """Returns the task that reads these parameters, started by a run that was cut off before it could note it."""
    listed = aws.ask(aws.command("iot", "list-thing-registration-tasks"))
    for task in strings(listed, "taskIds"):
        if aws.ask(describe(aws, task)).get("inputFileKey") == key:
            return task
    return None


def wait(aws: Aws, task: str, sleep: Callable[[float], None] = time.sleep) -> Answer:
    """Waits until a task has ended, reporting its progress; returns what AWS says of it."""
    began, shown = time.monotonic(), ""
    while True:
        described = aws.ask(describe(aws, task))
        if text(described, "status") not in _RUNNING:
            return described
        found = described.get("percentageProgress")
        percent = found if isinstance(found, int) else 0
        now = f"  registering: {percent} %"
        if now != shown:
            aws.shell.console.say(now)
            shown = now
        taken = time.monotonic() - began
        left = taken * (100 - percent) / percent if percent else taken
        sleep(min(_POLL_MOST, max(_POLL_LEAST, left * _POLL_SHARE)))


def report(aws: Aws, task: str, kind: str) -> list[str]:
    """Returns a report's lines.

    Raises:
        FleetCloudError: A link does not lead anywhere.
    """
    lines: list[str] = []
    for link in strings(aws.ask(reports(aws, task, kind)), "resourceLinks"):
        if not link.startswith(("https://", "http://")):
            continue
        try:
            with urllib.request.urlopen(link, timeout=_FETCH_SECONDS) as answer:  # noqa: S310 - looked at above
                lines += answer.read().decode("utf-8", "replace").splitlines()
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise FleetCloudError(
                f"the report {kind} of task {task} cannot be downloaded: {error}",
                remedy="check the network and the proxy (HTTPS_PROXY), then run this again",
                code="report-unreachable",
            ) from error
    return lines
