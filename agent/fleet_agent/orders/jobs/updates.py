"""Reports on the job under way: its progress, and its end until AWS has taken it.

Each report names the version of the execution that it updates, so that one that crossed with a change is noticed.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Any

from fleet_agent.orders.jobs import execution
from fleet_agent.orders.jobs.client import JobsClient
from fleet_agent.orders.jobs.execution import IN_PROGRESS, QUEUED, Execution
from fleet_agent.orders.jobs.progress import Progress

_log = logging.getLogger(__name__)

_OVER = ("InvalidStateTransition", "TerminalStateReached", "ResourceNotFound")
_TRIES = 3  # of a report that crossed with a change; the answer has the new version


class Updates:
    """Reports on the executions of one thing.

    Args:
        client: Asks AWS IoT Jobs.

    Attributes:
        version: Of the execution at hand, where it is known.
    """

    def __init__(self, client: JobsClient) -> None:
        self._client = client
        self.version: int | None = None

    def progress(
        self,
        found: Execution,
        details: Mapping[str, str],
        accepted: Callable[[], None],
        over: Callable[[], None],
        **more: object,
    ) -> None:
        """Reports that it is under way.

        Args:
            found: The execution.
            details: What there is to say of it.
            accepted: Called when AWS has it.
            over: Called when the execution is over in the cloud.
            more: Members of the request.
        """

        def answered(is_good: bool, values: dict[str, Any]) -> None:
            status, version = execution.state(values)
            self.version = version or (self.version + 1 if self.version and is_good else None)
            if is_good:
                accepted()
            elif values.get("code") in _OVER or (status and status not in (QUEUED, IN_PROGRESS)):
                over()
            elif values.get("code") == "VersionMismatch" and next(tries, None):
                ask()

        def ask() -> None:
            self._client.ask(
                f"{found.job}/update",
                lambda: self._request(found.number, IN_PROGRESS, details, more),
                answered,
            )

        tries = iter(range(_TRIES, 0, -1))
        ask()

    def end(self, current: Progress, known: Callable[[], None]) -> None:
        """Reports its end; ``known`` is called when AWS has one, this or another."""
        if current.end is not None:
            self._end(current, *current.end, known)

    def _end(
        self, current: Progress, status: str, details: Mapping[str, str], known: Callable[[], None]
    ) -> None:
        def answered(is_good: bool, values: dict[str, Any]) -> None:
            state, version = execution.state(values)
            code = values.get("code")
            if code == "VersionMismatch" and state in (QUEUED, IN_PROGRESS):
                self.version = version
                self._end(current, status, details, known)
            elif code == "InvalidRequest" and details:
                self._end(current, status, {}, known)
            else:
                if not is_good:
                    _log.warning("the job %s had already ended in the cloud", current.job)
                known()

        self._client.ask(
            f"{current.job}/update",
            lambda: self._request(current.number, status, details, {}),
            answered,
        )

    def _request(
        self, number: int, status: str, details: Mapping[str, str], more: Mapping[str, object]
    ) -> dict[str, object]:
        said: dict[str, object] = {
            "status": status,
            "executionNumber": number,
            "includeJobExecutionState": True,
            **more,
        }
        if found := execution.details(details):
            said["statusDetails"] = found
        if self.version is not None:
            said["expectedVersion"] = self.version
        return said
