"""Orders that find no place in the queue: held in memory and not acknowledged, so that AWS keeps them."""

import collections
import dataclasses
from collections.abc import Callable

from fleet_agent.orders.order import Order

# Bytes held for one handler. AWS sends at most 100 messages without an acknowledgement; other brokers may send more.
HELD_BYTES = 16 * 1024 * 1024


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class HeldOrder:
    """An order without a place in the queue, and what acknowledges each of its deliveries."""

    order: Order
    acknowledge: list[Callable[[], None]]


class HeldOrders:
    """The held orders of one handler, in the order in which they came."""

    def __init__(self) -> None:
        self._orders: collections.deque[HeldOrder] = collections.deque()
        self._by_id: dict[str, HeldOrder] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._orders)

    def has_room(self, size: int) -> bool:
        """Whether another one of so many bytes may be held."""
        return self._bytes + size <= HELD_BYTES

    def add(self, order: Order, acknowledge: Callable[[], None]) -> None:
        """Holds an order, not acknowledged yet."""
        item = HeldOrder(order=order, acknowledge=[acknowledge])
        self._orders.append(item)
        self._bytes += len(order.payload)
        if order.identity is not None:
            self._by_id[order.identity] = item

    def acknowledge_with(self, identity: str, acknowledge: Callable[[], None]) -> None:
        """Handles another delivery of a held order, perhaps the same packet: acknowledging one would count for both."""
        self._by_id[identity].acknowledge.append(acknowledge)

    def has(self, identity: str) -> bool:
        """Whether one of that identity is held."""
        return identity in self._by_id

    def first(self) -> HeldOrder:
        """Takes the first one out."""
        item = self._orders.popleft()
        self._left(item)
        return item

    def drop(self, identity: str) -> None:
        """Takes the one of that identity out, if it is held."""
        if item := self._by_id.get(identity):
            self._orders.remove(item)
            self._left(item)

    def clear(self) -> None:
        """Drops all at the end of the connection: AWS sends them again."""
        while self._orders:
            self.first()

    def _left(self, item: HeldOrder) -> None:
        self._bytes -= len(item.order.payload)
        if item.order.identity is not None:
            del self._by_id[item.order.identity]
