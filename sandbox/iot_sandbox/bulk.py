"""Bulk registration: tasks that register a thing for each line of a file in S3. ministack has none.

AWS documents the task's API and not what a report's line looks like; ours has what has been seen in AWS's. One
task runs at a time. Tasks live in memory only.
"""

import asyncio
import json
import re
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from iot_sandbox import ground, routes
from iot_sandbox.refusals import Response, Route
from iot_sandbox.routes import Asked

REPORTS = "/_sandbox/reports/"
TEMPLATE_MAX_CHARACTERS = 10240
_PATH = re.compile(r"/thing-registration-tasks(/(?P<id>[^/]+)(/(?P<verb>cancel|reports))?)?")
_REQUEST = {
    "templateBody": re.compile(rf"[\s\S]{{1,{TEMPLATE_MAX_CHARACTERS}}}"),
    "inputFileBucket": re.compile(r"[a-zA-Z0-9._-]{3,256}"),
    "inputFileKey": re.compile(r"[a-zA-Z0-9!_.*'()/-]{1,1024}"),
    "roleArn": re.compile(r".{20,2048}"),
}
_FOREIGN_SECTIONS = ("Mappings", "DeviceConfiguration")
_CERTIFICATE = "AWS::IoT::Certificate"


class LineError(Exception):
    """A line that registers nothing; says why."""


@dataclass
class Task:
    """One task and its progress."""

    scope: tuple[str, str]
    request: dict[str, str]
    identifier: str = field(default_factory=lambda: str(uuid.uuid4()))
    created: float = field(default_factory=time.time)
    changed: float = field(default_factory=time.time)
    status: str = "InProgress"
    message: str | None = None
    lines: int = 0
    reports: dict[str, list[dict[str, Any]]] = field(
        default_factory=lambda: {"RESULTS": [], "ERRORS": []}
    )

    def described(self) -> dict[str, Any]:
        """Returns what DescribeThingRegistrationTask answers."""
        done, failed = len(self.reports["RESULTS"]), len(self.reports["ERRORS"])
        percentage = 100 * (done + failed) // self.lines if self.lines else 0
        return {
            "taskId": self.identifier,
            "creationDate": self.created,
            "lastModifiedDate": self.changed,
            **self.request,
            "status": self.status,
            **({"message": self.message} if self.message else {}),
            "successCount": done,
            "failureCount": failed,
            "percentageProgress": percentage,
        }

    def end(self, status: str, message: str | None = None) -> None:
        """Settles it."""
        self.status, self.message, self.changed = status, message, time.time()


class BulkTasks:
    """Answers the tasks' part of the control plane."""

    def __init__(self) -> None:
        self._tasks: dict[str, Task] = {}
        self._running: set[asyncio.Task[None]] = set()

    def beside(self, was: Route) -> Route:
        """Adds the tasks to ministack's routes."""
        return routes.beside(was, _PATH, self._of)

    async def _of(self, asked: Asked) -> Response:
        match asked.method, asked.found["id"], asked.found["verb"]:
            case "POST", None, None:
                return self._start(asked.body)
            case "GET", None, None:
                listed = [*self._listed(asked.words.get("status"))]
                return ground.json_response({"taskIds": listed})
            case (("GET" | "PUT"), str(identifier), verb):
                return self._of_one(identifier, verb, asked.words, asked.headers)
            case _:
                return _invalid(f"Unsupported IoT path: {asked.method} {asked.found[0]}")

    def report(self, path: str) -> str | None:
        """Returns a report's text by the path of its link: JSON lines; None for no such report."""
        identifier, _, kind = path.removeprefix(REPORTS).partition("/")
        task = self._tasks.get(identifier)
        lines = task.reports.get(kind) if task else None
        return None if lines is None else "".join(f"{json.dumps(line)}\n" for line in lines)

    def _listed(self, status: str | None) -> Iterator[str]:
        scope = (ground.get_account_id(), ground.get_region())
        for task in reversed(self._tasks.values()):
            if task.scope == scope and status in {None, task.status}:
                yield task.identifier

    def _start(self, body: bytes) -> Response:
        try:
            request = json.loads(body)
            template = json.loads(request["templateBody"])
        except (ValueError, TypeError, KeyError):
            return _invalid("The template body is invalid")
        wanted = {key: request.get(key) for key in _REQUEST}
        for key, pattern in _REQUEST.items():
            if not isinstance(wanted[key], str) or not pattern.fullmatch(wanted[key]):
                return _invalid(f"{key} failed to satisfy constraint {pattern.pattern}")
        if reason := _template_error(template):
            return _invalid(f"The template body is invalid: {reason}")
        if not ground.is_role_usable(wanted["roleArn"]):
            return _invalid("The provisioning role cannot be assumed by AWS IoT")
        if any(self._listed("InProgress")):
            return _invalid("Another thing registration task is in progress")
        task = Task((ground.get_account_id(), ground.get_region()), wanted)
        self._tasks[task.identifier] = task
        running = asyncio.create_task(_run(task, template))
        self._running.add(running)
        running.add_done_callback(self._running.discard)
        return ground.json_response({"taskId": task.identifier})

    def _of_one(
        self, identifier: str, verb: str | None, words: dict[str, str], headers: dict[str, str]
    ) -> Response:
        task = self._tasks.get(identifier)
        if task is None or task.scope != (ground.get_account_id(), ground.get_region()):
            return ground.error_response_json(
                "ResourceNotFoundException", f"Task {identifier} does not exist.", 404
            )
        if verb == "cancel":
            if task.status != "InProgress":
                return _invalid(f"Task {identifier} is {task.status}")
            task.end("Cancelling")
            return ground.json_response({})
        if verb is None:
            return ground.json_response(task.described())
        kind = words.get("reportType", "")
        if kind not in task.reports:
            return _invalid("reportType is ERRORS or RESULTS")
        ready = task.status not in {"InProgress", "Cancelling"} and task.reports[kind]
        link = f"http://{headers.get('host', 'localhost')}{REPORTS}{identifier}/{kind}"
        return ground.json_response({"resourceLinks": [link] if ready else [], "reportType": kind})


