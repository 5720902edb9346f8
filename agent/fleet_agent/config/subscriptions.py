"""What comes down: topic filters and what is done with a message. As in ``settings``: seconds, bytes."""

from typing import Annotated, Literal

from fleet_agent.config import checks
from fleet_agent.config.shape import Doc, Duration, FilePath, Range, Size, Text, WrongValueError
from fleet_agent.config.telemetry import Argv, Filter, Name, Topic
from fleet_agent.record import record

MaxSize = Annotated[
    int,
    Size(0, 128 * 1024),
    Doc("Larger messages are refused, at most 128KiB.", "max_size: 4KiB"),
]


@record
class ExecHandler:
    """Runs a program for each message: the payload on its stdin, ``FLEET_AGENT_TOPIC`` in its environment."""

    argv: Argv
    timeout: Annotated[
        float,
        Duration(0.1, 86400),
        Doc("How long the program may take before it is killed, 100ms to 1d.", "timeout: 30s"),
    ] = 60.0
    max_size: MaxSize = 128 * 1024
    max_waiting: Annotated[
        int,
        Range(0, 1000),
        Doc(
            "How many messages may wait while the program runs; it runs once at a time.",
            "max_waiting: 4",
        ),
    ] = 16
    max_answer: Annotated[
        int,
        Size(0, 100 * 1024),
        Doc(
            "How much of the program's output an answer carries, at most 100KiB.",
            "max_answer: 1KiB",
        ),
    ] = 16 * 1024


@record
class FileHandler:
    """Writes each message's payload to a file, as a whole."""

    path: Annotated[
        str,
        FilePath(),
        Text(checks.handler_path, r"^/.+$"),
        Doc(
            "The file; `{1}` is the first level that a wildcard of the topic filter stands for, `{2}` the next. "
            "Such a level with a slash, a leading dot or a control character is refused.",
            "path: /var/lib/app/settings/{1}.json",
        ),
    ]
    mode: Annotated[Literal["0600", "0640", "0644"], Doc("Its permissions.", 'mode: "0640"')] = (
        "0640"
    )
    max_size: MaxSize = 128 * 1024


@record
class SocketHandler:
    """Passes each message to a local program that listens on a Unix socket (SOCK_SEQPACKET)."""

    path: Annotated[
        str, FilePath(), Doc("The socket of that program.", "path: /run/app/commands.sock")
    ]
    timeout: Annotated[
        float,
        Duration(0.1, 3600),
        Doc("How long to wait for its answer, 100ms to 1h.", "timeout: 5s"),
    ] = 10.0
    max_size: MaxSize = 128 * 1024
    max_waiting: Annotated[
        int,
        Range(0, 1000),
        Doc("How many messages may wait for it.", "max_waiting: 4"),
    ] = 16


@record
class UploadBundle:
    """Collects for each message a bundle for support, without secrets, and puts it into S3 below the thing's name."""

    to: Annotated[
        str,
        Text(checks.s3_place, r"^s3://.+$", 1024),
        Doc(
            "A bucket, and what stands before the thing's name there.", "to: s3://my-logs/bundles"
        ),
    ]
    role_alias: Annotated[
        str | None,
        Text(checks.role_alias, checks.ROLE_ALIAS_PATTERN, 128),
        Doc(
            "With whose AWS credentials; the only role alias of `credentials` when null.",
            "role_alias: logs",
        ),
    ] = None
    timeout: Annotated[
        float,
        Duration(1, 3600),
        Doc("How long it may take, 1s to 1h.", "timeout: 5m"),
    ] = 180.0
    max_size: MaxSize = 128 * 1024
    max_waiting: Annotated[
        int,
        Range(0, 1000),
        Doc("How many messages may wait for it.", "max_waiting: 4"),
    ] = 1


