"""One handler: carries out one order at a time, lets others wait, refuses what it cannot take, reports outcomes.

An order is acknowledged to AWS when it is safe: a file handler has written its file, and every other order is in a file
of its own, which stays until the sender has the outcome. So an order outlives the agent: one that waited is carried
out, a socket is asked until it answers, a helper is asked for the result. A program that was started is not started
again; its outcome is that it was interrupted. When the queue is full, orders are held: AWS keeps what is not
acknowledged, and sends it again if the connection ends before its turn comes.
"""

import functools
import math
from collections.abc import Callable
from pathlib import Path

from fleet_agent.errors import StateDirectoryError
from fleet_agent.health import table
from fleet_agent.orders.handler_context import HandlerContext
from fleet_agent.orders.handlers.work import Limits, Work
from fleet_agent.orders.held import HeldOrders
from fleet_agent.orders.order import Order
from fleet_agent.orders.order_queue import Item, OrderQueue
from fleet_agent.orders.outcome import (
    BUSY,
    CANCELED,
    STOPPED,
    TIMEOUT,
    TOO_LARGE,
    Outcome,
    failure,
)
from fleet_agent.orders.results import Results

AGAIN = 10.0  # seconds until an order that cannot be read from disk is read again

_INTERRUPTED = "the agent ended while it was carried out; it is not started again"


