"""The topics of a configuration for the credential in service; what cannot be filled in is left out, and reported."""

from collections.abc import Sequence

from fleet_agent.config.settings import Settings
from fleet_agent.config.subscriptions import Presence, Subscription
from fleet_agent.config.topics import topic_templates
from fleet_agent.credentials.model import Credential
from fleet_agent.daemon.unfilled_topics import UnfilledTopics
from fleet_agent.identity import home, own_session
from fleet_agent.orders import filters
from fleet_agent.orders.filters import Moves


class OwnTopics:
    """Fills them in; a template parameter that several of them name is asked for once.

    Args:
        settings: The configuration.
        credential: In service.
        unfilled: Reports those that cannot be filled in.
    """

    def __init__(
        self, settings: Settings, credential: Credential, unfilled: UnfilledTopics
    ) -> None:
        self._settings = settings
        self._credential = credential
        self._unfilled = unfilled
        self.values = own_session.topics(settings, credential)

    def fill(self, template: str, source: str = "") -> str | None:
        """The topic; None, and a problem, where it cannot be filled in on this device."""
        return self._unfilled.fill(self.values, template, source)

    def all(self) -> list[str]:
        """Every topic and filter of the configuration."""
        found = (
            self.fill(template, source) for template, source in topic_templates(self._settings)
        )
        return [topic for topic in found if topic is not None]

    def presence(self) -> Presence | None:
        """The presence to be announced."""
        if wanted := self._settings.connection.presence:
            self.fill(wanted.topic)
        return own_session.presence(self._settings, self.values)

    def subscriptions(self) -> Sequence[tuple[str, Subscription]]:
        """The configured subscriptions, each with its filter."""
        return [
            (topic, item)
            for item in self._settings.subscriptions
            if (topic := self.fill(item.topic)) is not None
        ]

    def order_topic(self) -> str | None:
        """Returns the topic that orders a rotation."""
        wanted = self._settings.rotation.order_topic
        return self.fill(wanted) if wanted else None

    def moves(self) -> Moves:
        """Returns the destinations of moves, and how they may be ordered."""
        wanted = self._settings.move
        topic = self.fill(wanted.order_topic) if wanted.order_topic else None
        here = [
            name
            for name in wanted.allowed
            if home.is_there(self._settings, name, self._credential)
        ]
        return Moves(names=wanted.allowed, here=here, takes_jobs=wanted.jobs, topic=topic)

    def filters(self) -> list[tuple[str, int]]:
        """Returns all topic filters to subscribe to, with their QoS."""
        return [
            *filters.wanted(
                self._settings, self._credential.client_id, self.order_topic(), self.moves()
            ),
            *((topic, item.qos) for topic, item in self.subscriptions()),
        ]
