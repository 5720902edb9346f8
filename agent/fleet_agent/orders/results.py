"""What a handler's orders came to: counted, kept until the sender knows, and remembered, so that none is done twice."""

import functools
import logging
from collections.abc import Callable
from pathlib import Path

from fleet_agent import clock as clocks
from fleet_agent.errors import StateDirectoryError
from fleet_agent.health import table
from fleet_agent.orders.deduplicate import Remembered
from fleet_agent.orders.handler_context import Counters, HandlerContext
from fleet_agent.orders.order import MESSAGE, Order
from fleet_agent.orders.order_queue import Item, OrderQueue
from fleet_agent.orders.outcome import DUPLICATE, STOPPED, TIMEOUT, Outcome, Result, failure
from fleet_agent.printable import printable

_log = logging.getLogger(__name__)

_REMEDIES = {
    "not-started": "Check the handler's argv: the program's path, mode and first line (#!), and what the unit allows.",
    TIMEOUT: "Give it more time (timeout), or let it do less before it answers.",
    "not-written": "Its folder must exist, with a file or nothing at that path; the agent's user needs the right to "
    "write there, and the unit ReadWritePaths= for it.",
    "no-program": "Start the program that listens there (SOCK_SEQPACKET), and allow the agent's user to open "
    "its socket.",
    "no-helper": "Enable the helper: systemctl enable --now fleet-agent-helper.socket",
}


class Results:
    """The results of one handler. What the disk does not take is a problem, and stops nothing.

    Args:
        name: The handler's, in the status.
        folder: Keeps the ids that it has seen.
        queue: Keeps its orders.
        context: Where outcomes and problems go.
    """

    def __init__(
        self, name: str, folder: Path, queue: OrderQueue, context: HandlerContext
    ) -> None:
        self.counters = Counters()
        self._name = name
        self._queue = queue
        self._context = context
        self._remembered = Remembered(folder / "ids")

    # Of an order that is carried out --------------------------------------------------------------------------------

    def conclude(self, item: Item, order: Order, outcome: Outcome, *, is_repeated: bool) -> None:
        """Counts an outcome and reports it; it is kept until the sender has it.

        Args:
            item: The order's place in the queue.
            order: What was to be done.
            outcome: How it ended.
            is_repeated: It would have been done again after an interruption: its id is remembered only now.
        """
        self._context.note(self._name, order, outcome.result, outcome.reason)
        if outcome.is_good:
            self.counters.handled += 1
            self._context.health.clear(table.HANDLER_FAILED, self._name)
        else:
            self.counters.failed += 1
            self._note(outcome)
            _log.warning("%s: %s", self._name, outcome.reason)
            # A refusal is the sender's fault, an interruption nobody's.
            if outcome.result is not Result.REFUSED and outcome.error != STOPPED:
                self._raise(outcome)
        if order.is_answered:
            self.keep(functools.partial(self._queue.end, item, order, outcome))
        if is_repeated and outcome.is_good:
            self.remember(order)
        if order.is_answered:
            self.report(order, outcome, item)
        else:
            self.forget(item)

    def canceled(self, item: Item, order: Order, outcome: Outcome) -> None:
        """Records the end of an order that its sender no longer wants, and reports nothing."""
        self._context.note(self._name, order, outcome.result, outcome.reason)
        _log.info("%s: ended the canceled order", self._name)
        self.forget(item)

    def report(self, order: Order, outcome: Outcome, item: Item | None = None) -> None:
        """Reports an outcome to the sender; what is kept of the order in ``item`` is forgotten once it arrived."""
        forget = functools.partial(self.forget, item) if item else _nothing
        reporter = self._context.reporters.get(order.origin)
        if reporter is None:
            _log.warning(
                "%s: an outcome cannot be reported, because %ss are switched off",
                self._name,
                order.origin,
            )
            forget()
        else:
            reporter.report(self._name, order, outcome, forget)

    def forget(self, item: Item) -> None:
        """Removes what is kept of an order: nothing is left to do."""
        self.keep(functools.partial(self._queue.remove, item))

    # Of an order that is not ----------------------------------------------------------------------------------------

    def refuse(self, order: Order, outcome: Outcome) -> None:
        """Counts an order that is refused, and reports that."""
        self.counters.refused += 1
        self._note(outcome)
        self._context.note(self._name, order, outcome.result, outcome.reason)
        _log.warning("%s: refused the order %s: %s", self._name, _shown(order), outcome.reason)
        self.report(order, outcome)

    def duplicate(self, order: Order) -> None:
        """Counts an order that was taken before; the sender of a message learns of it."""
        self.counters.duplicates += 1
        _log.info("%s: a duplicate %s was ignored", self._name, _shown(order))
        if order.origin == MESSAGE:
            self.report(order, failure(DUPLICATE, "a message with that id was accepted before"))

    # Ids ------------------------------------------------------------------------------------------------------------

    def knows(self, order: Order) -> bool:
        """Whether an order's id is remembered."""
        return order.identity is not None and self.has(order.identity)

    def has(self, identity: str) -> bool:
        """Whether that id is remembered."""
        return identity in self._remembered

    def remember(self, order: Order) -> None:
        """Remembers an order's id, if it has one."""
        if order.identity is not None and order.identity not in self._remembered:
            self.keep(functools.partial(self._remembered.add, order.identity))

    def unremember(self, order: Order) -> None:
        """Forgets an order's id: it may come again."""
        if order.identity is not None:
            self.keep(functools.partial(self._remembered.forget, order.identity))

    def keep(self, change: Callable[[], None]) -> None:
        """Makes a change on disk; a failure is a problem."""
        try:
            change()
        except StateDirectoryError as error:
            self._context.not_kept(error)

    def _raise(self, outcome: Outcome) -> None:
        title = f"The handler {self._name} failed: {outcome.reason.rstrip('.')}."
        remedy = _REMEDIES.get(outcome.error)
        self._context.health.report(table.HANDLER_FAILED.problem(title, remedy, name=self._name))

    def _note(self, outcome: Outcome) -> None:
        self.counters.last_error = outcome.reason
        self.counters.last_error_time = clocks.text(self._context.clock.wall())


def _nothing() -> None:
    """Does nothing."""


def _shown(order: Order) -> str:
    """Describes the origin of an order, for the log."""
    if order.origin == MESSAGE:
        return f"on {printable(order.topic.encode(errors='replace'))}"
    return f"as {printable(order.identity or order.origin)}"
