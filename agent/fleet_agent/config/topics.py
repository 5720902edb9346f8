"""Every topic that the configuration names."""

from collections.abc import Iterator

from fleet_agent.config.readings import (
    CommandSource,
    FileSource,
    SocketSource,
    SystemSource,
    source_settings,
)
from fleet_agent.config.settings import Settings


def sources(
    settings: Settings,
) -> Iterator[SystemSource | CommandSource | FileSource | SocketSource]:
    """The sources of readings, whatever their kind."""
    return map(source_settings, settings.telemetry.sources)


def topic_templates(settings: Settings) -> list[tuple[str, str]]:
    """Every template of a topic or filter, with what ``{source}`` stands for in it."""
    found = [
        (source.topic or settings.telemetry.topic, source.name) for source in sources(settings)
    ]
    found += [(subscription.topic, "") for subscription in settings.subscriptions]
    if settings.connection.presence:
        found.append((settings.connection.presence.topic, ""))
    if settings.rotation.order_topic is not None:
        found.append((settings.rotation.order_topic, ""))
    if settings.move.order_topic is not None:
        found.append((settings.move.order_topic, ""))
    return found
