"""Settings → the sources of this device."""

from collections.abc import Callable, Sequence
from pathlib import Path

from fleet_agent.clock import Clock
from fleet_agent.config.readings import (
    FromGrowingFile,
    FromProgram,
    FromSocket,
    FromSystem,
    SocketSource,
    TelemetrySource,
    source_settings,
)
from fleet_agent.config.telemetry import Telemetry
from fleet_agent.files.reserved import Reserved
from fleet_agent.health.status import Health
from fleet_agent.process.listeners import Listeners
from fleet_agent.process.mailbox import Mailbox
from fleet_agent.record import record
from fleet_agent.telemetry.reading import PRIORITIES, Intake, Source
from fleet_agent.telemetry.sources.feed import Feed
from fleet_agent.topics.names import Topics


@record
class SourcesContext:
    """The objects and paths that sources use.

    ``fill`` fills a template for the source of a name, and gives None, and reports it, where that makes no topic;
    ``topics`` are for what programs send. ``state_dir``: file positions; its disk is the one that is reported on.
    ``reserved``: files that no source reads.
    """

    fill: Callable[[str, str], str | None]
    topics: Topics
    intake: Intake
    mailbox: Mailbox
    clock: Clock
    health: Health
    state_dir: Path
    runtime_dir: Path
    listeners: Listeners
    reserved: Reserved


def build(telemetry: Telemetry, context: SourcesContext) -> list[Source]:
    """Makes the sources whose topic can be filled in, and the socket; none does anything before its first ``act``."""
    found = (_source(item, telemetry, context) for item in telemetry.sources)
    return [source for source in found if source is not None]


def socket_paths(sources: Sequence[object]) -> list[Path]:
    """Returns the paths of the sources' sockets."""
    return [path for item in sources if (path := getattr(item, "path", None))]


def _source(item: TelemetrySource, telemetry: Telemetry, context: SourcesContext) -> Source | None:
    # Each kind is imported when there is one: subprocess, socket and the rest would stay in the daemon's memory.
    settings = source_settings(item)
    topic = context.fill(settings.topic or telemetry.topic, settings.name)
    # Programs may name topics of their own.
    if topic is None and not isinstance(item, FromSocket):
        return None
    feed = Feed(
        name=settings.name,
        topic=topic or "",
        priority=PRIORITIES.index(settings.priority),
        intake=context.intake,
        clock=context.clock,
        health=context.health,
    )
    match item:
        case FromSystem(system=device):
            from fleet_agent.telemetry.sources.system import System

            return System(device, feed, context.state_dir)
        case FromProgram(command=program):
            from fleet_agent.telemetry.sources.command import Command

            return Command(program, feed, context.mailbox)
        case FromGrowingFile(file=file):
            from fleet_agent.telemetry.sources.file import File

            return File(file, feed, context.state_dir, context.reserved)
        case FromSocket(socket=listener):
            return _socket(listener, feed, context)


def _socket(settings: SocketSource, feed: Feed, context: SourcesContext) -> Source:
    from fleet_agent.telemetry.sources.allow_list import AllowList
    from fleet_agent.telemetry.sources.packet import NAME
    from fleet_agent.telemetry.sources.socket import Socket

    allowed = AllowList(
        settings.allow,
        lambda text: context.fill(text, feed.name),
        context.topics.filler(feed.name),
    )
    path = context.runtime_dir / NAME
    return Socket(settings, feed, context.mailbox, path, context.listeners, allowed)