async def _run(task: Task, template: dict[str, Any]) -> None:
    """Registers a thing a line, so that other requests are answered meanwhile."""
    bucket, key, role = (
        task.request[name] for name in ("inputFileBucket", "inputFileKey", "roleArn")
    )
    with ground.request_scope(*task.scope):
        may_read = ground.role_allows(role, [("s3:GetObject", f"arn:aws:s3:::{bucket}/{key}")])
        content = ground.object_content(bucket, key) if may_read else None
    if content is None:
        task.end("Failed", f"s3://{bucket}/{key} is not there, or the role may not read it")
        return
    lines = content.decode("utf-8", "replace").splitlines()
    task.lines, offset = len(lines), 0
    for number, line in enumerate(lines, 1):
        if task.status == "Cancelling":
            task.end("Cancelled")
            return
        place = {"lineNumber": number, "offset": offset}
        offset += len(line.encode()) + 1
        try:
            answer = await _register(task, template, line)
            task.reports["RESULTS"].append({**place, "response": answer})
        except (LineError, ground.RegistrationRejected) as error:
            answer = {"statusCode": 400, "errorMessage": str(error)}
            task.reports["ERRORS"].append({**place, "response": answer})
        task.changed = time.time()
        await asyncio.sleep(0)
    task.end("Completed")


async def _register(task: Task, template: dict[str, Any], line: str) -> dict[str, Any]:
    parameters = _parameters(line)
    # ministack's plan keeps of the certificate its status alone; the rest is worked out in the place of a section
    # that such templates do not have.
    body = {**template, "DeviceConfiguration": _certificate_of(template)}
    shaped = {"versions": {"1": {"templateBody": body}}, "defaultVersionId": 1}
    with ground.request_scope(*task.scope):
        async with ground.publishing_events():
            wanted = ground.plan_of(shaped, parameters, "")["deviceConfiguration"]
            record = _certificate(wanted)
            plan = ground.plan_of(shaped, parameters, record["certificateId"])
            name = await ground.apply_plan(plan, record, task.request["roleArn"])
    arn = record["certificateArn"]
    things = {"thing": f"{arn.rpartition(':')[0]}:thing/{name}"} if name else {}
    return {
        "CertificatePem": record["certificatePem"],
        "ResourceArns": {**things, "certificate": arn},
    }


def _parameters(line: str) -> dict[str, str]:
    try:
        parameters = json.loads(line)
    except ValueError as error:
        raise LineError(f"not JSON: {error}") from error
    if not isinstance(parameters, dict) or not all(
        isinstance(value, str) for value in parameters.values()
    ):
        raise LineError("not an object of strings")
    return parameters


def _certificate(wanted: dict[str, Any]) -> dict[str, Any]:
    """Makes a certificate from a request, or finds the one that is named."""
    csr, identifier = wanted.get("CertificateSigningRequest"), wanted.get("CertificateId")
    if identifier:
        record: dict[str, Any] | None = ground.certificates.get(identifier)
        if record is None:
            raise LineError(f"CertificateId {identifier} does not exist")
        return record
    if not csr:
        raise LineError("the certificate needs a CertificateSigningRequest or a CertificateId")
    try:
        pem = ground.sign_certificate_request(*ground.ensure_ca(), csr)
    except ValueError as error:
        raise LineError(f"CSR violates constraints: {error}") from error
    return ground.certificate_record(ground.get_certificate_id(pem), pem, "INACTIVE")


def _certificate_of(template: dict[str, Any]) -> Any:  # noqa: ANN401  JSON
    for resource in template["Resources"].values():
        if resource.get("Type") == _CERTIFICATE:
            return resource.get("Properties") or {}
    return {}


def _template_error(template: Any) -> str | None:  # noqa: ANN401  JSON
    sections = template.get("Resources") if isinstance(template, dict) else None
    if not isinstance(sections, dict) or not all(
        isinstance(resource, dict) for resource in sections.values()
    ):
        return "it has no Resources"
    for section in _FOREIGN_SECTIONS:
        if section in template:
            return f"{section} is for fleet provisioning"
    kinds = [resource.get("Type") for resource in sections.values()]
    if kinds.count(_CERTIFICATE) != 1:
        return "it needs one certificate resource"
    for resource in sections.values():
        properties = resource.get("Properties")
        document = properties.get("PolicyDocument", "") if isinstance(properties, dict) else ""
        if not isinstance(document, str | dict) or (
            isinstance(document, dict) and "Ref" not in document
        ):
            return "PolicyDocument must be a string"
    return None


def _invalid(message: str) -> Response:
    return ground.error_response_json("InvalidRequestException", message, 400)
