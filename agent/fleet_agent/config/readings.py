"""Where readings come from: the part of the settings for the sources of telemetry.

As in ``settings``: durations in seconds, once parsed.
"""

from typing import Annotated, Literal

from fleet_agent.config import checks
from fleet_agent.config.names import Argv, Filter, Name, Topic
from fleet_agent.config.shape import (
    Doc,
    Duration,
    FilePath,
    Items,
    Text,
)
from fleet_agent.record import record

Priority = Annotated[
    Literal["low", "normal", "high"],
    Doc(
        "When the queue is full, readings of the lowest priority are dropped first.",
        "priority: high",
    ),
]
SourceTopic = Annotated[
    Topic | None,
    Doc("The topic of these readings; `telemetry.topic` when null.", "topic: 'env/{thing}'"),
]


@record
class SystemSource:
    """Uptime, load, cpu, memory, disk, temperature and network traffic, every ``interval``."""

    interval: Annotated[
        float,
        Duration(1, 7 * 86400),
        Doc("The time from one reading to the next, 1s to 7d.", "interval: 60s"),
    ] = 60.0
    name: Annotated[Name, Doc("Its name, `{source}` in topics.", "name: board")] = "system"
    topic: SourceTopic = None
    priority: Priority = "normal"


@record
class CommandSource:
    """A program whose stdout is read every ``interval``."""

    argv: Argv
    name: Annotated[Name, Doc("Its name, `{source}` in topics.", "name: meter")]
    interval: Annotated[
        float,
        Duration(1, 7 * 86400),
        Doc("The time from one run to the next, 1s to 7d.", "interval: 5m"),
    ] = 60.0
    timeout: Annotated[
        float,
        Duration(0.1, 3600),
        Doc("How long the program may take before it is killed, 100ms to 1h.", "timeout: 5s"),
    ] = 10.0
    format: Annotated[
        Literal["json", "text"],
        Doc("`json`: stdout is one JSON value. `text`: sent as it is.", "format: text"),
    ] = "json"
    topic: SourceTopic = None
    priority: Priority = "normal"


@record
class FileSource:
    """A growing file, followed over rotation and restart; a line is a reading."""

    path: Annotated[str, FilePath(), Doc("The file.", "path: /var/log/sensors.jsonl")]
    name: Annotated[Name, Doc("Its name, `{source}` in topics.", "name: sensors")]
    format: Annotated[
        Literal["json", "text"],
        Doc("`json`: each line is a JSON value. `text`: sent as it is.", "format: text"),
    ] = "json"
    start: Annotated[
        Literal["beginning", "end"],
        Doc("Where to start in a file that was never read before.", "start: end"),
    ] = "beginning"
    topic: SourceTopic = None
    priority: Priority = "normal"


@record
class Allow:
    """A user of this device and the topics its programs may send to."""

    user: Annotated[
        str,
        Text(checks.user, r"^(\*|[0-9]+|[A-Za-z_][0-9A-Za-z_.-]*\$?)$"),
        Doc("A user's name or number; `*` is everybody who can open the socket.", "user: meter"),
    ]
    topics: Annotated[
        tuple[Filter, ...],
        Items(1, 50),
        Doc("Topic filters; the topic of a reading must match one.", "topics: ['dt/{thing}/#']"),
    ]


@record
class SocketSource:
    """Readings that other programs of this device send to ``telemetry.sock`` in the runtime directory."""

    group: Annotated[
        str | None,
        Text(checks.user, r"^(\*|[0-9]+|[A-Za-z_][0-9A-Za-z_.-]*\$?)$"),
        Doc(
            "The group that may open the socket, beside the agent's own user; the agent must be a member of it.",
            "group: sensors",
        ),
    ] = None
    allow: Annotated[
        tuple[Allow, ...],
        Items(0, 50),
        Doc(
            "Who may send to which topics.",
            "allow: [{user: meter, topics: ['dt/{thing}/meter']}]",
        ),
    ] = (Allow(user="*", topics=("dt/{thing}/#",)),)
    name: Annotated[Name, Doc("Its name, `{source}` in topics.", "name: app")] = "socket"
    topic: SourceTopic = None
    priority: Priority = "normal"


@record
class FromSystem:
    """The device itself."""

    system: Annotated[
        SystemSource,
        Doc("Uptime, load, memory, disk and temperature of the device.", "system: {interval: 5m}"),
    ]


@record
class FromProgram:
    """A program to run."""

    command: Annotated[
        CommandSource,
        Doc(
            "What a program prints, at an interval.",
            "command: {name: meter, argv: [read-meter], interval: 1m}",
        ),
    ]


@record
class FromGrowingFile:
    """A file that another program appends to."""

    file: Annotated[
        FileSource,
        Doc("The lines of a growing file.", "file: {name: sensors, path: /var/log/sensors.jsonl}"),
    ]


@record
class FromSocket:
    """Programs that send."""

    socket: Annotated[
        SocketSource,
        Doc("What other programs send to the agent's socket.", "socket: {group: sensors}"),
    ]


TelemetrySource = FromSystem | FromProgram | FromGrowingFile | FromSocket


def source_settings(
    item: TelemetrySource,
) -> SystemSource | CommandSource | FileSource | SocketSource:
    """The settings of a source, whatever its kind."""
    match item:
        case FromSystem():
            return item.system
        case FromProgram():
            return item.command
        case FromGrowingFile():
            return item.file
        case FromSocket():
            return item.socket
