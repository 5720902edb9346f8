"""Executions of commands: sent to a device, followed, answered by it, and timed out. In memory only."""

import asyncio
import json
import re
import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from iot_sandbox import command_payloads, ground, routes
from iot_sandbox.command_payloads import CommandError, Payload
from iot_sandbox.command_updates import Update
from iot_sandbox.commands import LONGEST_EXECUTION, Commands
from iot_sandbox.refusals import (
    Document,
    RefusedError,
    Response,
    Route,
    invalid,
    missing,
    page,
)
from iot_sandbox.routes import Asked

_PATH = re.compile(r"/command-executions(/(?P<id>[a-zA-Z0-9_-]{1,64}))?")
_START = re.compile("/command-executions")
_TARGET = re.compile(r"arn:[^:]+:iot:[^:]*:[^:]*:(?P<kind>thing|client)/(?P<name>[^+#]{1,128})")
_SECONDS = 10
_KEPT_SECONDS = 183 * 86_400
_NO_RESPONSE = {"reasonCode": "$NO_RESPONSE_FROM_DEVICE"}
_SUMMARY = (
    "commandArn", "executionId", "targetArn", "status", "createdAt", "startedAt", "completedAt",
)  # fmt: skip
_TIME = "%Y-%m-%dT%H:%M"


@dataclass
class Execution:
    """One command for one device.

    Attributes:
        started: when it said that it had started.
        completed: when it said that it had ended; None as long as it says nothing, timed out or not.
        is_busy: an update of it is on its way.
    """

    command: Document
    target: str
    seconds: int
    parameters: Document
    identifier: str = field(default_factory=lambda: str(uuid.uuid4()))
    created: float = field(default_factory=time.time)
    updated: float = field(default_factory=time.time)
    status: str = "CREATED"
    reason: dict[str, str] | None = None
    result: Document = field(default_factory=dict)
    started: float | None = None
    completed: float | None = None
    is_busy: bool = False

    @property
    def is_late(self) -> bool:
        """Whether its time is over, and the device has not said how it ended."""
        return self.completed is None and time.time() >= self.created + self.seconds

    @property
    def topic(self) -> str:
        """The device's topic for it, without the level for the payload's type."""
        kind, _, name = self.target.split(":", 5)[5].partition("/")
        return f"$aws/commands/{kind}s/{name}/executions/{self.identifier}/request"

    def take(self, update: Update) -> None:
        """Notes what the device says."""
        self.status, self.reason, self.updated = update.status, update.reason, time.time()
        self.result = update.result
        if update.status == "IN_PROGRESS":
            self.started = self.started or self.updated
        else:
            self.completed = self.updated

    def described(self) -> Document:
        """Returns what GetCommandExecution answers."""
        late = self.is_late
        times = {"startedAt": self.started, "completedAt": self.completed}
        reason = _NO_RESPONSE if late else self.reason
        return {
            "executionId": self.identifier,
            "commandArn": self.command["commandArn"],
            "targetArn": self.target,
            "status": "TIMED_OUT" if late else self.status,
            **({"statusReason": reason} if reason else {}),
            **({"result": self.result} if self.result else {}),
            **({"parameters": self.parameters} if self.parameters else {}),
            "executionTimeoutSeconds": self.seconds,
            "createdAt": self.created,
            "lastUpdatedAt": self.created + self.seconds if late else self.updated,
            **{key: value for key, value in times.items() if value},
            "timeToLive": self.created + _KEPT_SECONDS,
        }


