"""The daemon's options, as the worker that reads them sends them."""

from pathlib import Path
from typing import TYPE_CHECKING

from fleet_agent.record import record

if TYPE_CHECKING:
    from fleet_agent.config.settings import Settings


@record
class StartOptions:
    """The daemon's options: the configuration, and those of the command line alone.

    ``configuration`` is its file, if nothing else says the options.
    """

    settings: "Settings"
    configuration: Path | None
    allow_volatile: bool
    any_owner: bool
    is_verbose: bool
