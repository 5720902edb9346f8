"""What all handlers work with: the clock, problems, reporters of outcomes, and the last orders for the status."""

import collections
import dataclasses
from collections.abc import Callable
from typing import Protocol

from fleet_agent import clock as clocks
from fleet_agent.clock import Clock
from fleet_agent.errors import StateDirectoryError
from fleet_agent.files.reserved import Reserved
from fleet_agent.health import table
from fleet_agent.health.status import Health
from fleet_agent.orders.order import Order
from fleet_agent.orders.outcome import Outcome, Result
from fleet_agent.printable import printable
from fleet_agent.record import mutable, record

LAST = 20  # orders that the status shows
_SHOWN = 200  # characters of a reason


@mutable
class Counters:
    """A handler's counters since it was configured; ``last_error`` with its time, None without an error.

    ``waiting`` orders are in the queue, ``held`` ones are not acknowledged yet.
    """

    handled: int = 0
    failed: int = 0
    refused: int = 0
    duplicates: int = 0
    waiting: int = 0
    held: int = 0
    last_error: str | None = None
    last_error_time: str | None = None


class Reporter(Protocol):
    """Reports outcomes to the senders of one origin."""

    def report(
        self, handler: str, order: Order, outcome: Outcome, forget: Callable[[], None]
    ) -> None:
        """Reports the outcome; calls ``forget`` once it arrived: until then it is kept, and reported again."""


@record
class HandlerContext:
    """What all handlers work with.

    ``reserved``: files that no handler writes. ``reporters``: by an order's origin.
    """

    clock: Clock
    health: Health
    reserved: Reserved
    reporters: dict[str, Reporter] = dataclasses.field(default_factory=dict)
    last: collections.deque[dict[str, str | None]] = dataclasses.field(
        default_factory=lambda: collections.deque(maxlen=LAST)
    )

    def note(self, handler: str, order: Order, result: Result, reason: str) -> None:
        """Adds an order to the last ones that the status shows."""
        self.health.is_outdated = True
        self.last.append(
            {
                "time": clocks.text(self.clock.wall()),
                "origin": order.origin,
                "handler": handler,
                "id": printable(order.identity or order.id, _SHOWN),
                "outcome": result.value,
                "reason": printable(reason, _SHOWN) or None,
            }
        )

    def not_kept(self, error: StateDirectoryError) -> None:
        """Reports that the disk takes no writes, so that orders do not survive a restart."""
        title = f"For now, orders do not survive a restart. {error.title}"
        self.health.warn(table.ORDERS_NOT_KEPT.problem(title, error.remedy))
