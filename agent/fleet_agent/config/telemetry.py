"""What goes up: the part of the settings for what is read, how it waits and how it is sent.

As in ``settings``: durations in seconds, sizes in bytes, once parsed.
"""

from typing import Annotated, Literal

from fleet_agent.config import checks
from fleet_agent.config.shape import (
    Doc,
    Duration,
    FilePath,
    Items,
    Range,
    Size,
    Text,
    WrongValueError,
)
from fleet_agent.record import record
from fleet_agent.topics.limits import TOPIC_BYTES

Topic = Annotated[str, Text(checks.publish_topic, r"^[^#+]+$", TOPIC_BYTES * 2)]
Filter = Annotated[str, Text(checks.topic_filter, r"^.+$", TOPIC_BYTES * 2)]
Name = Annotated[str, Text(checks.part_name, r"^[0-9A-Za-z_.-]{1,64}$")]
Argv = Annotated[
    tuple[Annotated[str, Text(checks.command_word)], ...],
    Items(1, 64, first=Text(checks.program)),
    Doc(
        "A program and its arguments; no shell.",
        "argv: [/usr/lib/sensors/read, --json]",
    ),
]
Priority = Annotated[
    Literal["low", "normal", "high"],
    Doc(
        "Which readings go first when the queue is full: those of the lowest priority.",
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
    """What a program prints on stdout, every ``interval``."""

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
        Doc("Where to begin in a file that was never read before.", "start: end"),
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
    """A program that is run."""

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


@record
class Queue:
    """Where readings wait, on disk, until AWS has acknowledged them. What is beyond a bound goes, oldest first."""

    max_messages: Annotated[
        int, Range(100, 10_000_000), Doc("How many readings may wait.", "max_messages: 20000")
    ] = 100_000
    max_bytes: Annotated[
        int,
        Size(1 << 20, 1 << 36),
        Doc("How many bytes of readings may wait.", "max_bytes: 16MiB"),
    ] = 64 << 20
    max_age: Annotated[
        float,
        Duration(60, 365 * 86400),
        Doc("How long a reading may wait, 1m to 365d.", "max_age: 30d"),
    ] = 7 * 86400.0
    synchronous: Annotated[
        Literal["full", "normal"],
        Doc(
            "`full`: a reading is acknowledged to its sender once a power cut cannot take it. "
            "`normal`: once a crash of the agent cannot; spares flash memory.",
            "synchronous: normal",
        ),
    ] = "full"
    commit_delay: Annotated[
        float,
        Duration(0, 60),
        Doc(
            "How long to gather readings for one commit, 0s to 1m. Readings that arrive while the disk is busy "
            "share the next commit anyway.",
            "commit_delay: 50ms",
        ),
    ] = 0.0


@record
class Batch:
    """How readings of one topic share a message."""

    format: Annotated[
        Literal["json", "ndjson", "none"],
        Doc(
            "`json`: an array; one reading alone is sent as it is. `ndjson`: a line a reading. "
            "`none`: a message a reading.",
            "format: ndjson",
        ),
    ] = "json"
    always: Annotated[
        bool,
        Doc("Whether with `format: json` one reading alone is an array, too.", "always: true"),
    ] = False
    max_delay: Annotated[
        float,
        Duration(0, 3600),
        Doc(
            "How long a reading may wait for others to share its message, 0s to 1h. With 0s it waits only when "
            "more readings come than AWS takes messages.",
            "max_delay: 10s",
        ),
    ] = 0.0
    max_readings: Annotated[
        int, Range(1, 10_000), Doc("How many readings a message may carry.", "max_readings: 100")
    ] = 1000
    max_bytes: Annotated[
        int,
        Size(1024, 128 * 1024),
        Doc("How large a message of several readings may be, at most 128KiB.", "max_bytes: 32KiB"),
    ] = 32 * 1024
    gzip: Annotated[
        bool,
        Doc(
            "Whether messages of several readings are compressed; their content type then ends in `+gzip`.",
            "gzip: true",
        ),
    ] = False


@record
class Limits:
    """What AWS IoT Core takes on a connection; more is throttled there, and at last disconnected."""

    publishes: Annotated[
        int,
        Range(0, 100_000),
        Doc("Messages a second; 0: no limit, for a broker that has none.", "publishes: 50"),
    ] = 100
    bytes: Annotated[
        int,
        Size(0, 1 << 30),
        Doc("Bytes a second, `0B`: no limit.", "bytes: 64KiB"),
    ] = 512 * 1024
    unacknowledged: Annotated[
        int,
        Range(1, 1000),
        Doc("Messages sent and not acknowledged yet, at a time.", "unacknowledged: 20"),
    ] = 90


@record
class Telemetry:
    """What goes up, and under which topic."""

    topic: Annotated[
        Topic,
        Doc(
            "The topic of readings; `{thing}`, `{certificate_id}`, `{source}`, the names of template parameters and "
            "the keys of the device configuration are filled in. At most 256 bytes and 7 slashes, no wildcard.",
            "topic: dt/{thing}/{source}",
        ),
    ] = "dt/{thing}/{source}"
    sources: Annotated[
        tuple[TelemetrySource, ...],
        Items(0, 16),
        Doc(
            "What is read; an empty list switches telemetry off.",
            "sources: [{system: {interval: 60s}}]",
        ),
    ] = (FromSystem(system=SystemSource()),)
    queue: Annotated[
        Queue, Doc("Where readings wait for AWS.", "queue: {max_messages: 20000, max_age: 30d}")
    ] = Queue()
    batch: Annotated[
        Batch, Doc("How readings share messages.", "batch: {format: ndjson, max_delay: 10s}")
    ] = Batch()
    limits: Annotated[Limits, Doc("What the connection may carry.", "limits: {bytes: 64KiB}")] = (
        Limits()
    )
    drain: Annotated[
        Literal["oldest-first", "newest-first"],
        Doc(
            "What goes first after a time without connection. Only `oldest-first` keeps the order of a topic.",
            "drain: newest-first",
        ),
    ] = "oldest-first"
    when_refused: Annotated[
        Literal["keep", "drop"],
        Doc(
            "What becomes of a reading whose topic the policy forbids: kept and tried again, less and less often, or "
            "dropped and counted.",
            "when_refused: drop",
        ),
    ] = "keep"
    prometheus_file: Annotated[
        str | None,
        FilePath(),
        Doc(
            "A file for the counters in Prometheus' text format, for node_exporter's textfile collector.",
            "prometheus_file: /var/lib/node_exporter/fleet-agent.prom",
        ),
    ] = None

    def __post_init__(self) -> None:
        """Checks what concerns several sources.

        Raises:
            WrongValueError: Two share a name, or there are two sockets.
        """
        names = [source_settings(item).name for item in self.sources]
        if twice := [name for name in names if names.count(name) > 1]:
            raise WrongValueError(
                f"has two sources that are called {twice[0]}", "give each a `name` of its own"
            )
        if sum(isinstance(item, FromSocket) for item in self.sources) > 1:
            raise WrongValueError(
                "has two sockets under sources",
                "put both `allow` lists into one; a user may be named more than once",
            )
