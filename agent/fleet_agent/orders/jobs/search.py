"""Finds the next job: the one that AWS names, or, where other programs take jobs, too, the first that is ours."""

from collections.abc import Callable
from typing import Any

from fleet_agent.orders.jobs.client import JobsClient
from fleet_agent.orders.jobs.execution import IN_PROGRESS, QUEUED, Execution, execution, listed
from fleet_agent.orders.jobs.progress import Progress

LOOKED_AT = 50  # jobs of a list, at most

Found = Callable[[Execution | None], None]


class Search:
    """Looks for the next job.

    Args:
        client: Asks AWS.
        is_ours: Whether a job is for this agent.
        starts: Whether all jobs are ours, so that AWS may start the next one as it names it.
        lists: Whether to look past a job that is not ours.
    """

    def __init__(
        self,
        client: JobsClient,
        is_ours: Callable[[Execution], bool],
        *,
        starts: bool,
        lists: bool,
    ) -> None:
        self._client = client
        self._is_ours = is_ours
        self._starts = starts
        self._lists = lists

    def next(self, current: Progress | None, found: Found) -> None:
        """Looks for it, and gives it to ``found``; None when there is none.

        Args:
            current: The one that is begun: it is looked for before others.
            found: Is given it.
        """
        if self._starts:
            self._client.ask("start-next", dict, lambda _, values: found(_execution(values)))
        elif current is not None:
            self._describe(current.job, lambda execution: self._current(current, execution, found))
        else:
            self._describe("$next", lambda execution: self._first(execution, found))

    def _current(self, current: Progress, execution: Execution | None, found: Found) -> None:
        if execution is not None and current.is_of(execution) and execution.status == IN_PROGRESS:
            found(execution)
        else:
            self._describe("$next", lambda other: self._first(other, found))

    def _first(self, execution: Execution | None, found: Found) -> None:
        if execution is None or self._is_ours(execution) or not self._lists:
            found(execution if execution is not None and self._is_ours(execution) else None)
            return
        self._client.ask(
            "get", dict, lambda _, values: self._look(listed(values)[:LOOKED_AT], found)
        )

    def _look(self, jobs: list[str], found: Found) -> None:
        """Looks at one after the other."""
        if not jobs:
            found(None)
            return

        def seen(execution: Execution | None) -> None:
            if (
                execution is not None
                and execution.status in (QUEUED, IN_PROGRESS)
                and self._is_ours(execution)
            ):
                found(execution)
            else:
                self._look(jobs[1:], found)

        self._describe(jobs[0], seen)

    def _describe(self, job: str, seen: Callable[[Execution | None], None]) -> None:
        self._client.ask(
            f"{job}/get",
            lambda: {"includeJobDocument": True},
            lambda _, values: seen(_execution(values)),
        )


def _execution(values: dict[str, Any]) -> Execution | None:
    return execution(values.get("execution"))
