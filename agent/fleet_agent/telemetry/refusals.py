"""What cannot go up just now, as problems: topics that AWS refuses, and a disk that takes no readings."""

import logging

from fleet_agent import log
from fleet_agent.errors import AgentError
from fleet_agent.health.status import Health, Problem
from fleet_agent.log import Moment
from fleet_agent.telemetry.verdict import PUBLISH_REFUSED

_log = logging.getLogger(__name__)

QUEUE_UNUSABLE = "queue-unusable"


class Refusals:
    """Hears of them from the publisher; ``health`` shows one of each kind, and no more once all are well again."""

    def __init__(self, health: Health) -> None:
        self._health = health
        self._topics: dict[str, AgentError] = {}

    def topic(self, topic: str, error: AgentError | None) -> None:
        """AWS does not take messages on this topic, or (None) it does again."""
        if error:
            self._topics.setdefault(topic, error)
            self._show(PUBLISH_REFUSED, self._topics[next(iter(self._topics))])
        elif self._topics.pop(topic, None):
            self._show(PUBLISH_REFUSED, next(iter(self._topics.values()), None))

    def disk(self, error: AgentError | None) -> None:
        """The disk takes no readings, or (None) it does again."""
        self._show(QUEUE_UNUSABLE, error)

    def _show(self, code: str, error: AgentError | None) -> None:
        if error is None:
            self._health.clear_problem(code)
            return
        problem = Problem(code=code, title=error.title, remedy=error.remedy)
        if self._health.raise_problem(problem):
            fields = log.fields(Moment.PROBLEM, problem=code)
            _log.warning("%s %s", error.title, error.remedy, extra=fields)
