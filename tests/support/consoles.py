"""An operator who gives one thing jobs and commands, with the real ``aws`` and its API."""

import itertools
import json
from typing import Any, Protocol

from support.agent import until
from support.aws import aws, aws_client
from support.fleets import Fleet

LIMIT = 60.0  # seconds

_numbers = itertools.count(1)


class Thing(Protocol):
    """What orders are given to: an ``Agent``, or a booted machine."""

    @property
    def fleet(self) -> Fleet: ...
    @property
    def thing_name(self) -> str: ...


class Console:
    """AWS's console, as far as one thing goes; ``jobs``: those that were given."""

    def __init__(self, thing: Thing) -> None:
        self.sandbox = thing.fleet.sandbox
        self.thing = thing.thing_name
        self.iot = aws_client(self.sandbox, "iot")
        self.arn = self.iot.describe_thing(thingName=self.thing)["thingArn"]
        self.jobs: list[str] = []
        self._commands: list[str] = []

    def close(self) -> None:
        """Leaves nothing behind in the account."""
        for job in self.jobs:
            self.iot.delete_job(jobId=job, force=True)
        for command in self._commands:
            self.iot.delete_command(commandId=command)

    # Jobs -------------------------------------------------------------------------------------------------------------

    def create(self, job: str, document: object) -> None:
        """Gives a job."""
        self.jobs.append(job)
        self.iot.create_job(jobId=job, targets=[self.arn], document=json.dumps(document))

    def create_by_template(self, job: str, template: str, parameters: dict[str, str]) -> None:
        """Gives a job of one of AWS's managed templates, with the real command."""
        self.jobs.append(job)
        arn = f"arn:aws:iot:{self.sandbox.region}::jobtemplate/{template}:1.0"
        words = ["--job-id", job, "--targets", self.arn, "--job-template-arn", arn]
        if parameters:
            words += ["--document-parameters", json.dumps(parameters)]
        aws(self.sandbox, "iot", "create-job", *words)

    def cancel(self, job: str) -> None:
        """Cancels it though it is in progress, with the real command."""
        words = ("--job-id", job, "--thing-name", self.thing, "--force")
        aws(self.sandbox, "iot", "cancel-job-execution", *words)

    def execution(self, job: str) -> dict[str, Any]:
        """How it is."""
        found: dict[str, Any] = self.iot.describe_job_execution(jobId=job, thingName=self.thing)[
            "execution"
        ]
        return found

    def details(self, job: str) -> dict[str, str]:
        """What the device said of it."""
        found: dict[str, str] = self.execution(job).get("statusDetails", {}).get("detailsMap", {})
        return found

    def ended(self, job: str) -> tuple[str, dict[str, str]]:
        """Waits for a job's end: its status, and what the device said of it."""

        def over() -> dict[str, Any]:
            found = self.execution(job)
            return found if found["status"] not in ("QUEUED", "IN_PROGRESS") else {}

        found = until(over, f"the end of {job}", LIMIT)
        return found["status"], self.details(job)

    # Commands ---------------------------------------------------------------------------------------------------------

    def command(self, content: bytes, kind: str = "application/json") -> str:
        """Makes a command; its ARN."""
        self._commands.append(f"ordered-{next(_numbers)}")
        made: str = self.iot.create_command(
            commandId=self._commands[-1],
            payload={"content": content, "contentType": kind},
        )["commandArn"]
        return made

    def command_by_cli(self, name: str, payload: object) -> str:
        """Makes a command with the real command; its ARN."""
        self._commands.append(name)
        given = {"content": json.dumps(payload), "contentType": "application/json"}
        words = ("--command-id", name, "--payload", json.dumps(given))
        made: str = aws(self.sandbox, "iot", "create-command", *words)["commandArn"]
        return made

    def start_by_cli(self, command: str) -> str:
        """Starts a command with the real command; the execution's id."""
        words = ("--command-arn", command, "--target-arn", self.arn)
        started = aws(self.sandbox, "iot-jobs-data", "start-command-execution", *words)
        found: str = started["executionId"]
        return found

    def start(self, command: str, seconds: int = 60) -> str:
        """Starts a command on the thing; the execution's id."""
        started = aws_client(self.sandbox, "iot-jobs-data").start_command_execution(
            targetArn=self.arn, commandArn=command, executionTimeoutSeconds=seconds
        )
        found: str = started["executionId"]
        return found

    def reported(self, execution: str) -> dict[str, Any]:
        """What is known of an execution."""
        found: dict[str, Any] = self.iot.get_command_execution(
            executionId=execution, targetArn=self.arn, includeResult=True
        )
        return found

    def finished(self, execution: str) -> dict[str, Any]:
        """Waits until the device has told a command's end."""

        def over() -> dict[str, Any]:
            found = self.reported(execution)
            return found if "completedAt" in found else {}

        return until(over, f"the end of {execution}", LIMIT)
