"""What is wrong now, in one table, and where others can read it.

A problem has a code, a title and a remedy, like an error, but the agent goes on. ``Health`` keeps the ones that are
true, writes ``status.json`` into the runtime directory (0644, no secret) and tells systemd.
"""

import dataclasses
import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path

from fleet_agent import clock as clocks
from fleet_agent import files, notify
from fleet_agent.clock import Clock
from fleet_agent.config.settings import STATE_DIR
from fleet_agent.errors import AgentError, StateDirectoryError

_log = logging.getLogger(__name__)

SCHEMA = 1
SERVICE_RUNTIME_DIR = Path("/run/fleet-agent")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Problem:
    """Something wrong now: ``code`` for scripts, ``title`` what it is, ``remedy`` what to type or change."""

    code: str
    title: str
    remedy: str


@dataclasses.dataclass(kw_only=True)
class Traffic:
    """What went over the session since the agent started; but what was dropped counts since the queue was made.

    ``dropped`` says why, by cause; ``oldest_waiting`` is the time of the oldest reading in the queue; ``sources`` the
    last error, and when, of each source that ever had one, and what was dropped of it, by cause.
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
    answers_dropped: int = 0
    handlers: Mapping[str, Mapping[str, object]] = dataclasses.field(default_factory=dict)
    sources: dict[str, dict[str, object]] = dataclasses.field(default_factory=dict)


def runtime_dir(state_dir: Path, given: str | None) -> Path:
    """Where status and identity are shown: given, ``$RUNTIME_DIRECTORY``, the service's own, or the state's ``run``."""
    if given is not None:
        return Path(given)
    if from_unit := os.environ.get("RUNTIME_DIRECTORY"):
        return Path(from_unit.split(":")[0])
    if state_dir == Path(STATE_DIR) and SERVICE_RUNTIME_DIR.is_dir():
        return SERVICE_RUNTIME_DIR
    return state_dir / "run"


class Health:
    """The daemon's problems and what it is doing, written down whenever they change.

    Args:
        folder: The runtime directory; made when it is missing.
        clock: For the times in it.
    """

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._path = folder / "status.json"
        self.clock = clock
        self._started = clock.wall()
        self._problems: dict[str, Problem] = {}
        self._doing = "starting"
        # Something is to be shown soon that nobody looks at every moment.
        self.is_outdated = False
        self._is_untold = False  # the last status could not be written, and that was said
        self._rotation: Mapping[str, object] | None = None
        self.traffic = Traffic()
        self.certificate_id: str | None = None  # for `systemctl status`, beside the thing
        files.make_folder(folder, 0o755)

    def doing(self, words: str) -> None:
        """What goes on now, such as ``connected``."""
        self._doing = words
        self.show()

    def raise_problem(self, problem: Problem) -> bool:
        """Something is wrong; the same code again replaces what was said. Return whether that is news."""
        is_news = self._problems.get(problem.code) != problem
        if is_news:
            self._problems[problem.code] = problem
            kind, _, name = problem.code.partition("-")
            if kind == "source":
                now = clocks.text(self.clock.wall())
                source = self.traffic.sources.setdefault(name, {})
                source.update(last_error=problem.title, last_error_time=now)
            self.show()
        return is_news

    def has_problem(self, code: str) -> bool:
        """Whether a problem is told."""
        return code in self._problems

    def clear_problem(self, code: str) -> None:
        """It is not wrong any more."""
        if self._problems.pop(code, None):
            self.show()

    def clear_problems(self) -> None:
        """All is looked at anew: what is still wrong is raised again."""
        self._problems.clear()

    def tell_rotation(self, error: AgentError) -> None:
        """Replacing the credential failed; when it succeeds the agent starts afresh."""
        self._rotation = {
            "failed": clocks.text(self.clock.wall()),
            "code": error.code,
            "title": error.title,
            "remedy": error.remedy,
        }

    def show(self) -> None:
        """Write status.json and the unit's STATUS line."""
        worst = next(iter(self._problems.values()), None)
        words = f"{self._doing}: {worst.title}" if worst else self._doing
        notify.status(
            f"{words} (certificate {self.certificate_id})" if self.certificate_id else words
        )
        status = {
            "schema": SCHEMA,
            "pid": os.getpid(),
            "started": clocks.text(self._started),
            "updated": clocks.text(self.clock.wall()),
            "doing": self._doing,
            "certificate_id": self.certificate_id,
            "rotation": self._rotation,
            "problems": [dataclasses.asdict(problem) for problem in self._problems.values()],
            **dataclasses.asdict(self.traffic),
        }
        data = json.dumps(status, indent=1).encode() + b"\n"
        try:
            files.write(self._path, data, 0o644, durable=False)
        except (
            StateDirectoryError
        ) as error:  # telling is no reason to stop: a disk that is full may heal
            if not self._is_untold:
                _log.warning("%s %s", error.title, error.remedy)
            self._is_untold = True
        else:
            self._is_untold = False
