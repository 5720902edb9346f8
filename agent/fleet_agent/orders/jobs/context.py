"""What the jobs of one thing work with."""

from collections.abc import Callable, Mapping
from pathlib import Path

from fleet_agent.clock import Clock
from fleet_agent.errors import StateDirectoryError
from fleet_agent.orders.handler import Handler
from fleet_agent.orders.jobs.document import Step
from fleet_agent.record import record
from fleet_agent.session.message import Outgoing


@record
class JobsContext:
    """What jobs work with: ``handler`` finds a step's handler or raises ``UnfitError``; ``facts`` are for conditions.

    ``cancel``: ends the order of that identity, whoever has it.
    """

    thing: str
    path: Path
    send: Callable[[Outgoing], None]
    clock: Clock
    handler: Callable[[Step], Handler]
    cancel: Callable[[str], None]
    facts: Callable[[], Mapping[str, str]]
    not_kept: Callable[[StateDirectoryError], None]