@record
class Subscription:
    """A topic filter that comes down, and what handles its messages: exec, file, socket, upload_bundle, or nothing."""

    topic: Annotated[
        Filter,
        Doc(
            "A topic filter; `{thing}`, `{certificate_id}`, the names of template parameters and the keys of the "
            "device configuration are filled in. At most 256 bytes and 7 slashes.",
            'topic: "cmd/{thing}/#"',
        ),
    ]
    qos: Annotated[Literal[0, 1], Doc("The quality of service asked for.", "qos: 1")] = 1
    log: Annotated[bool, Doc("Whether what arrives is written to the log.", "log: true")] = True
    name: Annotated[
        Name | None,
        Doc("The handler's name in `status`; its topic filter when null.", "name: reboot"),
    ] = None
    exec: Annotated[
        ExecHandler | None,
        Doc("Run a program for each message.", "exec: {argv: [/usr/lib/app/command]}"),
    ] = None
    file: Annotated[
        FileHandler | None,
        Doc("Write each message to a file.", "file: {path: /var/lib/app/settings.json}"),
    ] = None
    socket: Annotated[
        SocketHandler | None,
        Doc("Pass each message to a local program.", "socket: {path: /run/app/commands.sock}"),
    ] = None
    upload_bundle: Annotated[
        UploadBundle | None,
        Doc(
            "Put a bundle for support into S3 for each message.",
            "upload_bundle: {to: s3://my-logs/bundles, role_alias: logs}",
        ),
    ] = None
    retained: Annotated[
        bool,
        Doc(
            "Whether the handler also gets messages that AWS had kept (retained). They come because of the "
            "subscription and are not new; without this they are logged only.",
            "retained: true",
        ),
    ] = False
    deduplicate: Annotated[
        str | None,
        Text(checks.deduplicate, r"^(property|payload):.{1,128}$"),
        Doc(
            "Handle a message once, recognised by a user property (`property:NAME`) or a member of its JSON payload "
            "(`payload:NAME`). QoS 1 may deliver twice.",
            "deduplicate: property:id",
        ),
    ] = None

    def __post_init__(self) -> None:
        """Check what concerns several keys.

        Raises:
            WrongValueError: They do not go together.
        """
        kinds = ("exec", "file", "socket", "upload_bundle")
        given = [name for name in kinds if getattr(self, name) is not None]
        if len(given) > 1:
            words = f"has {' and '.join(given)}, which exclude each other"
            raise WrongValueError(words, "keep one; a message has one handler")
        wildcards = self.topic.split("/").count("+")
        if self.file is not None and not self.topic.endswith("#"):
            for number in range(wildcards + 1, 9):
                if f"{{{number}}}" in self.file.path:
                    words = f"has {{{number}}} in file.path, but {wildcards} wildcards in topic"
                    raise WrongValueError(words, '"+" in topic is a level that {1} stands for')


@record
class Presence:
    """The messages of presence: one when it connects, and one that AWS publishes when it is lost."""

    topic: Annotated[
        Topic,
        Doc("The topic of both.", "topic: 'presence/{thing}'"),
    ]
    online: Annotated[
        str,
        Text(checks.command_word, length=4096),
        Doc("What is published on connecting.", "online: 'up'"),
    ] = '{"online": true}'
    offline: Annotated[
        str,
        Text(checks.command_word, length=4096),
        Doc("The last will, and what is published on stopping.", "offline: 'down'"),
    ] = '{"online": false}'
    retain: Annotated[
        bool,
        Doc("Whether AWS keeps the last of them for new subscribers.", "retain: false"),
    ] = True


@record
class Connection:
    """How the MQTT session is kept."""

    keep_alive: Annotated[
        float,
        Duration(30, 1200),
        Doc(
            "How often the connection is tried out when nothing else is sent, 30s to 20m.",
            "keep_alive: 5m",
        ),
    ] = 120.0
    expiry: Annotated[
        float,
        Duration(0, 7 * 86400),
        Doc(
            "How long AWS keeps commands for a device that is away, 0s to 7d; AWS grants an hour unless the "
            "account's quota was raised.",
            "expiry: 1d",
        ),
    ] = 3600.0
    presence: Annotated[
        Presence | None,
        Doc("Birth message and last will.", "presence: {topic: 'presence/{thing}'}"),
    ] = None
