"""Settings → the sources of this device."""

import collections
import dataclasses
from collections.abc import Sequence
from pathlib import Path

from fleet_agent.clock import Clock
from fleet_agent.config.telemetry import (
    CommandSource,
    FileSource,
    FromGrowingFile,
    FromProgram,
    FromSocket,
    FromSystem,
    SocketSource,
    SystemSource,
    Telemetry,
    TelemetrySource,
)
from fleet_agent.errors import DeviceError
from fleet_agent.health.status import Health
from fleet_agent.listeners import Listeners
from fleet_agent.mailbox import Mailbox
from fleet_agent.reserved import Reserved
from fleet_agent.telemetry.reading import PRIORITIES, Intake, Source
from fleet_agent.telemetry.sources.feed import Feed
from fleet_agent.topics.names import Topics


@dataclasses.dataclass(frozen=True, kw_only=True)
class Place:
    """What sources work with, and where.

    ``state_dir``: file positions; its disk is the one that is reported on. ``reserved``: files that no source reads.
    """

    topics: Topics
    intake: Intake
    mailbox: Mailbox
    clock: Clock
    health: Health
    state_dir: Path
    runtime_dir: Path
    listeners: Listeners
    reserved: Reserved | None = None


def build(telemetry: Telemetry, place: Place) -> list[Source]:
    """Make the sources; none does anything before its first ``act``.

    Raises:
        DeviceError: Two sources share a name, or a topic cannot be filled in.
    """
    _refuse_namesakes(telemetry.sources)
    return [_source(item, telemetry, place) for item in telemetry.sources]


def socket_path(sources: Sequence[Source]) -> Path | None:
    """Where the socket source listens; None where there is none."""
    return next((path for item in sources if (path := getattr(item, "path", None))), None)


def _source(item: TelemetrySource, telemetry: Telemetry, place: Place) -> Source:
    # Each kind is imported when there is one: subprocess, socket and the rest would stay in the daemon's memory.
    settings = _settings(item)
    feed = Feed(
        name=settings.name,
        topic=place.topics.fill(settings.topic or telemetry.topic, settings.name),
        priority=PRIORITIES.index(settings.priority),
        intake=place.intake,
        clock=place.clock,
        health=place.health,
    )
    match item:
        case FromSystem(system=own):
            from fleet_agent.telemetry.sources.system import System

            return System(own, feed, place.state_dir)
        case FromProgram(command=program):
            from fleet_agent.telemetry.sources.command import Command

            return Command(program, feed, place.mailbox)
        case FromGrowingFile(file=file):
            from fleet_agent.telemetry.sources.file import File

            return File(file, feed, place.state_dir, place.reserved)
        case FromSocket(socket=listener):
            return _socket(listener, feed, place)


def _socket(settings: SocketSource, feed: Feed, place: Place) -> Source:
    from fleet_agent.telemetry.sources.packet import NAME
    from fleet_agent.telemetry.sources.rights import AllowList
    from fleet_agent.telemetry.sources.socket import Socket

    allowed = AllowList(
        settings.allow,
        lambda text: place.topics.fill(text, feed.name),
        place.topics.filler(feed.name),
    )
    path = place.runtime_dir / NAME
    return Socket(settings, feed, place.mailbox, path, place.listeners, allowed)


def _settings(
    item: TelemetrySource,
) -> SystemSource | CommandSource | FileSource | SocketSource:
    match item:
        case FromSystem():
            return item.system
        case FromProgram():
            return item.command
        case FromGrowingFile():
            return item.file
        case FromSocket():
            return item.socket


def _refuse_namesakes(items: Sequence[TelemetrySource]) -> None:
    count = collections.Counter(_settings(item).name for item in items)
    twice = [name for name, times in count.items() if times > 1]
    if twice:
        raise DeviceError(
            f"Two sources under telemetry.sources are called {twice[0]}.",
            remedy="Give each a `name` of its own.",
            code="configuration",
        )
    if sum(isinstance(item, FromSocket) for item in items) > 1:
        raise DeviceError(
            "There are two sockets under telemetry.sources.",
            remedy="Put both `allow` lists into one; a user may be named more than once.",
            code="configuration",
        )
