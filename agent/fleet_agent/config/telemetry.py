"""The section ``telemetry``: how readings wait and how they are sent; ``readings`` has their sources.

As in ``settings``: durations in seconds, sizes in bytes, once parsed.
"""

from typing import Annotated, Literal

from fleet_agent.config.names import Topic
from fleet_agent.config.readings import (
    FromSocket,
    FromSystem,
    SystemSource,
    TelemetrySource,
    source_settings,
)
from fleet_agent.config.shape import (
    Doc,
    Duration,
    FilePath,
    Items,
    Range,
    Size,
    WrongValueError,
)
from fleet_agent.record import record


@record
class Queue:
    """The queue on disk, where readings wait until AWS has acknowledged them; beyond a bound the oldest are dropped."""

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
            "`full`: a reading is acknowledged to its sender once it survives a power cut. `normal`: once it "
            "survives a crash of the agent, which spares flash memory.",
            "synchronous: normal",
        ),
    ] = "full"
    commit_delay: Annotated[
        float,
        Duration(0, 60),
        Doc(
            "How long to collect readings for one commit, 0s to 1m. Readings that arrive while the disk is busy "
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
            "`json`: an array; a single reading is sent as it is. `ndjson`: one line for each reading. `none`: one "
            "message for each reading.",
            "format: ndjson",
        ),
    ] = "json"
    always: Annotated[
        bool,
        Doc(
            "Whether with `format: json` a single reading is sent as an array, too.",
            "always: true",
        ),
    ] = False
    max_delay: Annotated[
        float,
        Duration(0, 3600),
        Doc(
            "How long a reading may wait for others to share its message, 0s to 1h. With 0s it waits only if there "
            "are more readings than AWS accepts messages.",
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
    """AWS IoT Core's limits for a connection; a client above them is throttled, and finally disconnected."""

    publishes: Annotated[
        int,
        Range(0, 100_000),
        Doc("Messages a second; 0: no limit, for brokers without one.", "publishes: 50"),
    ] = 100
    bytes: Annotated[
        int,
        Size(0, 1 << 30),
        Doc("Bytes a second, `0B`: no limit.", "bytes: 64KiB"),
    ] = 512 * 1024
    unacknowledged: Annotated[
        int,
        Range(1, 1000),
        Doc("How many messages may be unacknowledged at a time.", "unacknowledged: 20"),
    ] = 90


@record
class Telemetry:
    """Readings: their sources, the queue, and how they are sent."""

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
            "Sources of readings; an empty list switches telemetry off.",
            "sources: [{system: {interval: 60s}}]",
        ),
    ] = (FromSystem(system=SystemSource()),)
    queue: Annotated[
        Queue, Doc("Where readings wait for AWS.", "queue: {max_messages: 20000, max_age: 30d}")
    ] = Queue()
    batch: Annotated[
        Batch, Doc("How readings share messages.", "batch: {format: ndjson, max_delay: 10s}")
    ] = Batch()
    limits: Annotated[Limits, Doc("Limits of the connection.", "limits: {bytes: 64KiB}")] = (
        Limits()
    )
    drain: Annotated[
        Literal["oldest-first", "newest-first"],
        Doc(
            "Which readings are sent first after a time without a connection. Only `oldest-first` keeps the order "
            "of a topic.",
            "drain: newest-first",
        ),
    ] = "oldest-first"
    when_refused: Annotated[
        Literal["keep", "drop"],
        Doc(
            "Whether a reading whose topic the policy forbids is kept and retried, less and less often, or dropped "
            "and counted.",
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
            raise WrongValueError(f"has two sources named {twice[0]}", "give each its own `name`")
        if sum(isinstance(item, FromSocket) for item in self.sources) > 1:
            raise WrongValueError(
                "has two sockets under sources",
                "put both `allow` lists into one; a user may be named more than once",
            )
