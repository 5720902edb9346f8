"""Subscriptions: topic filters, and what is done with a message. As in ``settings``: seconds, bytes."""

from typing import Annotated, Literal

from fleet_agent.config import checks
from fleet_agent.config.handlers import ExecHandler, FileHandler, SocketHandler, UploadBundle
from fleet_agent.config.names import Filter, Name, Topic
from fleet_agent.config.shape import Doc, Duration, Text, WrongValueError
from fleet_agent.record import record


@record
class Subscription:
    """A topic filter that comes down, with one at most of: handler, exec, file, socket, upload_bundle."""

    topic: Annotated[
        Filter,
        Doc(
            "A topic filter; `{thing}`, `{certificate_id}`, the names of template parameters and the keys of the "
            "device configuration are filled in. At most 256 bytes and 7 slashes.",
            'topic: "cmd/{thing}/#"',
        ),
    ]
    qos: Annotated[Literal[0, 1], Doc("The requested quality of service.", "qos: 1")] = 1
    log: Annotated[bool, Doc("Whether messages are written to the log.", "log: true")] = True
    name: Annotated[
        Name | None,
        Doc("The handler's name in `status`; its topic filter when null.", "name: reboot"),
    ] = None
    handler: Annotated[
        Name | None,
        Doc("The handler of that name, one of `handlers`, gets each message.", "handler: reboot"),
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
            "Whether the handler also gets retained messages. They arrive because of the subscription and are not "
            "new; otherwise they are only logged.",
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
        """Checks what concerns several keys.

        Raises:
            WrongValueError: They do not go together.
        """
        kinds = ("handler", "exec", "file", "socket", "upload_bundle")
        given = [name for name in kinds if getattr(self, name) is not None]
        if len(given) > 1:
            words = f"has {' and '.join(given)}, which exclude each other"
            raise WrongValueError(words, "keep one; a message has one handler")
        wildcards = self.topic.split("/").count("+")
        if self.file is not None and not self.topic.endswith("#"):
            for number in range(wildcards + 1, 9):
                if f"{{{number}}}" in self.file.path:
                    words = (
                        f"has {{{number}}} in file.path, but only {wildcards} wildcards in topic"
                    )
                    raise WrongValueError(words, '"+" in topic is a level that {1} stands for')


@record
class Presence:
    """The messages of presence: one when it connects, and one that AWS publishes when it is lost."""

    topic: Annotated[
        Topic,
        Doc("The topic of both messages.", "topic: 'presence/{thing}'"),
    ]
    online: Annotated[
        str,
        Text(checks.command_word, length=4096),
        Doc("The message published on connecting.", "online: 'up'"),
    ] = '{"online": true}'
    offline: Annotated[
        str,
        Text(checks.command_word, length=4096),
        Doc("The last will, also published on stopping.", "offline: 'down'"),
    ] = '{"online": false}'
    retain: Annotated[
        bool,
        Doc("Whether AWS retains the last message for new subscribers.", "retain: false"),
    ] = True


@record
class Connection:
    """The MQTT session with AWS IoT Core."""

    keep_alive: Annotated[
        float,
        Duration(30, 1200),
        Doc(
            "The MQTT keep-alive interval, 30s to 20m.",
            "keep_alive: 5m",
        ),
    ] = 120.0
    expiry: Annotated[
        float,
        Duration(0, 7 * 86400),
        Doc(
            "How long AWS keeps messages for an offline device, 0s to 7d; AWS grants an hour unless the account's "
            "quota was raised.",
            "expiry: 1d",
        ),
    ] = 3600.0
    presence: Annotated[
        Presence | None,
        Doc("Birth message and last will.", "presence: {topic: 'presence/{thing}'}"),
    ] = None
