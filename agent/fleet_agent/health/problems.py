"""What a problem is: a kind, from the table, and the words for what is wrong now."""

import enum

from fleet_agent.record import record


class Severity(enum.Enum):
    """The severity of a problem; the first is the most severe."""

    ERROR = "error"  # something the device is for does not happen
    WARNING = "warning"  # it happens, and somebody should look
    NOTICE = "notice"  # good to know; the device is healthy


@record
class ProblemKind:
    """A kind of problem: a row of ``health.table``.

    Args:
        code: For scripts.
        severity: How bad it is.
        title: What is wrong, for the reference, and for the status where nothing more is known.
        remedy: What to type or change, likewise.
        clears: When it is wrong no more.
        of: What each has a problem of its own, by name, such as ``source``; None where the agent has one.
    """

    code: str
    severity: Severity
    title: str
    remedy: str
    clears: str
    of: str | None = None

    def problem(
        self, title: str | None = None, remedy: str | None = None, *, name: str | None = None
    ) -> "Problem":
        """Makes one, in its own words where the case has better ones than the table; ``name``: whose it is."""
        return Problem(
            kind=self, title=title or self.title, remedy=remedy or self.remedy, name=name
        )


@record
class Problem:
    """Something wrong now: ``title`` what it is, ``remedy`` what to type or change, ``name`` whose it is."""

    kind: ProblemKind
    title: str
    remedy: str
    name: str | None = None
