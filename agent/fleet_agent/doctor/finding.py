"""What a check found, as a value. Pure."""

import dataclasses
import enum
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from fleet_agent.errors import AgentError, ConfigurationError
from fleet_agent.record import record


class Level(enum.Enum):
    """The severity of a finding: only ``FAILED`` makes the exit status 1."""

    OK = "ok"
    NOTE = "note"  # not checked, and why
    WARNING = "warning"
    FAILED = "failed"
    FIXED = "fixed"  # was wrong, --fix corrected it


@record
class Fix:
    """A correction by ``--fix`` of one file or folder.

    Args:
        base: A folder; as root, a link on the path to it is followed only if none but root can have made it.
        name: Below it, ``.`` for itself; no link in it is followed.
        mode: Permission bits to set, None to leave them.
        owner: User and group id to set, -1 to leave one of them; None to leave both.
    """

    base: Path
    name: str
    mode: int | None = None
    owner: tuple[int, int] | None = None


@record
class Finding:
    """One thing that was checked.

    Args:
        check: Its subject, such as ``claim``.
        level: How bad it is.
        code: Stable slug for scripts; ``ok`` when nothing is wrong.
        title: One sentence.
        where: The file or topic; empty when there is none.
        remedy: What to type or change; empty when nothing is wrong.
        statement: The policy statement that is missing.
        fix: What ``--fix`` does about it.
    """

    check: str
    level: Level
    code: str
    title: str
    where: str = ""
    remedy: str = ""
    statement: Mapping[str, str] | None = None
    fix: Fix | None = None


Findings = Iterator[Finding]


@dataclasses.dataclass(frozen=True)
class Subject:
    """Makes findings of one check: ``claim.failed("claim-expired", …)``."""

    check: str

    def ok(self, title: str, where: object = "") -> Finding:
        """Returns a finding for what is right."""
        return Finding(check=self.check, level=Level.OK, code="ok", title=title, where=str(where))

    def note(self, code: str, title: str, where: object = "", remedy: str = "") -> Finding:
        """Returns a finding for what was not checked, or is worth mentioning."""
        return self._finding(Level.NOTE, code, title, where, remedy)

    def warning(
        self, code: str, title: str, where: object, remedy: str, fix: Fix | None = None
    ) -> Finding:
        """Returns a finding for what works, but needs attention."""
        return self._finding(Level.WARNING, code, title, where, remedy, fix)

    def failed(
        self, code: str, title: str, where: object, remedy: str, fix: Fix | None = None
    ) -> Finding:
        """Returns a finding for what does not work, or is not safe."""
        return self._finding(Level.FAILED, code, title, where, remedy, fix)

    def error(
        self, error: AgentError, where: object = "", level: Level = Level.FAILED
    ) -> Findings:
        """Returns findings for an error that would stop the agent; for a wrong configuration one for each line."""
        problems = error.problems if isinstance(error, ConfigurationError) else ()
        for title in problems or (error.title,):
            yield self._finding(level, error.code, title, where, error.remedy)

    def _finding(
        self,
        level: Level,
        code: str,
        title: str,
        where: object,
        remedy: str,
        fix: Fix | None = None,
    ) -> Finding:
        return Finding(
            check=self.check,
            level=level,
            code=code,
            title=title,
            where=str(where),
            remedy=remedy,
            fix=fix,
        )


def guarded(subject: Subject, where: object, check: Callable[[], Findings]) -> Findings:
    """Runs a check; its errors become findings."""
    try:
        yield from check()
    except AgentError as error:
        yield from subject.error(error, where)
    except OSError as error:
        yield subject.failed(
            "not-readable",
            f"{error.filename or where} cannot be checked: {error.strerror or error}.",
            where,
            "Run as root (sudo fleet-agent doctor), or check its owner and mode.",
        )
