"""What cannot go up just now, as problems: topics that AWS refuses, and a disk that takes no readings."""

import logging

from fleet_agent import log
from fleet_agent.errors import AgentError
from fleet_agent.health import Health, Problem
from fleet_agent.log import Moment

_log = logging.getLogger(__name__)

PUBLISH_REFUSED = "publish-refused"
QUEUE_UNUSABLE = "queue-unusable"


class Refusals:
    """Hears of them from the publisher; ``health`` shows one of each kind, and no more once all are well again."""

    def __init__(self, health: Health) -> None:
        self._health = health
        self._topics: dict[str, AgentError] = {}

    def tell(self, topic: str, error: AgentError | None) -> None:
        """Something is refused, or (None) is not any more; an empty topic stands for the disk."""
        if not topic:
            self._show(QUEUE_UNUSABLE, error)
        elif error:
            self._topics.setdefault(topic, error)
            self._show(PUBLISH_REFUSED, self._topics[next(iter(self._topics))])
        elif self._topics.pop(topic, None):
            self._show(PUBLISH_REFUSED, next(iter(self._topics.values()), None))

    def _show(self, code: str, error: AgentError | None) -> None:
        if error is None:
            self._health.clear_problem(code)
            return
        problem = Problem(code=code, title=error.title, remedy=error.remedy)
        if self._health.raise_problem(problem):
            fields = log.fields(Moment.PROBLEM, problem=code)
            _log.warning("%s %s", error.title, error.remedy, extra=fields)
