"""What can be set, as frozen values; the file format is these names.

Plain dataclasses, so that a command with all it needs in its flags does not import YAML.
Durations are seconds, sizes are bytes, once parsed; in the file both are strings with units
("60s", "64MiB").
What ``Annotated`` adds to the type is read by the loader, the JSON Schema and the reference
(docs/reference/configuration.md): change it here, and nowhere else.
"""

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Literal

from fleet_agent.config import checks
from fleet_agent.config.identity import Identity
from fleet_agent.config.rotation import Rotation
from fleet_agent.config.shape import (
    Doc,
    Duration,
    FilePath,
    Items,
    Keys,
    Range,
    Text,
    WrongValueError,
)
from fleet_agent.config.subscriptions import Connection, Subscription
from fleet_agent.config.telemetry import Telemetry

STATE_DIR = "/var/lib/fleet-agent"
CONFIG_FILE = "/etc/fleet-agent/config.yaml"
DIRECT = "none"  # instead of a proxy: no proxy, whatever the environment has

Method = Literal["csr", "keys"]
KeyType = Literal["ec-p256", "rsa-2048"]

LiteralValue = Annotated[str, Text(checks.literal_parameter, length=4096)]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Claim:
    """The claim certificate and its key: paths, or ``credential:NAME``."""

    certificate: Annotated[
        str,
        FilePath(credential=True),
        Doc(
            "The claim certificate, PEM.",
            "certificate: /etc/fleet-agent/claim/claim.certificate.pem.crt",
        ),
    ]
    private_key: Annotated[
        str,
        FilePath(credential=True, token=True),
        Doc(
            "The claim certificate's private key: PEM, or in a token, `pkcs11:token=…;object=…`.",
            "private_key: credential:claim-key",
        ),
    ]
    after_success: Annotated[
        Literal["keep", "delete"],
        Doc(
            "What becomes of the claim once the device has an identity of its own; `delete` after `good_starts`.",
            "after_success: delete",
        ),
    ] = "keep"
    good_starts: Annotated[
        int,
        Range(1, 1000),
        Doc(
            "With `after_success: delete`: so many starts must have a reading acknowledged before the claim goes.",
            "good_starts: 3",
        ),
    ] = 3


