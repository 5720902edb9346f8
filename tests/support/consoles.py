"""An operator who gives one thing jobs and commands, with the real ``aws`` and its API."""

import itertools
import json
from typing import Any

from support.agent import Agent, until
from support.aws import aws, aws_client

LIMIT = 60.0  # seconds

_numbers = itertools.count(1)


class Console:
    """AWS's console, as far as one thing goes."""

    def __init__(self, agent: Agent) -> None:
        self.sandbox = agent.fleet.sandbox
        self.thing = agent.thing_name
        self.iot = aws_client(self.sandbox, "iot")
        self.arn = self.iot.describe_thing(thingName=self.thing)["thingArn"]

    # Jobs -------------------------------------------------------------------------------------------------------------

    def create(self, job: str, document: object) -> None:
        """Give a job."""
        self.iot.create_job(jobId=job, targets=[self.arn], document=json.dumps(document))

    def create_by_cli(self, job: str, document: object) -> None:
        """Give a job, with the real command."""
        words = ("--job-id", job, "--targets", self.arn, "--document", json.dumps(document))
        aws(self.sandbox, "iot", "create-job", *words)

    def cancel(self, job: str) -> None:
        """Cancel it though it is in progress, with the real command."""
        words = ("--job-id", job, "--thing-name", self.thing, "--force")
        aws(self.sandbox, "iot", "cancel-job-execution", *words)

    def execution(self, job: str) -> dict[str, Any]:
        """How it is."""
        found: dict[str, Any] = self.iot.describe_job_execution(jobId=job, thingName=self.thing)[
            "execution"
        ]
        return found

    def ended(self, job: str) -> tuple[str, dict[str, str]]:
        """Wait for a job's end: its status, and what the device said of it."""

        def over() -> dict[str, Any]:
            found = self.execution(job)
            return found if found["status"] not in ("QUEUED", "IN_PROGRESS") else {}

        found = until(over, f"the end of {job}", LIMIT)
        return found["status"], found.get("statusDetails", {}).get("detailsMap", {})

    # Commands ---------------------------------------------------------------------------------------------------------

    def command(self, content: bytes, kind: str = "application/json") -> str:
        """Make a command; its ARN."""
        made: str = self.iot.create_command(
            commandId=f"ordered-{next(_numbers)}",
            payload={"content": content, "contentType": kind},
        )["commandArn"]
        return made

    def start(self, command: str, seconds: int = 60) -> str:
        """Start a command on the thing; the execution's id."""
        started = aws_client(self.sandbox, "iot-jobs-data").start_command_execution(
            targetArn=self.arn, commandArn=command, executionTimeoutSeconds=seconds
        )
        found: str = started["executionId"]
        return found

    def told(self, execution: str) -> dict[str, Any]:
        """What is known of an execution."""
        found: dict[str, Any] = self.iot.get_command_execution(
            executionId=execution, targetArn=self.arn, includeResult=True
        )
        return found

    def finished(self, execution: str) -> dict[str, Any]:
        """Wait until the device has told a command's end."""

        def over() -> dict[str, Any]:
            found = self.told(execution)
            return found if "completedAt" in found else {}

        return until(over, f"the end of {execution}", LIMIT)
