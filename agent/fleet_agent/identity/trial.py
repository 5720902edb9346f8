"""What this device publishes by its configuration, and which of it a new credential is tried with."""

from collections.abc import Iterator
from pathlib import Path

from fleet_agent.clock import Clock
from fleet_agent.config.settings import Settings
from fleet_agent.config.telemetry import (
    CommandSource,
    FileSource,
    SocketSource,
    SystemSource,
    own,
)
from fleet_agent.provisioning.proof import ProofMessage, Trial
from fleet_agent.telemetry.reading import timed
from fleet_agent.telemetry.sources import system


def sources(
    settings: Settings,
) -> Iterator[SystemSource | CommandSource | FileSource | SocketSource]:
    """The sources of readings, whatever their kind."""
    return map(own, settings.telemetry.sources)


def trial(settings: Settings, clock: Clock) -> Trial:
    """What to try a new credential with: a topic that it will use anyway, one of system readings before others."""

    def reading() -> bytes:
        return timed(clock.wall(), system.read(Path(settings.state_dir)))

    found = sorted(sources(settings), key=lambda source: not isinstance(source, SystemSource))
    messages = [
        ProofMessage(
            topic=source.topic or settings.telemetry.topic, source=source.name, payload=reading
        )
        for source in found
    ]
    if presence := settings.connection.presence:
        # The message that is retained there already; the owner of the session publishes that it is online.
        payload = presence.offline.encode()
        messages.append(
            ProofMessage(topic=presence.topic, payload=lambda: payload, retain=presence.retain)
        )
    subscription = settings.subscriptions[0].topic if settings.subscriptions else None
    return Trial(messages=messages, subscription=subscription)


def topics(settings: Settings) -> list[tuple[str, str]]:
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