class Executions:
    """Answers their part of the control plane, and of the data plane that starts them."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands
        self._executions: dict[tuple[str, str], dict[str, Execution]] = {}
        self._tokens: dict[tuple[str, ...], tuple[Document, str]] = {}
        self._telling: set[asyncio.Task[None]] = set()

    def find(self, scope: tuple[str, str], identifier: str, target: str) -> Execution | None:
        """Returns the execution that a device names: account and region, its id and ``thing/NAME`` or ``client/ID``."""
        execution = self._executions.get(scope, {}).get(identifier)
        return execution if execution and execution.target.endswith(f":{target}") else None

    def beside(self, was: Route) -> Route:
        """Adds what operators ask about them to ministack's routes."""
        return routes.beside(was, _PATH, self._of)

    def starting(self, was: Route) -> Route:
        """Puts the start of one beside ministack's data plane of jobs: the same path and method as the list's."""
        return routes.beside(was, _START, self._started, "POST")

    def notify(self, scope: tuple[str, str], execution: Execution) -> None:
        """Publishes the event of its status."""
        about = execution.described()
        shown = ("executionId", "status", "statusReason", "commandArn", "targetArn")
        event = {key: about[key] for key in shown if key in about}
        event |= {"eventType": "COMMAND_EXECUTION", "timestamp": int(time.time() * 1000)}
        command = execution.command["commandId"]
        topic = f"$aws/events/commandExecution/{command}/{about['status']}"
        telling = ground.publish(*scope, topic, json.dumps(event).encode(), qos=1)
        self._begin(telling)

    def _begin(self, work: Any) -> None:  # noqa: ANN401  ministack's coroutine
        task = asyncio.ensure_future(work)
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _of(self, asked: Asked) -> Response:
        identifier, query = asked.found["id"], asked.words
        match asked.method, identifier:
            case "POST", None:
                return self._listed(json.loads(asked.body or b"{}"), query)
            case "GET", str():
                return self._described(identifier, query)
            case "DELETE", str():
                return self._deleted(identifier, query)
            case _:
                raise invalid(f"Unsupported IoT path: {asked.method} /command-executions")

    async def _started(self, asked: Asked) -> Response:
        request = json.loads(asked.body or b"{}")
        scope = ground.get_account_id(), ground.get_region()
        token = (*scope, request.pop("clientToken", ""))
        before, identifier = self._tokens.get(token, (request, ""))
        if before != request:
            raise RefusedError("ConflictException", "The token was used for another request", 409)
        if not identifier:
            execution, payload = self._made(request)
            identifier = execution.identifier
            self._executions.setdefault(scope, {})[identifier] = execution
            self._send(scope, execution, payload)
            self.notify(scope, execution)
        if token[-1]:
            self._tokens[token] = request, identifier
        return ground.json_response({"executionId": identifier})

    def _made(self, request: Document) -> tuple[Execution, Payload]:
        command = self._commands.by_arn(request.get("commandArn", ""))
        target = _TARGET.fullmatch(request.get("targetArn", ""))
        if command is None:
            raise missing("The command does not exist")
        if not target:
            raise invalid("targetArn names a thing or a client")
        if target["kind"] == "thing" and ground.things.get(target["name"]) is None:
            raise missing("The thing does not exist")
        if command["deprecated"]:
            raise invalid("The command is deprecated")
        seconds = request.get("executionTimeoutSeconds", _SECONDS)
        if not 1 <= seconds <= LONGEST_EXECUTION:
            raise invalid(f"executionTimeoutSeconds is from 1 to {LONGEST_EXECUTION}")
        given = request.get("parameters", {})
        try:
            payload = command_payloads.filled(command, given, seconds)
        except CommandError as error:
            raise invalid(str(error)) from error
        return Execution(dict(command), target[0], seconds, given), payload

    def _send(self, scope: tuple[str, str], execution: Execution, payload: Payload) -> None:
        properties = ground.encoded_properties(
            [
                (ground.MESSAGE_EXPIRY_INTERVAL, execution.seconds),
                (ground.CONTENT_TYPE, payload.content_type),
            ]
        )
        topic = execution.topic + payload.suffix
        self._begin(ground.publish(*scope, topic, payload.content, qos=1, properties=properties))

    def _here(self) -> dict[str, Execution]:
        return self._executions.setdefault((ground.get_account_id(), ground.get_region()), {})

    def _described(self, identifier: str, query: dict[str, str]) -> Response:
        execution = self._here().get(identifier)
        if execution is None or execution.target != query.get("targetArn"):
            raise missing(f"There is no execution {identifier} for that target")
        about = execution.described()
        if query.get("includeResult", "false").lower() != "true":
            about.pop("result", None)
        return ground.json_response(about)

    def _deleted(self, identifier: str, query: dict[str, str]) -> Response:
        execution = self._here().get(identifier)
        if execution is not None and execution.target == query.get("targetArn"):
            if execution.described()["status"] in ("CREATED", "IN_PROGRESS"):
                raise RefusedError("ConflictException", "The execution is under way", 409)
            del self._here()[identifier]
        return ground.json_response({})

    def _listed(self, request: Document, query: dict[str, str]) -> Response:
        by = [key for key in ("targetArn", "commandArn") if request.get(key)]
        times = [key for key in ("startedTimeFilter", "completedTimeFilter") if key in request]
        if len(by) != 1 or len(times) != 1:
            raise invalid("Exactly one of targetArn and commandArn, and one of the time filters")
        try:
            bounds = {side: _moment(text) for side, text in request[times[0]].items()}
        except ValueError as error:
            raise invalid("A time has the format yyyy-MM-dd'T'HH:mm") from error
        found = [
            about
            for about in (each.described() for each in self._here().values())
            if about[by[0]] == request[by[0]]
            and request.get("status") in (None, about["status"])
            and _is_within(about, times[0], bounds)
        ]
        found.sort(
            key=lambda about: about["createdAt"], reverse=request.get("sortOrder") != "ASCENDING"
        )
        summaries = [{key: each[key] for key in _SUMMARY if key in each} for each in found]
        return page("commandExecutions", summaries, query)


def _is_within(about: Document, by: str, bounds: dict[str, float]) -> bool:
    moment: float | None = about.get("completedAt" if by == "completedTimeFilter" else "startedAt")
    if moment is None and by == "startedTimeFilter":
        moment = about["createdAt"]
    if moment is None:
        return False
    return bounds.get("after", 0) <= moment <= bounds.get("before", float("inf"))


def _moment(text: str) -> float:
    return datetime.strptime(text, _TIME).replace(tzinfo=UTC).timestamp()
