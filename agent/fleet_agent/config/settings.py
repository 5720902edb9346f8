"""What the agent can be told, as frozen values; the file format is these names (docs/reference/configuration.md).

Plain dataclasses, so that a command with all it needs in its flags imports neither YAML nor a validator.
Durations are seconds, sizes are bytes, once parsed; in the file both are strings with units ("60s", "64MiB").
"""

import dataclasses
from collections.abc import Mapping
from typing import Literal

STATE_DIR = "/var/lib/fleet-agent"
CONFIG_FILE = "/etc/fleet-agent/config.yaml"

Method = Literal["csr", "keys"]
KeyType = Literal["ec-p256", "rsa-2048"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Claim:
    """The claim certificate and its key: paths, or ``credential:NAME`` under ``$CREDENTIALS_DIRECTORY``."""

    certificate: str
    private_key: str
    after_success: Literal["keep", "delete"] = "keep"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Key:
    """What kind of key the device makes for itself, and where it lives."""

    type: KeyType = "ec-p256"
    store: Literal["file"] = "file"


@dataclasses.dataclass(frozen=True, kw_only=True)
class DeviceTree:
    """A property of the device tree, such as ``serial-number``."""

    device_tree: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dmi:
    """A field of /sys/class/dmi/id, such as ``product_serial``."""

    dmi: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class FromFile:
    """The text of a file, without surrounding white space."""

    file: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class FromEnvironment:
    """An environment variable of the agent."""

    env: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class FromCommand:
    """What a command prints on stdout; ``timeout`` in seconds."""

    command: tuple[str, ...]
    timeout: float = 10.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mac:
    """The MAC address of an interface, or of the first physical one with ``auto``."""

    mac: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class MachineId:
    """/etc/machine-id, hashed for this application (the raw one is confidential)."""

    machine_id: Literal["app"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class FirstOf:
    """The first of these that has a usable value."""

    first_of: tuple["Source", ...]


Source = str | DeviceTree | Dmi | FromFile | FromEnvironment | FromCommand | Mac | MachineId | FirstOf


@dataclasses.dataclass(frozen=True, kw_only=True)
class Provisioning:
    """How the device gets an identity; ``spread`` in seconds, the window for the fleet's first contact."""

    template: str
    method: Method = "csr"
    key: Key = Key()
    parameters: Mapping[str, Source] = dataclasses.field(default_factory=dict)
    spread: float = 0.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class SystemSource:
    """Uptime, load, memory, disk, temperature; ``interval`` in seconds."""

    interval: float = 60.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class TelemetrySource:
    """One entry of ``telemetry.sources``: the kind is the key."""

    system: SystemSource


@dataclasses.dataclass(frozen=True, kw_only=True)
class Telemetry:
    """What goes up, and under which topic: ``{thing}``, ``{source}`` and ``{certificate_id}`` are filled in."""

    topic: str = "dt/{thing}/{source}"
    sources: tuple[TelemetrySource, ...] = (TelemetrySource(system=SystemSource()),)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Subscription:
    """A topic filter that comes down; ``log`` writes what arrives to the log."""

    topic: str
    qos: Literal[0, 1] = 1
    log: bool = True


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything the agent was told, from file, drop-ins and flags together."""

    endpoint: str
    port: int = 8883
    ca_file: str | None = None
    proxy: str | None = None
    claim: Claim | None = None
    provisioning: Provisioning | None = None
    telemetry: Telemetry = Telemetry()
    subscriptions: tuple[Subscription, ...] = ()
    state_dir: str = STATE_DIR
    runtime_dir: str | None = None
