"""Where a value of the template's parameters comes from: a string, or a source of the device."""

from typing import Annotated, Literal

from fleet_agent.config import checks
from fleet_agent.config.shape import Doc, Duration, FilePath, Items, Text
from fleet_agent.record import record

LiteralValue = Annotated[str, Text(checks.literal_parameter, length=4096)]


@record
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


@record
class Dmi:
    """A field of /sys/class/dmi/id, such as ``product_serial``."""

    dmi: Annotated[
        str,
        Text(checks.field_name, r"^[a-z0-9_]{1,64}$"),
        Doc("A field of /sys/class/dmi/id.", "dmi: product_serial"),
    ]


@record
class FromFile:
    """The text of a file, without surrounding white space."""

    file: Annotated[
        str,
        FilePath(credential=True),
        Doc("A text file; white space around the text is dropped.", "file: /etc/site-code"),
    ]


@record
class FromEnvironment:
    """An environment variable of the agent."""

    env: Annotated[
        str,
        Text(checks.variable_name, r"^[A-Za-z_][0-9A-Za-z_]*$"),
        Doc("An environment variable of the agent.", "env: SITE_CODE"),
    ]


@record
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


@record
class Mac:
    """The MAC address of an interface, or of the first physical one with ``auto``."""

    mac: Annotated[
        str,
        Text(checks.interface_name, r"^[^\s/:]{1,15}$"),
        Doc("An interface, or `auto` for the first physical one by interface index.", "mac: eth0"),
    ]


@record
class MachineId:
    """/etc/machine-id, hashed for this application (the raw one is confidential)."""

    machine_id: Annotated[
        Literal["app"],
        Doc("`app`: /etc/machine-id hashed for this application.", "machine_id: app"),
    ]


@record
class FirstOf:
    """The first of several sources that has a usable value."""

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
