"""Carries out the jobs of this thing, one after the other.

AWS keeps the queue. The steps that have ended are on disk before the next one begins, and so is the job's end until
AWS has confirmed it: after any interruption of the agent, the connection or the device, a job goes on where it was. A
job that AWS has ended meanwhile (canceled, timed out, deleted) is ended here, too.
"""

import dataclasses
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fleet_agent.config.orders import Jobs as Settings
from fleet_agent.orders.jobs import document, execution, progress, report
from fleet_agent.orders.jobs.client import JobsClient
from fleet_agent.orders.jobs.context import JobsContext
from fleet_agent.orders.jobs.document import Plan, Step, UnfitError
from fleet_agent.orders.jobs.execution import (
    FAILED,
    IN_PROGRESS,
    QUEUED,
    REJECTED,
    SUCCEEDED,
    Execution,
)
from fleet_agent.orders.jobs.operation import Operation
from fleet_agent.orders.jobs.progress import Progress, ProgressFile
from fleet_agent.orders.jobs.search import Search
from fleet_agent.orders.jobs.updates import Updates
from fleet_agent.orders.order import JOB, Arrived, Bound, Order, bound
from fleet_agent.orders.outcome import STOPPED, Outcome, failure
from fleet_agent.orders.router import Receipt
from fleet_agent.printable import printable

_log = logging.getLogger(__name__)

# Seconds until AWS is asked without a notice: a policy that keeps notices from arriving shows nowhere else.
LOOK_EVERY = 6 * 3600.0


