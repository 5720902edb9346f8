"""Runs a program for an order: the payload is its stdin, nothing of it is ever in a shell.

The arguments of a job's step, or of a command, follow its own.

What it learns beside: ``FLEET_AGENT_TOPIC``, ``FLEET_AGENT_HANDLER``, and where the message has them
``FLEET_AGENT_CONTENT_TYPE``, ``FLEET_AGENT_RESPONSE_TOPIC``, ``FLEET_AGENT_MESSAGE_ID``.
"""

import math
from collections.abc import Mapping

from fleet_agent.clock import Clock
from fleet_agent.config.handlers import ExecHandler
from fleet_agent.orders.handlers.work import Done, seconds
from fleet_agent.orders.order import Order, is_carried
from fleet_agent.orders.outcome import TIMEOUT, Outcome, failure
from fleet_agent.process.mailbox import Mailbox
from fleet_agent.programs.child import Cause, Child, Ended


class ExecWork:
    """Runs programs.

    Args:
        handler: Which, and how long.
        name: The handler's name, for the program.
        mailbox: Where the program is watched.
        clock: For its time limit.
    """

    # It may have acted before it was cut off: an order to reboot would come again after each boot.
    is_repeated = False
    is_instant = False
    goes_on = False

    def __init__(self, handler: ExecHandler, name: str, mailbox: Mailbox, clock: Clock) -> None:
        self._handler = handler
        self._name = name
        self._mailbox = mailbox
        self._clock = clock
        self._child: Child | None = None
        self._argv: tuple[str, ...] = handler.argv

    @property
    def due(self) -> float:
        """When the program's time is over."""
        return self._child.due if self._child else math.inf

    def begin(self, order: Order, done: Done) -> None:
        """Starts it."""

        def ended(how: Ended) -> None:
            self._child = None
            done(self._outcome(how))

        self._argv = (*self._handler.argv, *order.arguments)
        self._child = Child(
            self._argv,
            mailbox=self._mailbox,
            clock=self._clock,
            stdin=order.payload,
            limit=self._handler.max_answer,
            timeout=seconds(self._handler.timeout, order, self._clock),
            environment=self._environment(order),
            on_end=ended,
            cuts=True,
        )

    def _environment(self, order: Order) -> Mapping[str, str]:
        return environment(order, self._name)

    def resume(self, _order: Order, _done: Done) -> bool:
        """Reports an order as stopped: its program ended with the agent, or unobserved."""
        return False

    def act(self) -> None:
        """Ends it at its time limit."""
        if self._child is not None:
            self._child.act()

    def cancel(self) -> bool:
        """Ends it."""
        self.close()
        return True

    def close(self) -> None:
        """Ends it."""
        if self._child is not None:
            self._child.kill()
            self._child = None

    def _outcome(self, how: Ended) -> Outcome:
        reason = "" if how.words is None else f"{self._argv[0]} {how.words}"
        if how.cause is Cause.NOT_STARTED:
            return failure("not-started", reason)
        is_killed = how.status is None or how.status < 0
        error = "killed" if is_killed else ""
        return Outcome(
            status=-1 if how.status is None or is_killed else how.status,
            error=TIMEOUT if how.cause is Cause.TIMEOUT else error,
            reason=reason,
            stdout=how.output,
            stderr=how.errors,
            is_cut=how.is_cut,
        )


def environment(order: Order, name: str) -> dict[str, str]:
    """Returns the variables added to the clean environment; values that it cannot hold are left out."""
    found = {
        "FLEET_AGENT_TOPIC": order.topic,
        "FLEET_AGENT_HANDLER": name,
        "FLEET_AGENT_CONTENT_TYPE": order.content_type,
        "FLEET_AGENT_RESPONSE_TOPIC": order.response_topic,
        "FLEET_AGENT_MESSAGE_ID": order.identity,
    }
    return {key: value for key, value in found.items() if value and is_carried(value)}
