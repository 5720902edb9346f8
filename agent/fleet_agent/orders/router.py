"""Routes everything that comes down: jobs, commands, orders to rotate or move, and all other messages."""

import enum
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from fleet_agent.credentials.model import Credential
from fleet_agent.errors import AgentError
from fleet_agent.orders.handler_registry import HandlerRegistry
from fleet_agent.orders.messages import Messages
from fleet_agent.orders.order import Arrived
from fleet_agent.session.message import Outgoing


class Receipt(enum.Enum):
    """The result of offering a message."""

    NOT_OURS = "not for us"
    HELD = "not acknowledged: its handler has no place for it yet"
    TAKEN = "taken and acknowledged"
    ROTATE = "an order to replace the credential now"


class Receiver(Protocol):
    """Takes messages of one kind, and acts at deadlines."""

    @property
    def due(self) -> float:
        """When ``act`` is to be called (monotonic seconds)."""

    def act(self) -> None:
        """Handles a deadline that has passed."""

    def connected(self) -> None:
        """Handles a new connection."""

    def disconnected(self) -> None:
        """Handles the end of the connection."""

    def granted(self) -> None:
        """Handles a topic filter that is granted now and was not before: messages may have been missed."""

    def take(self, message: Arrived) -> Receipt:
        """Takes a message, if it is one of these."""


class RotationObserver(Protocol):
    """Learns how a rotation or a move went, which the agent carries out itself."""

    def rotated(self, credential: Credential) -> None:
        """Notes that this credential has replaced the old one."""

    def failed(self, error: AgentError) -> None:
        """Notes that the credential was not replaced."""


class Mover(Protocol):
    """Knows where the device is ordered to move."""

    destination: str | None

    def moved(self) -> list[Outgoing]:
        """Returns what is still to be reported in the old account, now that the device has moved."""


class Orders:
    """Routes what comes down.

    Args:
        receivers: Offered each message, in this order.
        messages: Gets what none of them takes.
        registry: The handlers.
        observers: Learn how a rotation went.
        move: Where the device may be moved; None: nowhere.
    """

    def __init__(
        self,
        receivers: Sequence[Receiver],
        messages: Messages,
        registry: HandlerRegistry,
        observers: Sequence[RotationObserver],
        move: Mover | None,
    ) -> None:
        self._receivers = receivers
        self._messages = messages
        self._registry = registry
        self._observers = observers
        self._move = move
        self.is_logged: Callable[[str], bool] = messages.is_logged

    @property
    def registry(self) -> HandlerRegistry:
        """The handlers, for the status."""
        return self._registry

    @property
    def last(self) -> Iterable[Mapping[str, str | None]]:
        """The last orders, with outcome and time."""
        return self._registry.last

    def take(self, message: Arrived) -> Receipt:
        """Gives a message to the one that takes it."""
        for receiver in self._receivers:
            if (receipt := receiver.take(message)) is not Receipt.NOT_OURS:
                return receipt
        return Receipt.TAKEN if self._messages.take(message) else Receipt.HELD

    def connected(self) -> None:
        """Asks, on a new connection, for what waits in the cloud."""
        for receiver in self._receivers:
            receiver.connected()

    def granted(self) -> None:
        """Asks for what may have been missed before a topic filter was granted."""
        for receiver in self._receivers:
            receiver.granted()

    def disconnected(self) -> None:
        """Handles the end of the connection: AWS sends again what is not acknowledged."""
        for receiver in self._receivers:
            receiver.disconnected()
        self._registry.disconnected()

    def rotated(self, credential: Credential) -> None:
        """Notes that this credential has replaced the old one."""
        for observer in self._observers:
            observer.rotated(credential)

    def failed(self, error: AgentError) -> None:
        """Notes that the credential was not replaced."""
        for observer in self._observers:
            observer.failed(error)

    def take_destination(self) -> str | None:
        """Returns the ordered destination, once; None: it is a rotation."""
        if self._move is None:
            return None
        found, self._move.destination = self._move.destination, None
        return found

    def moved(self) -> list[Outgoing]:
        """Returns what is still to be reported in the old account, now that the device has moved."""
        return self._move.moved() if self._move else []

    @property
    def due(self) -> float:
        """When ``act`` is to be called (monotonic seconds)."""
        return min((self._registry.due, *(receiver.due for receiver in self._receivers)))

    def act(self) -> None:
        """Handles a deadline that has passed."""
        self._registry.act()
        for receiver in self._receivers:
            receiver.act()

    def close(self) -> None:
        """Ends what is in progress; call it while answers can still be sent."""
        self._registry.close()