class Jobs:
    """The jobs of this thing.

    Args:
        settings: Which handler does what.
        operations: Those that the agent carries out itself.
        context: What it works with.
    """

    def __init__(
        self, settings: Settings, operations: Sequence[Operation], context: JobsContext
    ) -> None:
        self._settings = settings
        self._operations = {operation.name: operation for operation in operations}
        self._context = context
        self._base = f"$aws/things/{context.thing}/jobs"
        self._client = JobsClient(self._base, context.send, context.clock)
        self._updates = Updates(self._client)
        self._search = Search(
            self._client,
            self._is_ours,
            starts=settings.enabled and not settings.leave,
            lists=settings.enabled,
        )
        self._file = ProgressFile(context.path, context.not_kept)
        self._progress = self._file.read()
        self._plan: Plan | None = None
        self._execution: Execution | None = None
        self._bound: Bound | None = None
        self._is_searching = False
        self._look_at = math.inf
        self._receipt = Receipt.TAKEN

    # What the router asks for -----------------------------------------------------------------------------------------

    @property
    def due(self) -> float:
        """When ``act`` is to be called (monotonic seconds)."""
        return min(self._client.due, self._look_at)

    def act(self) -> None:
        """No answer came, or no notice for long."""
        self._client.act()
        if self._context.clock.monotonic() >= self._look_at:
            self._look_again()

    def connected(self) -> None:
        """Looks for jobs on a new connection: notifications may have been missed."""
        self._client.connected()
        self._is_searching = False
        self._updates.version = None
        self._look()
        self._look_later()

    def disconnected(self) -> None:
        """Handles the end of the connection: steps continue, but answers do not arrive any more."""
        self._client.disconnected()
        self._is_searching = False
        self._look_at = math.inf

    def granted(self) -> None:
        """Looks for jobs once a refused topic filter is granted: notifications or answers may have been missed."""
        self._client.ask_again()
        self._look_again()

    def take(self, message: Arrived) -> Receipt:
        """Takes a message, if it is one of these."""
        if not message.topic.startswith(f"{self._base}/"):
            return Receipt.NOT_OURS
        message.acknowledge()
        self._receipt = Receipt.TAKEN
        path = message.topic.removeprefix(f"{self._base}/")
        if path in ("notify", "notify-next"):
            self._look_later()
            self._noticed(path, message.payload)
        else:
            self._client.take(path, message.payload)
        return self._receipt

    # Which job --------------------------------------------------------------------------------------------------------

    def _is_ours(self, found: Execution) -> bool:
        if self._operation(found) is not None:
            return True
        is_left = document.leaves(found.document, self._settings.leave)
        return self._settings.enabled and not is_left

    def _operation(self, found: Execution) -> Operation | None:
        name = (found.document or {}).get("operation")
        return self._operations.get(name) if isinstance(name, str) else None

    def _noticed(self, path: str, payload: bytes) -> None:
        """Asks for the queue after a notification, which may be outdated."""
        current = self._progress
        if current is None:
            self._look()
        elif current.end is None:
            found = execution.noticed(payload)
            if path == "notify" or found is None or not current.is_of(found):
                self._check(current)

    def _look_later(self) -> None:
        self._look_at = self._context.clock.monotonic() + LOOK_EVERY

    def _look_again(self) -> None:
        """Looks again, as after a notification."""
        self._look_later()
        self._noticed("notify", b"")

    def _look(self) -> None:
        if self._progress is not None and self._progress.end is not None:
            self._report_end()
        elif not self._is_searching:
            self._is_searching = True
            self._search.next(self._progress, self._found)

    def _found(self, found: Execution | None) -> None:
        self._is_searching = False
        if self._progress is not None and (found is None or not self._progress.is_of(found)):
            self._give_up()
        self._execution = found
        if found is None:
            return
        self._updates.version = found.version
        self._bound = bound(found.seconds, self._context.clock)
        if self._progress is not None:
            self._go_on(found)
        elif (operation := self._operation(found)) is not None:
            self._do_ourselves(found, operation)
        else:
            self._begin(found)

    def _check(self, current: Progress) -> None:
        """Whether the job at hand is still wanted."""

        def answered(_is_good: bool, values: dict[str, Any]) -> None:
            found = execution.execution(values.get("execution"))
            if self._progress is None or self._progress.job != current.job:
                return
            if found is None or found.number != current.number or found.status != IN_PROGRESS:
                self._is_over()

        path = f"{current.job}/get"
        # One that is still to be asked answers for all notices until then.
        if not self._client.is_to_ask(path):
            self._client.ask(path, lambda: {"includeJobDocument": False}, answered)

    # From the first step to the last ----------------------------------------------------------------------------------

    def _begin(self, found: Execution) -> None:
        _log.info("the job %s is accepted", found.job)
        self._progress = Progress(job=found.job, number=found.number)
        try:
            self._plan = self._planned(found)
        except UnfitError as error:
            self._end(REJECTED, {"reason": str(error)})
            return
        self._file.write(self._progress)
        if found.status == QUEUED:
            self._update({}, self._next_step)
        else:
            self._next_step()

    def _go_on(self, found: Execution) -> None:
        """Goes on with the job under way; its document is fresh, so that presigned addresses in it are still valid."""
        try:
            self._plan = self._planned(found)
        except UnfitError as error:
            self._end(FAILED, {"reason": str(error)})
            return
        self._next_step()

    def _planned(self, found: Execution) -> Plan:
        plan = document.plan(found.document, self._settings, self._context.facts)
        for step in plan.steps:
            self._context.handler(step)
        return plan

    def _next_step(self) -> None:
        current, plan = self._progress, self._plan
        if current is None or plan is None or current.end is not None:
            return
        if report.is_over(current, plan):
            status, details = report.end(current, plan)
            self._end(status, details)
            return
        index = len(current.steps)
        step = plan.steps[index]
        handler = self._context.handler(step)
        if handler.knows(current.identity) and not handler.has(current.identity):
            self._ended(failure(STOPPED, "its outcome is no longer known", was_begun=True))
            return
        if not handler.has(current.identity):
            # Beyond its own limit nothing runs; AWS, too, is to give it up then, should the device be gone.
            minutes = math.ceil(handler.limits.seconds / 60) + 1
            details = {"step": report.position(plan, index)}
            self._update(details, _nothing, stepTimeoutInMinutes=minutes)
            handler.take(self._order(current, step), _nothing)

    def _order(self, current: Progress, step: Step) -> Order:
        return Order(
            topic=f"{self._base}/{current.job}",
            payload=step.payload,
            content_type="application/json",
            identity=current.identity,
            origin=JOB,
            arguments=step.arguments,
            bound=self._bound,
        )

    def report(
        self, _handler: str, order: Order, outcome: Outcome, forget: Callable[[], None]
    ) -> None:
        """Takes the outcome of a step (``handler_context.Reporter``)."""
        current = self._progress
        if current is not None and current.end is None and order.identity == current.identity:
            self._ended(outcome, forget)
        else:
            forget()

    def _ended(self, outcome: Outcome, forget: Callable[[], None] | None = None) -> None:
        if self._progress is None:
            return
        steps = (*self._progress.steps, progress.done(outcome))
        self._progress = dataclasses.replace(self._progress, steps=steps)
        self._file.write(self._progress)
        if forget is not None:
            forget()
        self._next_step()

    # What the agent does itself ---------------------------------------------------------------------------------------

    def _do_ourselves(self, found: Execution, operation: Operation) -> None:
        document = found.document or {}
        if (why := operation.refusal(document)) is not None:
            self._progress = Progress(job=found.job, number=found.number)
            self._end(FAILED, {"reason": why})
            return
        if operation.is_begun(document, found.details):
            self._decide(found, operation, found.details)
            return
        _log.info("the job %s orders: %s", found.job, operation.name)
        details = operation.begin(document)
        # AWS must have them first: a job that may not be updated would be begun again after every connect.
        self._update(details, lambda: self._decide(found, operation, details))

    def _decide(self, found: Execution, operation: Operation, details: Mapping[str, str]) -> None:
        conclusion = operation.outcome(details)
        if conclusion is None:
            operation.carry_out(found.job, details)
            self._receipt = Receipt.ROTATE
            return
        self._progress = Progress(job=found.job, number=found.number)
        self._end(SUCCEEDED if conclusion.has_succeeded else FAILED, conclusion.details)

    # What AWS hears ---------------------------------------------------------------------------------------------------

    def _update(
        self, details: Mapping[str, str], accepted: Callable[[], None], **more: object
    ) -> None:
        """Reports progress."""
        if self._execution is not None:
            self._updates.progress(self._execution, details, accepted, self._is_over, **more)

    def _is_over(self) -> None:
        self._give_up()
        self._look()

    def _end(self, status: str, details: Mapping[str, str]) -> None:
        if self._progress is None:
            return
        found = execution.details(details)
        self._progress = dataclasses.replace(self._progress, end=(status, found))
        self._file.write(self._progress)
        reason = f": {found['reason']}" if "reason" in found else ""
        _log.info("the job %s is %s%s", self._progress.job, status, printable(reason))
        self._report_end()

    def _report_end(self) -> None:
        if self._progress is not None:
            self._updates.end(self._progress, self._end_is_known)

    def _end_is_known(self) -> None:
        self._drop()
        self._look()

    def _give_up(self) -> None:
        """Ends the current job, which is over in the cloud: canceled, timed out or deleted."""
        current = self._progress
        if current is None:
            return
        _log.warning(
            "the job %s has ended in the cloud: canceled, timed out or deleted", current.job
        )
        # Before it is forgotten: so a kill in between does not keep it from being ended.
        self._context.cancel(current.identity)
        self._drop()

    def _drop(self) -> None:
        self._progress = self._plan = self._execution = None
        self._file.remove()


def _nothing() -> None:
    """Does nothing."""
