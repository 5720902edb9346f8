"""The current problems, and the status file that shows them.

``Health`` keeps the problems that are true, writes ``status.json`` into the runtime directory (0644, no secret) and
the unit's STATUS line: the worst of them.
"""

import contextlib
import dataclasses
import json
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from fleet_agent import clock as clocks
from fleet_agent import files
from fleet_agent.clock import Clock
from fleet_agent.errors import AgentError, StateDirectoryError
from fleet_agent.health import status_file
from fleet_agent.health.problems import Problem, ProblemKind, Severity
from fleet_agent.process import log, notify
from fleet_agent.process.log import Moment
from fleet_agent.record import mutable, record

_log = logging.getLogger(__name__)

SCHEMA = 1


_ORDER = list(Severity)


@record
class _Active:
    """A problem that holds now, and since when (Unix seconds); new words for it do not make it a new one."""

    problem: Problem
    since: float


@mutable
class Traffic:
    """The figures since the agent started; what was dropped is counted since the queue was first made.

    ``messages_unmatched`` match no subscription. ``orders``: the last ones, with outcome and time.
    ``dropped`` is by cause; ``oldest_waiting`` is the time of the oldest reading in the queue; ``sources`` the
    last error, and when, of each source that ever had one, and what was dropped of it, by cause; ``credentials`` until
    when those of each role alias are good, and its last error.
    """

    readings_stored: int = 0
    readings_acknowledged: int = 0
    readings_waiting: int = 0
    readings_dropped: int = 0
    readings_not_stored: int = 0
    readings_stored_per_second: float = 0.0
    readings_acknowledged_per_second: float = 0.0
    bytes_waiting: int = 0
    oldest_waiting: str | None = None
    dropped: Mapping[str, int] = dataclasses.field(default_factory=dict)
    messages_published: int = 0
    messages_received: int = 0
    messages_unmatched: int = 0
    answers_dropped: int = 0
    handlers: Mapping[str, Mapping[str, object]] = dataclasses.field(default_factory=dict)
    orders: Sequence[Mapping[str, object]] = ()
    sources: dict[str, dict[str, object]] = dataclasses.field(default_factory=dict)
    credentials: dict[str, dict[str, object]] = dataclasses.field(default_factory=dict)


class Health:
    """The daemon's problems and what it is doing, written down whenever they change.

    Args:
        folder: The runtime directory; made when it is missing.
        clock: For the times in it.
    """

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._path = folder / status_file.NAME
        self.clock = clock
        self._started = clock.wall()
        self._problems: dict[tuple[str, str | None], _Active] = {}
        self._activity = "starting"
        self._is_connected = False
        # Something is to be shown soon; it is not looked at all the time.
        self.is_outdated = False
        self._is_write_failing = False
        # Of identity.json: what is to be in it, and whether that was written.
        self._identity = b""
        self._is_identity_written = False
        self._rotation: Mapping[str, object] | None = None
        self.traffic = Traffic()
        # For `systemctl status`, beside the thing.
        self.certificate_id: str | None = None
        files.make_folder(folder, 0o755)

    @property
    def problems(self) -> list[Problem]:
        """The current problems: the most severe first, then the oldest."""
        return [active.problem for active in self._sorted()]

    def set_activity(self, words: str, *, is_connected: bool = False) -> None:
        """Shows what the daemon is doing, and whether the device's own session is open."""
        self._activity = words
        self._is_connected = is_connected
        self.show()

    def report(self, problem: Problem) -> bool:
        """Records a problem, in these words from now on; returns whether anything of it is new."""
        key = (problem.kind.code, problem.name)
        known = self._problems.get(key)
        if known is not None and known.problem == problem:
            return False
        now = self.clock.wall()
        self._problems[key] = _Active(problem=problem, since=known.since if known else now)
        self.show()
        return True

    def warn(self, problem: Problem) -> None:
        """Records a problem, and logs it if anything of it is new."""
        if self.report(problem):
            fields = log.fields(Moment.PROBLEM, problem=problem.kind.code)
            _log.warning("%s %s", problem.title, problem.remedy, extra=fields)

    def has(self, kind: ProblemKind, name: str | None = None) -> bool:
        """Whether there is such a problem now."""
        return (kind.code, name) in self._problems

    def clear(self, kind: ProblemKind, name: str | None = None) -> None:
        """Records that the problem is gone."""
        if self._problems.pop((kind.code, name), None):
            self.show()

    def record_failed_rotation(self, error: AgentError) -> None:
        """Records that replacing the credential failed; a later success does not erase it."""
        self._rotation = {
            "failed": clocks.text(self.clock.wall()),
            "code": error.code,
            "title": error.title,
            "remedy": error.remedy,
            "status": error.exit_status,
        }

    def show(self) -> None:
        """Writes status.json and the unit's STATUS line."""
        problems = self._sorted()
        words = f"{self._activity}: {problems[0].problem.title}" if problems else self._activity
        notify.status(
            f"{words} (certificate {self.certificate_id})" if self.certificate_id else words
        )
        status = {
            "schema": SCHEMA,
            "pid": os.getpid(),
            "started": clocks.text(self._started),
            "updated": clocks.text(self.clock.wall()),
            "doing": self._activity,
            "connected": self._is_connected,
            "certificate_id": self.certificate_id,
            "rotation": self._rotation,
            "problems": [_dump(active) for active in problems],
            **dataclasses.asdict(self.traffic),
        }
        self._write(json.dumps(status, indent=1).encode() + b"\n")

    def show_identity(self, identity: Mapping[str, object]) -> None:
        """Lets other programs know who this device is: ``identity.json``, readable by all, no secret."""
        self._identity = json.dumps(identity, indent=1).encode() + b"\n"
        self._is_identity_written = False
        self.show()

    def _write(self, status: bytes) -> None:
        """Writes both files, also the identity again where somebody removed it."""
        identity = self._path.with_name(status_file.IDENTITY)
        try:
            files.make_folder(self._path.parent, 0o755, parents=False)
            if self._identity and not (self._is_identity_written and identity.exists()):
                files.write(identity, self._identity, 0o644, durable=False)
                self._is_identity_written = True
            files.write(self._path, status, 0o644, durable=False)
        except StateDirectoryError as error:
            # A full disk may heal. Until then a status that is torn for a moment is better than a stale one.
            with contextlib.suppress(StateDirectoryError):
                files.overwrite(self._path, status)
            if not self._is_write_failing:
                _log.warning("%s %s", error.title, error.remedy)
            self._is_write_failing = True
        else:
            self._is_write_failing = False

    def _sorted(self) -> list[_Active]:
        return sorted(
            self._problems.values(), key=lambda item: _ORDER.index(item.problem.kind.severity)
        )


def _dump(active: _Active) -> dict[str, str | None]:
    problem = active.problem
    return {
        "code": problem.kind.code,
        "name": problem.name,
        "severity": problem.kind.severity.value,
        "title": problem.title,
        "remedy": problem.remedy,
        "since": clocks.text(active.since),
    }
