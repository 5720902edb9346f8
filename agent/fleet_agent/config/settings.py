"""The settings, as frozen values; their names are the file format.

Plain dataclasses, so that a command with all it needs in its flags does not import YAML.
Durations are seconds, sizes are bytes, once parsed; in the file both are strings with units
("60s", "64MiB").
What ``Annotated`` adds to the type is read by the loader, the JSON Schema and the reference
(docs/reference/configuration.md): change it here, and nowhere else.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Annotated

from fleet_agent.config import checks
from fleet_agent.config.credentials import Credentials
from fleet_agent.config.handlers import Handler
from fleet_agent.config.identity import Identity
from fleet_agent.config.move import Move
from fleet_agent.config.orders import Commands, DirectMessages, Jobs
from fleet_agent.config.provisioning import Claim, Provisioning
from fleet_agent.config.rotation import Rotation
from fleet_agent.config.shape import Doc, FilePath, Items, Keys, Range, Text, WrongValueError
from fleet_agent.config.subscriptions import Connection, Subscription
from fleet_agent.config.telemetry import Telemetry
from fleet_agent.record import record

STATE_DIR = "/var/lib/fleet-agent"
CONFIG_FILE = "/etc/fleet-agent/config.yaml"
DIRECT = "none"  # instead of a proxy: no proxy, whatever the environment has


@record
class Settings:
    """Everything that was set, by file, drop-ins and flags together."""

    endpoint: Annotated[
        str,
        Text(checks.endpoint, checks.HOST_PATTERN),
        Doc(
            "The account's data endpoint, without a scheme or port: `aws iot describe-endpoint --endpoint-type "
            "iot:Data-ATS` shows it.",
            "endpoint: a1b2c3-ats.iot.eu-west-1.amazonaws.com",
        ),
    ]
    port: Annotated[
        int, Range(1, 65535), Doc("TCP port of the endpoint; 443 uses ALPN.", "port: 443")
    ] = 8883
    ca_file: Annotated[
        str | None,
        FilePath(),
        Doc(
            "CA certificates for checking the endpoint, PEM; when null, the system's store.",
            "ca_file: ca.pem",
        ),
    ] = None
    proxy: Annotated[
        str | None,
        Text(checks.proxy, checks.PROXY_PATTERN),
        Doc(
            "An HTTP proxy that allows CONNECT; `none` for no proxy. When null, that of the environment: "
            "`https_proxy`, `all_proxy`, except for the hosts of `no_proxy`.",
            "proxy: http://proxy.example.com:3128",
        ),
    ] = None
    proxy_credentials: Annotated[
        str | None,
        FilePath(credential=True),
        Doc(
            "A file with `user:password` for the proxy.",
            "proxy_credentials: credential:proxy",
        ),
    ] = None
    identity: Annotated[
        Identity,
        Doc(
            "A certificate and key that the device already has, adopted at the first start instead of provisioning "
            "by claim; and when a refused identity counts as dead.",
            "identity: {certificate: device.pem.crt, private_key: device.pem.key, thing_name: pump-7}",
        ),
    ] = Identity()
    claim: Annotated[
        Claim | None,
        Doc(
            "The certificate and key that a batch of devices shares, for provisioning only.",
            "claim: {certificate: claim.pem.crt, private_key: claim.pem.key}",
        ),
    ] = None
    provisioning: Annotated[
        Provisioning | None,
        Doc("How the device gets its own identity.", "provisioning: {template: fleet-v1}"),
    ] = None
    connection: Annotated[
        Connection, Doc("Parameters of the MQTT session.", "connection: {keep_alive: 5m}")
    ] = Connection()
    rotation: Annotated[
        Rotation,
        Doc("When the device replaces its certificate and key.", "rotation: {max_age: 180d}"),
    ] = Rotation()
    move: Annotated[
        Move,
        Doc(
            "Where this device may be moved.",
            "move: {allowed: {frankfurt: {endpoint: a9b8-ats.iot.eu-central-1.amazonaws.com, template: fleet-v2, "
            "claim: {certificate: new.pem.crt, private_key: new.pem.key}}}}",
        ),
    ] = Move()
    telemetry: Annotated[
        Telemetry,
        Doc(
            "Readings: their sources, the queue, and how they are sent.",
            "telemetry: {topic: 'dt/{thing}/{source}'}",
        ),
    ] = Telemetry()
    subscriptions: Annotated[
        tuple[Subscription, ...],
        Items(0, 50),
        Doc(
            "Topic filters to subscribe to; AWS IoT allows 50 on a connection.",
            'subscriptions: [{topic: "cmd/{thing}/#"}]',
        ),
    ] = ()
    credentials: Annotated[
        Credentials | None,
        Doc(
            "AWS credentials for other programs on this device.",
            "credentials: {endpoint: a1b2c3.credentials.iot.eu-west-1.amazonaws.com, aliases: {logs: {allow: "
            "[user:collector]}}}",
        ),
    ] = None
    handlers: Annotated[
        Mapping[str, Handler],
        Keys(Text(checks.part_name, length=64)),
        Doc(
            "Handlers of orders, by name, for subscriptions, jobs and commands.",
            "handlers: {application: {socket: {path: /run/app/commands.sock}}}",
        ),
    ] = dataclasses.field(default_factory=dict)
    jobs: Annotated[Jobs, Doc("AWS IoT Jobs.", "jobs: {enabled: true}")] = dataclasses.field(
        default_factory=Jobs
    )
    commands: Annotated[Commands, Doc("AWS IoT Commands.", "commands: {enabled: true}")] = (
        dataclasses.field(default_factory=Commands)
    )
    direct_messages: Annotated[
        DirectMessages,
        Doc("Messages that no subscription matches.", "direct_messages: {handler: application}"),
    ] = DirectMessages()
    state_dir: Annotated[
        str,
        FilePath(),
        Doc(
            "The folder of identity and ledger. It must survive a reboot.",
            "state_dir: /data/fleet-agent",
        ),
    ] = STATE_DIR
    runtime_dir: Annotated[
        str | None,
        FilePath(),
        Doc(
            "The folder of status.json and identity.json. When null: $RUNTIME_DIRECTORY, else `run` in the state "
            "directory.",
            "runtime_dir: /run/fleet-agent",
        ),
    ] = None

    def __post_init__(self) -> None:
        """Checks that every handler that is named is there.

        Raises:
            WrongValueError: One is not.
        """
        for key, name in self._named_handlers():
            if name not in self.handlers:
                known = ", ".join(self.handlers) or "none is there"
                raise WrongValueError(
                    f"has {key}: {name}, and handlers has no such one", f"handlers: {known}"
                )

    def _named_handlers(self) -> Iterator[tuple[str, str]]:
        given: list[tuple[str, str | None]] = [
            *(
                (f"subscriptions[{n}].handler", subscription.handler)
                for n, subscription in enumerate(self.subscriptions)
            ),
            *((f"jobs.operations.{key}", name) for key, name in self.jobs.operations.items()),
            ("jobs.handler", self.jobs.handler),
            *(
                (f"commands.operations.{key}", name)
                for key, name in self.commands.operations.items()
            ),
            ("commands.handler", self.commands.handler),
            ("direct_messages.handler", self.direct_messages.handler),
        ]
        return ((key, name) for key, name in given if name is not None)
