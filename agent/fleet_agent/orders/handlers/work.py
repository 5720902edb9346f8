"""The interface of what a handler does with an order: ``exec``, ``file``, ``socket``, ``helper``, ``upload_bundle``."""

import socket
from collections.abc import Callable
from typing import Protocol

from fleet_agent.clock import Clock
from fleet_agent.orders.order import Order
from fleet_agent.orders.outcome import Outcome
from fleet_agent.record import record

Done = Callable[[Outcome], None]


@record
class Limits:
    """A handler's limits: bytes of a payload, how many orders may wait, seconds for each."""

    size: int
    waiting: int
    seconds: float


class Work(Protocol):
    """Carries out one order at a time, on the deciding thread."""

    # Whether an interrupted order is begun again: doing it twice does no harm.
    is_repeated: bool

    # Whether ``begin`` calls ``done`` before it returns, so that no order ever waits.
    is_instant: bool

    # Whether the work goes on without the agent, and ``resume`` can fetch its outcome.
    goes_on: bool

    def begin(self, order: Order, done: Done) -> None:
        """Carries it out; ``done`` is called once, later or before this returns."""

    def resume(self, order: Order, done: Done) -> bool:
        """Fetches the outcome of an order that an earlier run had begun; False: that is not possible."""

    @property
    def due(self) -> float:
        """When ``act`` is to be called (monotonic seconds); ``math.inf``: not for a deadline's sake."""

    def act(self) -> None:
        """Handles a deadline that has passed."""

    def cancel(self) -> bool:
        """Ends the work under way; False: it takes a while, and ``done`` is called then."""

    def close(self) -> None:
        """Gives up the work under way: ``done`` is not called any more."""


def seconds(limit: float, order: Order, clock: Clock) -> float:
    """Returns the time limit of an order, the smaller of its handler's and its own."""
    return limit if order.bound is None else max(min(limit, order.bound.left(clock)), 0.0)


def sent(kind: int, path: str, data: bytes) -> socket.socket:
    """Connects to a local program, without waiting for it, and sends it this; returns the connection.

    Raises:
        OSError: It does not listen or does not read, or this process has no descriptor left.
    """
    connection = socket.socket(socket.AF_UNIX, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        connection.connect(path)
        if connection.send(data, socket.MSG_NOSIGNAL) < len(data):
            raise BlockingIOError(0, "it does not read its socket")
    except OSError:
        connection.close()
        raise
    return connection
