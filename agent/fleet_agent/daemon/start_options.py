"""What the daemon is to do, as the worker that reads it sends it."""

from typing import TYPE_CHECKING

from fleet_agent.record import record

if TYPE_CHECKING:
    from fleet_agent.config.settings import Settings


@record
class StartOptions:
    """What the daemon is to do: the configuration, and what only the command line says."""

    settings: "Settings"
    allow_volatile: bool
    any_owner: bool
    is_verbose: bool
