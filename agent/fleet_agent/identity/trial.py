"""How a new credential is proven, by the configuration."""

from pathlib import Path

from fleet_agent.clock import Clock
from fleet_agent.config.readings import SystemSource
from fleet_agent.config.settings import Settings
from fleet_agent.config.topics import sources
from fleet_agent.provisioning.proof import ProofMessage, Trial
from fleet_agent.telemetry.reading import timed
from fleet_agent.telemetry.sources import system


def trial(settings: Settings, clock: Clock) -> Trial:
    """Returns how to prove a new credential: with a topic that it will use anyway, preferably of system readings."""

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
        # What may be retained there already; that the device is online is published once it is in service.
        payload = presence.offline.encode()
        messages.append(
            ProofMessage(topic=presence.topic, payload=lambda: payload, retain=presence.retain)
        )
    subscription = settings.subscriptions[0].topic if settings.subscriptions else None
    return Trial(messages=messages, subscription=subscription)
