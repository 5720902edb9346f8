"""The waits of a walk: for the clock, for its turn, and after a failure; and the cause that is shown meanwhile."""

from fleet_agent import clock
from fleet_agent.credentials.model import Attempt
from fleet_agent.errors import AgentError, RefusedError, UnreachableError
from fleet_agent.process import log
from fleet_agent.provisioning import machine
from fleet_agent.provisioning.clockwatch import ClockWatch
from fleet_agent.provisioning.dependencies import Dependencies
from fleet_agent.provisioning.model import RejectedError, Step, Verdict
from fleet_agent.provisioning.report import Milestone
from fleet_agent.session import backoff

CLOCK_POLL = 2.0  # seconds between looks at a clock that is not set yet
CLOCK_REPORT_INTERVAL = 300.0  # seconds between two lines about it


class Waits:
    """Counts the failures of the step under way, and waits as long as they ask for.

    Args:
        needs: The clock, the report, and what lets time pass.
        watch: Judges the clock.
    """

    def __init__(self, needs: Dependencies, watch: ClockWatch) -> None:
        self._needs = needs
        self._watch = watch
        self._failures = 0
        self._refused_since: float | None = None  # monotonic seconds
        self._cause: AgentError | None = None
        self._is_clock_reported = False

    def over(self) -> None:
        """Ends the wait: the step is done."""
        self._failures = 0
        self._refused_since = None
        self._cause = None
        log.about(problem=None)

    def for_clock(self) -> None:
        """Waits until the clock can be believed: certificates cannot be judged before, on either side."""
        report_at = self._needs.clock.monotonic()
        while self._watch.seconds_left() > 0:
            error = self._watch.error()
            self._record(error)
            if self._needs.clock.monotonic() >= report_at:
                self._needs.report.waiting(error.title, CLOCK_POLL)
                report_at = self._needs.clock.monotonic() + CLOCK_REPORT_INTERVAL
            self._needs.sleep(CLOCK_POLL)
        if not self._is_clock_reported:
            self._is_clock_reported = True
            self._needs.report.step(Milestone.CLOCK, clock.text(self._needs.clock.wall()))

    def for_turn(self, attempt: Attempt) -> None:
        """Waits until the attempt's "not before" is past, which an earlier run may have set."""
        left = machine.seconds_left(attempt, self._needs.clock.wall())
        if left > 0:
            self._needs.report.waiting("the last try was a moment ago", left)
            self._needs.sleep(left)

    def refused_for(self, failure: RejectedError | AgentError) -> float:
        """Seconds since the step under way was refused for the first time, perhaps by this failure."""
        now = self._needs.clock.monotonic()
        if self._refused_since is None and isinstance(failure, RefusedError):
            self._refused_since = now
        return 0.0 if self._refused_since is None else now - self._refused_since

    def after(self, verdict: Verdict) -> None:
        """Waits as the verdict says.

        Raises:
            AgentError: The verdict's, if waiting cannot help here.
        """
        patience = verdict.patience
        if patience is None:
            raise verdict.error
        if patience.needs_person and not self._needs.outlasts_refusal:
            raise verdict.error
        self._failures += 1
        self._record(verdict.error)
        seconds = backoff.delay(patience, self._failures, self._needs.jitter())
        problem = verdict.error if patience.needs_person else None
        self._needs.report.waiting(verdict.error.title, seconds, problem)
        self._needs.sleep(seconds)

    def report(self, error: AgentError, seconds: float) -> None:
        """Reports why a step that goes on takes so long: once, not with every try of it."""
        if self._cause is None:
            self._needs.report.waiting(error.title, seconds)
        self._record(error)

    def out_of_time(self, step: Step) -> AgentError:
        """The error of a walk that has no time left: the last cause of a wait, if there is one."""
        error = self._cause or UnreachableError(
            "Provisioning did not finish within --timeout.",
            remedy="Allow more time (--timeout 0: no limit), and check the network.",
            code="timeout",
        )
        error.step = error.step or step.value
        return error

    def _record(self, cause: AgentError) -> None:
        """Records the cause of a wait, also for the log."""
        self._cause = cause
        log.about(problem=cause.code)
