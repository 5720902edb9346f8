"""The assignment of orders to handlers: operations of AWS IoT Jobs, names of AWS IoT Commands, direct messages."""

import dataclasses
from collections.abc import Mapping
from typing import Annotated

from fleet_agent.config import checks
from fleet_agent.config.names import Name
from fleet_agent.config.shape import Doc, Duration, Items, Keys, Text
from fleet_agent.record import record


@record
class Jobs:
    """AWS IoT Jobs, and which handler carries out what they ask for."""

    enabled: Annotated[
        bool, Doc("Whether the agent takes the jobs of this thing.", "enabled: true")
    ] = False
    operations: Annotated[
        Mapping[str, Name],
        Keys(Text(checks.operation, length=256)),
        Doc(
            "Maps the `handler` of a step (with or without its `path/`), or the `operation` of a document, to one "
            "of `handlers`.",
            "operations: {reboot.sh: reboot, collect-logs: collect-logs}",
        ),
    ] = dataclasses.field(default_factory=dict)
    handler: Annotated[
        Name | None,
        Doc(
            "The handler of documents without steps and without one of these operations; when null, they are "
            "rejected.",
            "handler: application",
        ),
    ] = None
    run_command: Annotated[
        bool,
        Doc(
            "Whether `runCommand` steps are carried out: any program, as the agent's user.",
            "run_command: true",
        ),
    ] = False
    run_command_timeout: Annotated[
        float,
        Duration(1, 86400),
        Doc("How long such a program may take, 1s to 1d.", "run_command_timeout: 5m"),
    ] = 3600.0
    leave: Annotated[
        tuple[Mapping[str, str], ...],
        Items(0, 20),
        Doc(
            "Jobs that another program on the device takes: those whose document has all these members. The agent "
            "leaves them alone and carries out those after them.",
            "leave: [{operation: firmware-update}]",
        ),
    ] = ()


@record
class Commands:
    """AWS IoT Commands, and which handler carries out which."""

    enabled: Annotated[
        bool, Doc("Whether the agent takes the commands of this thing.", "enabled: true")
    ] = False
    member: Annotated[
        str,
        Text(checks.operation, length=256),
        Doc("The member of a JSON payload that holds a command's name.", "member: action"),
    ] = "operation"
    operations: Annotated[
        Mapping[str, Name],
        Keys(Text(checks.operation, length=256)),
        Doc(
            "Maps a command's name to one of `handlers`.",
            "operations: {reboot: reboot, lock: door}",
        ),
    ] = dataclasses.field(default_factory=dict)
    handler: Annotated[
        Name | None,
        Doc(
            "The handler of all other commands, whatever their payload; when null, they are rejected.",
            "handler: application",
        ),
    ] = None


@record
class DirectMessages:
    """Messages that no subscription matches, such as those of SendDirectMessage."""

    handler: Annotated[
        Name | None,
        Doc(
            "The handler that gets them; when null, they are only counted and acknowledged.",
            "handler: application",
        ),
    ] = None
