"""Topics, names and commands, which several sections have. As in ``settings``."""

from typing import Annotated

from fleet_agent.config import checks
from fleet_agent.config.shape import Doc, Items, Text
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
