"""Configured topics that cannot be filled in on this device: what needs them is out of service.

An unusable value in the device configuration, or an unknown placeholder, does not end the agent: the rest goes on.
"""

import logging

from fleet_agent.errors import DeviceError
from fleet_agent.health import table
from fleet_agent.health.status import Health
from fleet_agent.process import log
from fleet_agent.process.log import Moment
from fleet_agent.topics.names import Topics

_log = logging.getLogger(__name__)


class UnfilledTopics:
    """Fills topics in, and reports those that cannot be in one problem.

    Args:
        health: Where the problem is reported.
    """

    def __init__(self, health: Health) -> None:
        self._health = health
        self._found: dict[tuple[str, str], DeviceError] = {}

    def fill(self, topics: Topics, template: str, source: str = "") -> str | None:
        """The topic or filter, filled in; None where it cannot be, which is reported."""
        try:
            topic = topics.fill(template, source)
        except DeviceError as error:
            if (template, source) not in self._found:
                _log.warning(
                    "%s Whatever needs it is out of service. %s",
                    error.title,
                    error.remedy,
                    extra=log.fields(Moment.PROBLEM, problem=table.TOPIC_IMPOSSIBLE.code),
                )
            self._found[template, source] = error
            topic = None
        else:
            self._found.pop((template, source), None)
        self._show()
        return topic

    def _show(self) -> None:
        if not self._found:
            self._health.clear(table.TOPIC_IMPOSSIBLE)
            return
        first, *others = self._found.values()
        more = "".join(f" {error.title}" for error in others[:3])
        if len(others) > 3:  # noqa: PLR2004 - as many as a person reads
            more += f" The same applies to {len(others) - 3} more."
        title = f"{first.title}{more} Whatever needs such a topic is out of service."
        self._health.report(table.TOPIC_IMPOSSIBLE.problem(title, first.remedy))