class Handler:
    """Carries out orders, one at a time.

    Args:
        name: Its name in the status.
        work: What it does with an order.
        limits: The limits of its orders.
        folder: Keeps its orders and the ids it has seen; made when there is something to keep.
        context: Where outcomes and problems go.
    """

    def __init__(
        self, name: str, work: Work, limits: Limits, folder: Path, context: HandlerContext
    ) -> None:
        self.name = name
        self.limits = limits
        self.folder = folder
        self._work = work
        self._context = context
        self._queue = OrderQueue(folder)
        self._results = Results(name, folder, self._queue, context)
        self.counters = self._results.counters
        self._current: tuple[Item, Order] | None = None
        self._held = HeldOrders()
        self._is_going = False
        self._is_closed = False
        self._is_canceled = False  # the current one
        # Monotonic seconds: the next order cannot be read from disk before.
        self._blocked_until = 0.0
        self.counters.waiting = len(self._queue)

    @property
    def due(self) -> float:
        """When ``act`` is to be called: at once if an earlier run left something."""
        if self._queue.begun or self._queue.ended:
            return 0.0
        if self._current is not None:
            return self._work.due
        return self._blocked_until if len(self._queue) and not self._is_closed else math.inf

    def act(self) -> None:
        """Begins what waits, or ends what has run out of time."""
        if self._queue.begun or self._queue.ended:
            self._resume()
        if self._current is not None:
            if self._work.due <= self._context.clock.monotonic():
                self._work.act()
        else:
            self._go()
            self._admit()

    def take(
        self, order: Order, acknowledge: Callable[[], None], *, will_repeat: bool = True
    ) -> bool:
        """Takes an order: carries it out, queues it, holds it, or refuses it. Once closed, queues it for the next run.

        Args:
            order: What to do.
            acknowledge: Called once it need not come again.
            will_repeat: Whether AWS sends it again until it is acknowledged.

        Returns:
            Whether it was acknowledged; if not, it is held.
        """
        identity = order.identity
        if len(order.payload) > self.limits.size:
            words = f"it has {len(order.payload)} bytes; {self.limits.size} are allowed"
            self.refuse(order, failure(TOO_LARGE, words))
        elif identity is not None and self._held.has(identity):
            self.hold_again(identity, acknowledge)
            return False
        elif identity is not None and self.knows(identity):
            self._results.duplicate(order)
        elif not self._is_full and not self._held:
            self._accept(order)
        elif will_repeat and self._held.has_room(len(order.payload)):
            self._held.add(order, acknowledge)
            self.counters.held = len(self._held)
            return False
        else:
            words = f"{len(self._queue) + len(self._held)} orders are already waiting"
            self.refuse(order, failure(BUSY, words))
        acknowledge()
        return True

    def holds(self, identity: str) -> bool:
        """Whether an order of that identity is held, and so not safe yet."""
        return self._held.has(identity)

    def hold_again(self, identity: str, acknowledge: Callable[[], None]) -> None:
        """Handles a held order that was delivered again: both deliveries are acknowledged when its turn comes."""
        self._held.acknowledge_with(identity, acknowledge)

    def knows(self, identity: str) -> bool:
        """Whether an order of that identity was taken before."""
        return self.has(identity) or self._results.has(identity)

    def has(self, identity: str) -> bool:
        """Whether an order of that identity waits, is held, is carried out, or was when the agent ended."""
        return self._held.has(identity) or self.keeps(identity)

    def keeps(self, identity: str) -> bool:
        """Whether an order of that identity is safe here, so that AWS need not send it again."""
        goes_on = self._current is not None and self._current[1].identity == identity
        return goes_on or self._queue.has(identity) or self._queue.had(identity)

    def cancel(self, identity: str) -> None:
        """Ends an order that its sender no longer wants, and reports nothing; the next one waits for that."""
        self._held.drop(identity)
        if (item := self._queue.take(identity)) is not None:
            self._results.forget(item)
        if self._current is not None and self._current[1].identity == identity:
            self._is_canceled = True
            if self._work.cancel():
                self._done(failure(CANCELED, "it was canceled", was_begun=True))
        else:
            self._go()
            self._admit()

    @property
    def _has_to_wait(self) -> bool:
        return self._current is not None or (self._is_closed and not self._work.is_instant)

    @property
    def _is_full(self) -> bool:
        return self._has_to_wait and len(self._queue) >= self.limits.waiting

    def _accept(self, order: Order) -> None:
        """Puts an order into the queue; when this returns AWS need not send it again."""
        if self._work.is_instant and not self._has_to_wait:
            self._queue.add_in_memory(order)
        else:
            is_next = not (self._has_to_wait or self._is_going or len(self._queue))
            try:
                self._queue.add(order, is_begun=is_next and not self._work.is_repeated)
            except StateDirectoryError as error:
                self._context.not_kept(error)
            else:
                self._context.health.clear(table.ORDERS_NOT_KEPT)
        self._go()

    def _admit(self) -> None:
        """Moves held orders into the queue where places came free, which shows only when no other is being begun."""
        while self._held and not (self._is_going or self._is_full):
            item = self._held.first()
            self.counters.held = len(self._held)
            self._accept(item.order)
            for acknowledge in item.acknowledge:
                acknowledge()

    def disconnected(self) -> None:
        """Drops held orders at the end of the connection: AWS sends them again."""
        self._held.clear()
        self.counters.held = 0

    def refuse(self, order: Order, outcome: Outcome) -> None:
        """Refuses an order and reports that; the caller acknowledges it."""
        self._results.refuse(order, outcome)

    # One at a time ----------------------------------------------------------------------------------------------------

    def _go(self) -> None:
        """Begins what waits, unless something is being carried out."""
        self.counters.waiting = len(self._queue)
        if self._is_going or (self._is_closed and not self._work.is_instant):
            return
        self._is_going = True
        try:
            while self._current is None and (found := self._queue.next()) is not None:
                self._begin(*found)
        except StateDirectoryError as error:
            self._context.not_kept(error)
            self._blocked_until = self._context.clock.monotonic() + AGAIN
        self._is_going = False
        self.counters.waiting = len(self._queue)

    def _begin(self, item: Item, order: Order) -> None:
        if self._results.knows(order):
            self._results.forget(item)  # the agent ended between the two
            return
        if order.bound is not None and order.bound.left(self._context.clock) <= 0:
            self._conclude(
                item, order, failure(TIMEOUT, "its time limit was over before its turn came")
            )
            return
        if not self._work.is_repeated:
            self._results.keep(functools.partial(self._queue.begin, item))
        if self._work.goes_on and item.path is None:
            # Without a record it would be begun again: an order to reboot would do so after each boot.
            words = "the state directory cannot be written, and an order that cannot be recorded is not started"
            self._conclude(item, order, failure("not-kept", words))
            return
        self._current = item, order
        if not self._work.is_repeated:
            self._results.remember(order)
        self._work.begin(order, self._done)

    def _resume(self) -> None:
        """Takes up what an earlier run had begun, or not reported."""
        ended, self._queue.ended = self._queue.ended, []
        begun, self._queue.begun = self._queue.begun, []
        for item, order, outcome in ended:
            if outcome.was_begun and (outcome.is_good or not self._work.is_repeated):
                self._results.remember(order)
            self._results.report(order, outcome, item)
        for item, order in begun:
            self._results.remember(order)
            if self._current is None:
                self._current = item, order
                if self._work.resume(order, self._done):
                    continue
                self._current = None
            self._conclude(item, order, failure(STOPPED, _INTERRUPTED, was_begun=True))

    def close(self) -> None:
        """Ends a running program; what waits, or is asked of other programs, goes on with the next run."""
        self._is_closed = True
        if self._current is None:
            return
        item, order = self._current
        self._work.close()
        self._current = None
        if not (self._work.is_repeated or self._work.goes_on):
            words = "the agent was stopped while the program ran"
            self._conclude(item, order, failure(STOPPED, words, was_begun=True))

    def _done(self, outcome: Outcome) -> None:
        if self._current is None:
            return
        item, order = self._current
        self._current = None
        if not self._work.is_repeated and not outcome.was_begun:
            self._results.unremember(order)
        if self._is_canceled:
            self._is_canceled = False
            self._results.canceled(item, order, outcome)
        else:
            self._conclude(item, order, outcome)
        self._go()
        self._admit()

    def _conclude(self, item: Item, order: Order, outcome: Outcome) -> None:
        self._results.conclude(item, order, outcome, is_repeated=self._work.is_repeated)
