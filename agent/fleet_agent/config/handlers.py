"""Handlers of orders, and their limits: run a program, write a file, ask a local program, ask root's helper.

As in ``settings``: seconds, bytes.
"""

from typing import Annotated, Literal

from fleet_agent.config import checks
from fleet_agent.config.names import Argv
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

MaxSize = Annotated[
    int,
    Size(0, 128 * 1024),
    Doc("Larger messages are refused, at most 128KiB.", "max_size: 4KiB"),
]


@record
class ExecHandler:
    """Runs a program for each order: the payload on its stdin, a job's arguments after its own."""

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
        str,
        FilePath(),
        Text(checks.socket_path),
        Doc("The socket of that program.", "path: /run/app/commands.sock"),
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
        Doc("A bucket, and the prefix before the thing's name.", "to: s3://my-logs/bundles"),
    ]
    role_alias: Annotated[
        str | None,
        Text(checks.role_alias, checks.ROLE_ALIAS_PATTERN, 128),
        Doc(
            "The role alias whose AWS credentials are used; when null, the only one in `credentials`.",
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
class HelperHandler:
    """Has `fleet-agent-helper`, which runs as root, start a program of `/etc/fleet-agent/helpers.d/`."""

    name: Annotated[
        str,
        Text(checks.helper_name, r"^[a-z][a-z0-9-]{0,62}$"),
        Doc("The program's name there.", "name: restart-service"),
    ]
    arguments: Annotated[
        tuple[Annotated[str, Text(checks.command_word)], ...],
        Items(0, 64),
        Doc("Its first arguments; those of the order follow.", "arguments: [my-application]"),
    ] = ()
    timeout: Annotated[
        float,
        Duration(1, 86400),
        Doc("How long the program may take before it is ended, 1s to 1d.", "timeout: 30m"),
    ] = 300.0
    max_waiting: Annotated[
        int, Range(0, 1000), Doc("How many orders may wait for it.", "max_waiting: 4")
    ] = 16
    socket: Annotated[
        str, FilePath(), Doc("Where the helper listens.", "socket: /run/fleet-agent-helper.sock")
    ] = "/run/fleet-agent-helper.sock"


@record
class Handler:
    """A handler that subscriptions, jobs and commands name: exactly one of exec, file, socket, helper."""

    exec: Annotated[
        ExecHandler | None,
        Doc("Run a program for each order.", "exec: {argv: [/usr/lib/app/command]}"),
    ] = None
    file: Annotated[
        FileHandler | None,
        Doc("Write each payload to a file.", "file: {path: /var/lib/app/settings.json}"),
    ] = None
    socket: Annotated[
        SocketHandler | None,
        Doc("Pass each order to a local program.", "socket: {path: /run/app/commands.sock}"),
    ] = None
    helper: Annotated[
        HelperHandler | None,
        Doc("Have a program started as root.", "helper: {name: reboot}"),
    ] = None

    def __post_init__(self) -> None:
        """Checks that it is one kind.

        Raises:
            WrongValueError: It has none of them, or several.
        """
        kinds = ("exec", "file", "socket", "helper")
        given = [name for name in kinds if getattr(self, name) is not None]
        if not given:
            raise WrongValueError("is not a handler", "one of: exec, file, socket, helper")
        if len(given) > 1:
            words = f"has {' and '.join(given)}, which exclude each other"
            raise WrongValueError(words, "keep one, or split it into two handlers")
