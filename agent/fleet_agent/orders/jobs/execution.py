"""What AWS IoT Jobs says of one job on this device, and what it takes as details of it. Pure."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any, TypeGuard

from fleet_agent import foreign
from fleet_agent.record import record

# AWS IoT's own rule for the id of a job.
_JOB = re.compile(r"[0-9A-Za-z_-]{1,64}")
_KEY = re.compile(r"[0-9A-Za-z:_-]{1,128}")
_MOST = 1 << 53  # of a number: with what is larger nothing can be reckoned
DETAIL = 1024  # characters of a statusDetails value that AWS takes

QUEUED, IN_PROGRESS = "QUEUED", "IN_PROGRESS"
SUCCEEDED, FAILED, REJECTED = "SUCCEEDED", "FAILED", "REJECTED"


@record
class Execution:
    """One job on this device; ``document`` is None if it is not a JSON object; ``seconds``: until AWS gives it up."""

    job: str
    number: int
    version: int | None
    status: str
    details: Mapping[str, str] = dataclasses.field(default_factory=dict)
    document: Mapping[str, Any] | None = None
    seconds: float | None = None


def execution(values: object) -> Execution | None:
    """Reads the ``execution`` of an answer or a notice; None where there is none that can be read."""
    if not isinstance(values, dict):
        return None
    job = values.get("jobId")
    if not _is_job(job):
        return None
    document, details = values.get("jobDocument"), values.get("statusDetails")
    return Execution(
        job=job,
        number=_whole(values.get("executionNumber")) or 1,
        version=_whole(values.get("versionNumber")),
        status=str(values.get("status")),
        details={
            str(name): str(value)
            for name, value in (details if isinstance(details, dict) else {}).items()
        },
        document=document if isinstance(document, dict) else None,
        seconds=_whole(values.get("approximateSecondsBeforeTimedOut")),
    )


def noticed(payload: bytes) -> Execution | None:
    """The job that a notice is about; None where it is about none, or cannot be read."""
    values = foreign.read_object(payload) or {}
    return execution(values.get("execution"))


def listed(values: Mapping[str, Any]) -> list[str]:
    """The ids of the jobs of an answer to ``get``: those in progress, then the queued ones, as they were queued."""
    found: list[tuple[int, str]] = []
    for name in ("inProgressJobs", "queuedJobs"):
        entries = values.get(name)
        part = [
            (_whole(entry.get("queuedAt")) or 0, entry["jobId"])
            for entry in (entries if isinstance(entries, list) else [])
            if isinstance(entry, dict) and _is_job(entry.get("jobId"))
        ]
        found += sorted(part, key=lambda entry: entry[0])
    return [job for _, job in found]


def state(values: Mapping[str, Any]) -> tuple[str, int | None]:
    """Status and version by the ``executionState`` of an answer; nothing where it has none."""
    found = values.get("executionState")
    if not isinstance(found, dict):
        return "", None
    return str(found.get("status")), _whole(found.get("versionNumber"))


def details(values: Mapping[str, str]) -> dict[str, str]:
    """Makes details acceptable to AWS: no control characters, 1 to 1024 characters a value, the end of a longer one."""
    found = {name: clean(value) for name, value in values.items() if _KEY.fullmatch(name)}
    return {name: value for name, value in found.items() if value}


def clean(text: str, most: int = DETAIL) -> str:
    """A text on one line, without what AWS refuses: lines are joined by bars."""
    lines = (line.strip() for line in text.splitlines())
    joined = " | ".join(line for line in lines if line)
    return "".join(character if character.isprintable() else " " for character in joined)[
        -most:
    ].strip()


def _is_job(value: object) -> TypeGuard[str]:
    """Whether it can be the id of a job: it becomes part of a topic."""
    return isinstance(value, str) and _JOB.fullmatch(value) is not None


def _whole(value: object) -> int | None:
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if abs(value) <= _MOST else None