@dataclasses.dataclass(frozen=True, kw_only=True)
class Key:
    """What kind of key the device makes for itself, and where it lives."""

    type: Annotated[
        KeyType,
        Doc(
            "The kind of key the device makes. With `method: keys` AWS makes it: RSA 2048.",
            "type: rsa-2048",
        ),
    ] = "ec-p256"
    store: Annotated[
        Literal["file", "pkcs11"],
        Doc(
            "Where the private key lives: in the state directory, or in a PKCS#11 token.",
            "store: pkcs11",
        ),
    ] = "file"
    module: Annotated[
        str | None,
        FilePath(),
        Doc(
            "The token's PKCS#11 module, a shared library.",
            "module: /usr/lib/softhsm/libsofthsm2.so",
        ),
    ] = None
    token: Annotated[
        str | None,
        Text(checks.token_label, length=32),
        Doc("The token's label, 1 to 32 bytes.", "token: fleet"),
    ] = None
    label: Annotated[
        str,
        Text(checks.key_label, length=64),
        Doc(
            "The key's label: one that is there is used, else it is made. A rotation's key gets "
            "a number: `fleet-agent-0002`.",
            "label: fleet-agent",
        ),
    ] = "fleet-agent"
    pin_file: Annotated[
        str | None,
        FilePath(credential=True),
        Doc("The file that holds the token's PIN.", "pin_file: credential:pkcs11-pin"),
    ] = None

    def __post_init__(self) -> None:
        """A hardware token needs all three keys that name it, and a file none of them.

        Raises:
            WrongValueError: It is not so.
        """
        given = {"module": self.module, "token": self.token, "pin_file": self.pin_file}
        if self.store == "pkcs11" and (
            missing := [name for name, value in given.items() if not value]
        ):
            raise WrongValueError(
                f"is in a hardware token and lacks {', '.join(missing)}",
                "write {store: pkcs11, module: /usr/lib/….so, token: LABEL, pin_file: FILE}",
            )
        if self.store == "file" and (useless := [name for name, value in given.items() if value]):
            raise WrongValueError(
                f"has {', '.join(useless)}, which a key in a file does not take",
                "write store: pkcs11",
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class DeviceTree:
    """A property of the device tree, such as ``serial-number``."""

    device_tree: Annotated[
        str,
        Text(checks.device_tree_name, r"^[0-9A-Za-z,._+?#@/-]+$"),
        Doc(
            "A property of the device tree, by its path below /proc/device-tree.",
            "device_tree: serial-number",
        ),
    ]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dmi:
    """A field of /sys/class/dmi/id, such as ``product_serial``."""

    dmi: Annotated[
        str,
        Text(checks.field_name, r"^[a-z0-9_]{1,64}$"),
        Doc("A field of /sys/class/dmi/id.", "dmi: product_serial"),
    ]


@dataclasses.dataclass(frozen=True, kw_only=True)
class FromFile:
    """The text of a file, without surrounding white space."""

    file: Annotated[
        str,
        FilePath(credential=True),
        Doc("A text file; white space around the text is dropped.", "file: /etc/site-code"),
    ]


@dataclasses.dataclass(frozen=True, kw_only=True)
class FromEnvironment:
    """An environment variable of the agent."""

    env: Annotated[
        str,
        Text(checks.variable_name, r"^[A-Za-z_][0-9A-Za-z_]*$"),
        Doc("An environment variable of the agent.", "env: SITE_CODE"),
    ]


@dataclasses.dataclass(frozen=True, kw_only=True)
class FromCommand:
    """What a command prints on stdout within ``timeout``."""

    command: Annotated[
        tuple[Annotated[str, Text(checks.command_word)], ...],
        Items(1, 64, first=Text(checks.program)),
        Doc(
            "A program and its arguments; no shell. What it prints is the value.",
            "command: [cat, /proc/version]",
        ),
    ]
    timeout: Annotated[
        float,
        Duration(0.1, 300),
        Doc("How long the program may take before it is killed, 100ms to 5m.", "timeout: 5s"),
    ] = 10.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mac:
    """The MAC address of an interface, or of the first physical one with ``auto``."""

    mac: Annotated[
        str,
        Text(checks.interface_name, r"^[^\s/:]{1,15}$"),
        Doc("An interface, or `auto` for the first physical one by interface index.", "mac: eth0"),
    ]


@dataclasses.dataclass(frozen=True, kw_only=True)
class MachineId:
    """/etc/machine-id, hashed for this application (the raw one is confidential)."""

    machine_id: Annotated[
        Literal["app"],
        Doc("`app`: /etc/machine-id hashed for this application.", "machine_id: app"),
    ]


@dataclasses.dataclass(frozen=True, kw_only=True)
class FirstOf:
    """The first of these that has a usable value."""

    first_of: Annotated[
        tuple["Source", ...],
        Items(1, 16),
        Doc(
            "Sources in order; the first with a usable value wins.",
            "first_of: [{dmi: product_serial}, {mac: auto}]",
        ),
    ]


Source = (
    LiteralValue
    | DeviceTree
    | Dmi
    | FromFile
    | FromEnvironment
    | FromCommand
    | Mac
    | MachineId
    | FirstOf
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Provisioning:
    """How the device gets an identity of its own."""

    template: Annotated[
        str,
        Text(checks.template_name, checks.TEMPLATE_PATTERN),
        Doc("The provisioning template's name: 1 to 36 of 0-9 A-Z a-z _ -.", "template: fleet-v1"),
    ]
    method: Annotated[
        Method,
        Doc(
            "`csr`: the device makes its key, which never leaves it. `keys`: AWS makes it.",
            "method: csr",
        ),
    ] = "csr"
    key: Annotated[Key, Doc("The device's own key.", "key: {type: ec-p256, store: file}")] = Key()
    parameters: Annotated[
        Mapping[str, Source],
        Keys(Text(checks.parameter_name, length=2048)),
        Doc(
            "Values for the template's parameters: strings, or sources (parameters.md).",
            "parameters: {SerialNumber: {dmi: product_serial}, Site: Seattle}",
        ),
    ] = dataclasses.field(default_factory=dict)
    spread: Annotated[
        float,
        Duration(0, 7 * 86400),
        Doc("The window over which a fleet's first contacts are spread, 0s to 7d.", "spread: 10m"),
    ] = 0.0

    def __post_init__(self) -> None:
        """A key that AWS makes is in no token.

        Raises:
            WrongValueError: It is to be.
        """
        if self.method == "keys" and self.key.store == "pkcs11":
            raise WrongValueError(
                "lets AWS make the key, which a token cannot take", "write method: csr"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that was set, by file, drop-ins and flags together."""

    endpoint: Annotated[
        str,
        Text(checks.endpoint, checks.HOST_PATTERN),
        Doc(
            "The account's data endpoint, a host name alone: "
            "`aws iot describe-endpoint --endpoint-type iot:Data-ATS` shows it.",
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
            "CA certificates the endpoint is checked with, PEM; the system's store when null.",
            "ca_file: ca.pem",
        ),
    ] = None
    proxy: Annotated[
        str | None,
        Text(checks.proxy, checks.PROXY_PATTERN),
        Doc(
            "An HTTP proxy that lets CONNECT through; `none` for none. When null, the "
            "environment's: `https_proxy`, `all_proxy`, but for the hosts of `no_proxy`.",
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
        Identity | None,
        Doc(
            "A certificate and key that the device has already: adopted at the first start instead of a claim's walk.",
            "identity: {certificate: device.pem.crt, private_key: device.pem.key, thing_name: pump-7}",
        ),
    ] = None
    claim: Annotated[
        Claim | None,
        Doc(
            "The certificate and key a batch of devices shares, for provisioning alone.",
            "claim: {certificate: claim.pem.crt, private_key: claim.pem.key}",
        ),
    ] = None
    provisioning: Annotated[
        Provisioning | None,
        Doc("How the device gets an identity of its own.", "provisioning: {template: fleet-v1}"),
    ] = None
    connection: Annotated[
        Connection, Doc("How the MQTT session is kept.", "connection: {keep_alive: 5m}")
    ] = Connection()  # noqa: RUF009 - frozen
    rotation: Annotated[
        Rotation,
        Doc("When the device replaces its certificate and key.", "rotation: {max_age: 180d}"),
    ] = Rotation()  # noqa: RUF009 - frozen
    telemetry: Annotated[
        Telemetry, Doc("What goes up.", "telemetry: {topic: 'dt/{thing}/{source}'}")
    ] = Telemetry()  # noqa: RUF009 - frozen
    subscriptions: Annotated[
        tuple[Subscription, ...],
        Items(0, 50),
        Doc(
            "What comes down; AWS IoT allows 50 on a connection.",
            'subscriptions: [{topic: "cmd/{thing}/#"}]',
        ),
    ] = ()
    state_dir: Annotated[
        str,
        FilePath(),
        Doc(
            "Where the identity and the ledger live. Must survive a reboot.",
            "state_dir: /data/fleet-agent",
        ),
    ] = STATE_DIR
    runtime_dir: Annotated[
        str | None,
        FilePath(),
        Doc(
            "Where status.json and identity.json go. When null: $RUNTIME_DIRECTORY, else `run` "
            "in the state directory.",
            "runtime_dir: /run/fleet-agent",
        ),
    ] = None
