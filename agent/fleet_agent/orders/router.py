"""Routes everything that comes down: jobs, commands, orders to rotate or move, and all other messages."""

import enum
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from fleet_agent.credentials.model import Credential
from fleet_agent.errors import AgentError
from fleet_agent.orders.handler_registry import Roster
from fleet_agent.orders.messages import Messages
from fleet_agent.orders.order import Arrived
from fleet_agent.session.message import Outgoing


class Receipt(enum.Enum):
    """What became of a message."""

    NOT_OURS = "not for us"
    HELD = "not acknowledged: its handler has no place for it yet"
    TAKEN = "taken and acknowledged"
    ROTATE = "an order to replace the credential now"


class Taker(Protocol):
    """Takes messages of one kind, and acts at deadlines."""

    @property
    def due(self) -> float:
        """When ``act`` is to be called (monotonic seconds)."""

    def act(self) -> None:
        """The deadline has passed."""

    def connected(self) -> None:
        """The connection stands."""

    def disconnected(self) -> None:
        """The connection ended."""

    def granted(self) -> None:
        """A topic filter is granted that was not: messages may have been missed."""

    def take(self, message: Arrived) -> Receipt:
        """Looks at a message."""


class RotationObserver(Protocol):
    """Learns how a rotation or a move went, which the agent carries out itself."""

    def rotated(self, credential: Credential) -> None:
        """The credential was replaced by this one."""

    def failed(self, error: AgentError) -> None:
        """The credential was not replaced."""


class Mover(Protocol):
    """Knows where the device is ordered to move."""

    destination: str | None

    def moved(self) -> list[Outgoing]:
        """The device has moved: what is left to say where it was."""


class Orders:
    """Routes what comes down.

    Args:
        takers: Offered each message, in this order.
        messages: Gets what none of them takes.
        roster: The handlers.
        observers: Learn how a rotation went.
        move: Where the device may be moved; None: nowhere.
    """

    def __init__(
        self,
        takers: Sequence[Taker],
        messages: Messages,
        roster: Roster,
        observers: Sequence[RotationObserver],
        move: Mover | None,
    ) -> None:
        self._takers = takers
        self._messages = messages
        self._roster = roster
        self._observers = observers
        self._move = move
        self.is_logged: Callable[[str], bool] = messages.is_logged

    @property
    def roster(self) -> Roster:
        """The handlers, for the status."""
        return self._roster

    @property
    def last(self) -> Iterable[Mapping[str, str | None]]:
        """The last orders, with outcome and time."""
        return self._roster.last

    def take(self, message: Arrived) -> Receipt:
        """Gives a message to the one that takes it."""
        for taker in self._takers:
            if (receipt := taker.take(message)) is not Receipt.NOT_OURS:
                return receipt
        return Receipt.TAKEN if self._messages.take(message) else Receipt.HELD

    def connected(self) -> None:
        """The connection stands: ask for what waits in the cloud."""
        for taker in self._takers:
            taker.connected()

    def granted(self) -> None:
        """A topic filter is granted that was not: ask for what may have been missed."""
        for taker in self._takers:
            taker.granted()

    def disconnected(self) -> None:
        """The connection ended: what is not acknowledged comes again."""
        for taker in self._takers:
            taker.disconnected()
        self._roster.disconnected()

    def rotated(self, credential: Credential) -> None:
        """The credential was replaced by this one."""
        for observer in self._observers:
            observer.rotated(credential)

    def failed(self, error: AgentError) -> None:
        """The credential was not replaced."""
        for observer in self._observers:
            observer.failed(error)

    def take_destination(self) -> str | None:
        """Returns the ordered destination, once; None: it is a rotation."""
        if self._move is None:
            return None
        found, self._move.destination = self._move.destination, None
        return found

    def moved(self) -> list[Outgoing]:
        """The device has moved: what is left to say where it was."""
        return self._move.moved() if self._move else []

    @property
    def due(self) -> float:
        """When ``act`` is to be called (monotonic seconds)."""
        return min((self._roster.due, *(taker.due for taker in self._takers)))

    def act(self) -> None:
        """A deadline has passed."""
        self._roster.act()
        for taker in self._takers:
            taker.act()

    def close(self) -> None:
        """Ends what goes on; call it while answers can still leave."""
        self._roster.close()
