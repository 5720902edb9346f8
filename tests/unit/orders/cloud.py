"""AWS IoT Jobs for one thing, by PROTOCOL: a queue, versions, states. Replies go to whoever asked, at once."""

import dataclasses
import json
from collections.abc import Callable, Iterator
from typing import Any

PENDING = ("QUEUED", "IN_PROGRESS")
STATES = (*PENDING, "SUCCEEDED", "FAILED", "REJECTED")


@dataclasses.dataclass
class Job:
    """One execution; ``said``: every update that was accepted, status and details."""

    id: str
    document: Any
    status: str = "QUEUED"
    version: int = 1
    number: int = 1
    details: dict[str, str] = dataclasses.field(default_factory=dict)
    seconds: int | None = None
    said: list[tuple[str, dict[str, str]]] = dataclasses.field(default_factory=list)

    @property
    def shown(self) -> dict[str, Any]:
        return {
            "jobId": self.id,
            "executionNumber": self.number,
            "versionNumber": self.version,
            "status": self.status,
            "statusDetails": self.details,
            "jobDocument": self.document,
            "queuedAt": 1,
            "approximateSecondsBeforeTimedOut": self.seconds,
        }


class Cloud:
    """The jobs of ``pump-7``.

    Attributes:
        jobs: All, in the order in which they were queued.
        asked: The topics of all requests; what they said in ``requests``.
        refusals: Codes to refuse the next requests of a kind (the topic's last level) with.
        notifies_all: Whether the device subscribed to ``notify``, too.
        is_deaf: Nothing that is published arrives, and nothing comes.
    """

    def __init__(self, base: str, deliver: Callable[[str, bytes], None]) -> None:
        self.jobs: list[Job] = []
        self.asked: list[str] = []
        self.requests: list[dict[str, Any]] = []
        self.refusals: dict[str, list[str]] = {}
        self.is_deaf = False
        self.notifies_all = False
        self._base = base
        self._deliver = deliver

    def create(self, identifier: str, document: Any) -> Job:
        """Queue a job, and notify."""
        job = Job(identifier, document)
        self.jobs.append(job)
        if self._pending()[0] is job:
            self.notify()
        if self.notifies_all:
            self._send("notify", {"jobs": {"QUEUED": []}})
        return job

    def cancel(self, job: Job) -> None:
        """By force."""
        job.status = "CANCELED"
        job.version += 1
        self.notify()

    def notify(self) -> None:
        """notify-next, with what is first now."""
        pending = self._pending()
        self._send("notify-next", {"execution": pending[0].shown} if pending else {})

    def _pending(self) -> list[Job]:
        found = [job for job in self.jobs if job.status in PENDING]
        return sorted(found, key=lambda job: job.status == "QUEUED")

    def take(self, topic: str, payload: bytes) -> None:
        """A request of the device's."""
        if self.is_deaf:
            return
        path = topic.removeprefix(f"{self._base}/")
        self.asked.append(path)
        request = json.loads(payload)
        self.requests.append(request)
        name = path.rpartition("/")[2]
        if codes := self.refusals.get(name):
            self._refuse(path, request, codes.pop(0))
            return
        if path == "start-next":
            for job in self._pending()[:1]:
                if job.status == "QUEUED":
                    self._change(job, "IN_PROGRESS")
            self._accept(path, request, self._first())
        elif path == "$next/get":
            self._accept(path, request, self._first())
        elif path == "get":
            queued = [job.shown for job in self.jobs if job.status == "QUEUED"]
            under_way = [job.shown for job in self.jobs if job.status == "IN_PROGRESS"]
            self._accept(path, request, {"queuedJobs": queued, "inProgressJobs": under_way})
        else:
            found = [job for job in self.jobs if job.id == path.split("/")[0]]
            if not found:
                self._refuse(path, request, "ResourceNotFound")
            elif name == "get":
                self._accept(path, request, {"execution": found[0].shown})
            else:
                self._update(path, request, found[0])

    def _update(self, path: str, request: dict[str, Any], job: Job) -> None:
        details = request.get("statusDetails", {})
        state = {"status": job.status, "versionNumber": job.version}
        assert request["status"] in STATES
        if any(
            not 1 <= len(value) <= 1024 or not value.isprintable() for value in details.values()
        ):
            self._refuse(path, request, "InvalidRequest")
        elif job.status not in PENDING or request.get("executionNumber", job.number) != job.number:
            self._refuse(path, request, "InvalidStateTransition", executionState=state)
        elif request.get("expectedVersion", job.version) != job.version:
            self._refuse(path, request, "VersionMismatch", executionState=state)
        else:
            if details:
                job.details = details
            job.said.append((request["status"], details))
            self._change(job, request["status"])
            state = {"status": job.status, "versionNumber": job.version}
            self._accept(path, request, {"executionState": state})
            if job.status not in PENDING:
                self.notify()

    def _change(self, job: Job, status: str) -> None:
        job.status = status
        job.version += 1

    def _first(self) -> dict[str, Any]:
        pending = self._pending()
        return {"execution": pending[0].shown} if pending else {}

    def _accept(self, path: str, request: dict[str, Any], values: dict[str, Any]) -> None:
        self._send(f"{path}/accepted", {**values, "clientToken": request.get("clientToken")})

    def _refuse(self, path: str, request: dict[str, Any], code: str, **more: Any) -> None:
        values = {"code": code, "clientToken": request.get("clientToken"), **more}
        self._send(f"{path}/rejected", values)

    def _send(self, path: str, values: dict[str, Any]) -> None:
        if not self.is_deaf:
            self._deliver(f"{self._base}/{path}", json.dumps(values).encode())


def managed(name: str, handler: str, *args: str, **more: Any) -> dict[str, Any]:
    """A document as AWS's managed templates have it."""
    return {"version": "1.0", "steps": list(steps((name, handler, args)))} | more


def steps(*given: tuple[str, str, tuple[str, ...]], **more: Any) -> Iterator[dict[str, Any]]:
    """Steps of type runHandler."""
    for name, handler, args in given:
        values: dict[str, Any] = {"handler": handler, "path": "default"}
        if args:
            values["args"] = list(args)
        yield {
            "action": {"name": name, "type": "runHandler", "input": values, "runAsUser": ""} | more
        }
