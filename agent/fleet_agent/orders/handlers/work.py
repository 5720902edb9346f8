"""What a handler does with a command: one of ``exec``, ``file`` and ``socket``."""

from collections.abc import Callable
from typing import Protocol

from fleet_agent.orders.answer import Outcome
from fleet_agent.orders.command import Command

Done = Callable[[Outcome], None]


class Work(Protocol):
    """Handles one command at a time, on the deciding thread."""

    # Whether a command that the agent's end interrupted is handled again: what it does bears that.
    is_repeated: bool

    # Whether ``begin`` has called ``done`` when it returns: no command ever waits.
    is_instant: bool

    def begin(self, command: Command, done: Done) -> None:
        """Handle it; ``done`` is called once, later or before this returns."""

    @property
    def due(self) -> float:
        """When ``act`` is to be called (monotonic seconds); ``math.inf``: not for a deadline's sake."""

    def act(self) -> None:
        """The deadline has passed."""

    def close(self) -> None:
        """Give up what goes on: ``done`` is not called any more."""
