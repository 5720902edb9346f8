"""How a new credential is proven, by the configuration."""

from pathlib import Path

from fleet_agent.clock import Clock
from fleet_agent.config.readings import SocketSource, SystemSource
from fleet_agent.config.settings import Settings
from fleet_agent.config.topics import sources
from fleet_agent.provisioning.proof import ProofMessage, Trial
from fleet_agent.telemetry.reading import timed
from fleet_agent.telemetry.sources import system
from fleet_agent.topics import filters


def trial(settings: Settings, clock: Clock) -> Trial:
    """Returns how to prove a new credential: with a topic that it will use anyway, preferably of system readings."""

    def reading() -> bytes:
        return timed(clock.wall(), system.read(Path(settings.state_dir)))

    found = sorted(sources(settings), key=lambda source: not isinstance(source, SystemSource))
    topics = [(source, source.topic or settings.telemetry.topic) for source in found]
    messages = [
        ProofMessage(topic=topic, source=source.name, payload=reading)
        for source, topic in topics
        if _is_used(source, topic)
    ]
    if presence := settings.connection.presence:
        # What may be retained there already; that the device is online is published once it is in service.
        payload = presence.offline.encode()
        messages.append(
            ProofMessage(topic=presence.topic, payload=lambda: payload, retain=presence.retain)
        )
    subscription = settings.subscriptions[0].topic if settings.subscriptions else None
    return Trial(messages=messages, subscription=subscription)


def _is_used(source: object, topic: str) -> bool:
    """Whether a reading may come on a source's own topic: a socket's programs may all be allowed others alone."""
    if not isinstance(source, SocketSource):
        return True
    topic = topic.replace("{source}", source.name)
    return any(
        filters.matches(text.replace("{source}", source.name), topic)
        for rule in source.allow
        for text in rule.topics
    )
