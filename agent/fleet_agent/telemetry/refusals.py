"""Problems of publishing: topics that AWS refuses, and a disk that takes no readings."""

from fleet_agent.errors import AgentError
from fleet_agent.health import table
from fleet_agent.health.problems import ProblemKind
from fleet_agent.health.status import Health


class Refusals:
    """Receives them from the publisher; ``health`` shows one of each kind until all are resolved."""

    def __init__(self, health: Health) -> None:
        self._health = health
        self._topics: dict[str, AgentError] = {}

    def topic(self, topic: str, error: AgentError | None) -> None:
        """Reports that AWS refuses messages on this topic, or (None) accepts them again."""
        if error:
            self._topics.setdefault(topic, error)
            self._show(table.PUBLISH_REFUSED, self._topics[next(iter(self._topics))])
        elif self._topics.pop(topic, None):
            self._show(table.PUBLISH_REFUSED, next(iter(self._topics.values()), None))

    def disk(self, error: AgentError | None) -> None:
        """Reports that the disk takes no readings, or (None) does again."""
        self._show(table.QUEUE_UNUSABLE, error)

    def _show(self, kind: ProblemKind, error: AgentError | None) -> None:
        if error is None:
            self._health.clear(kind)
        else:
            self._health.warn(kind.problem(error.title, error.remedy))
