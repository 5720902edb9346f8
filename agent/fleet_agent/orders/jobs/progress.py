"""How far a job has come, in a file: which steps have ended and how, and its end until AWS has it."""

import dataclasses
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fleet_agent import files
from fleet_agent.errors import StateDirectoryError
from fleet_agent.orders.jobs.execution import DETAIL, Execution
from fleet_agent.orders.outcome import Outcome, Result
from fleet_agent.record import record

_log = logging.getLogger(__name__)

NAME = "job.json"
# Bytes: a hundred steps, each with two tails, of characters that take twelve bytes each.
_LARGEST = 4 * 1024 * 1024


@record
class Done:
    """A step that has ended; texts are tails."""

    result: Result
    status: int
    reason: str = ""
    stdout: str = ""
    stderr: str = ""


@record
class Progress:
    """One job; ``end``: the status and the details that AWS is to have, once there is nothing left to do."""

    job: str
    number: int
    steps: tuple[Done, ...] = ()
    end: tuple[str, dict[str, str]] | None = None

    def is_of(self, found: Execution) -> bool:
        """Whether it is of that execution: a job that is tried again has another number."""
        return (self.job, self.number) == (found.job, found.number)

    @property
    def identity(self) -> str:
        """The identity of the next step's order."""
        return f"job:{self.job}:{self.number}:{len(self.steps)}"


def done(outcome: Outcome) -> Done:
    """Returns the part of a step's outcome that is stored."""
    return Done(
        result=outcome.result,
        status=outcome.status,
        reason=outcome.reason,
        stdout=_tail(outcome.packet if outcome.stdout is None else outcome.stdout),
        stderr=_tail(outcome.stderr),
    )


def to_bytes(progress: Progress) -> bytes:
    """Serialises it for the file."""
    values = dataclasses.asdict(progress)
    for step in values["steps"]:
        step["result"] = step["result"].value
    return json.dumps(values).encode()


def from_bytes(data: bytes) -> Progress:
    """Reads it back.

    Raises:
        ValueError: It is not what ``to_bytes`` wrote.
    """
    try:
        values: dict[str, Any] = json.loads(data)
        steps = tuple(
            Done(**step | {"result": Result(step["result"])}) for step in values["steps"]
        )
        end = values["end"]
        return Progress(**values | {"steps": steps, "end": end and (str(end[0]), dict(end[1]))})
    except (LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(str(error)) from error


class ProgressFile:
    """The file that keeps the progress of the job under way.

    Args:
        path: Where.
        not_kept: Reports that the disk takes no writes.
    """

    def __init__(self, path: Path, not_kept: Callable[[StateDirectoryError], None]) -> None:
        self._path = path
        self._not_kept = not_kept

    def read(self) -> Progress | None:
        """Reads the file; None if there is none, or it is damaged, which is logged."""
        try:
            data = files.read(self._path, _LARGEST)
            return None if data is None else from_bytes(data)
        except (StateDirectoryError, ValueError) as error:
            _log.warning("the progress of a job was lost: %s: %s", self._path, error)
            return None

    def write(self, progress: Progress) -> None:
        """Keeps the progress on disk."""
        try:
            files.make_folder(self._path.parent)
            files.write(self._path, to_bytes(progress), 0o600)
        except StateDirectoryError as error:
            self._not_kept(error)

    def remove(self) -> None:
        """Removes the file."""
        try:
            files.remove(self._path)
        except StateDirectoryError as error:
            self._not_kept(error)


def _tail(data: bytes | None) -> str:
    # Lines are joined by bars later, which makes it longer.
    return (data or b"").decode(errors="replace")[-DETAIL:]
