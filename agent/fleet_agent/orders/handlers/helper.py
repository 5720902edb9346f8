"""Asks ``fleet-agent-helper``, which runs as root, to start a program of ``/etc/fleet-agent/helpers.d/``.

A connection for each order, lines of JSON. The agent sends ``{"name", "arguments", "order", "timeout"}``; the helper
answers ``{"started": true}`` and, when the program has ended, ``{"outcome", "status", "reason", "stdout", "stderr"}``.
What it started goes on without the agent: ``{"result": ORDER}`` asks later what became of it, ``{"cancel": ORDER}``
has it ended.

An order that reboots the device is reported by the helper when the device has booted again.
"""

import json
import math
import socket
from typing import Any

from fleet_agent import foreign
from fleet_agent.clock import Clock
from fleet_agent.config.handlers import HelperHandler
from fleet_agent.orders.handlers.work import Done, seconds, sent
from fleet_agent.orders.order import Order
from fleet_agent.orders.outcome import (
    CANCELED,
    REFUSED,
    STOPPED,
    TIMEOUT,
    TOO_LARGE,
    Outcome,
    failure,
)
from fleet_agent.printable import printable
from fleet_agent.process.mailbox import Mailbox

_LINE = 64 * 1024  # bytes of a request, and of an answer
_ASK_EVERY = 2.0  # seconds between two looks at what became of an order
_GRACE = 10.0  # seconds that the helper may take to report what it has ended
_ENDING = 30.0  # seconds for the end of what is canceled: the helper takes 20 at most
_RESULT, _CANCEL = "result", "cancel"
_UNKNOWN, _RUNNING, _REFUSED = "unknown", "running", "refused"


class HelperWork:
    """Has programs started as root.

    Args:
        handler: Which, and how long.
        mailbox: Where the helper's answer is awaited.
        clock: For its time limit, and to distinguish boots.
    """

    is_repeated = False
    is_instant = False
    goes_on = True

    def __init__(self, handler: HelperHandler, mailbox: Mailbox, clock: Clock) -> None:
        self._handler = handler
        self._mailbox = mailbox
        self._clock = clock
        self._connection: socket.socket | None = None
        self._received = bytearray()
        self._done: Done | None = None
        self._order: Order | None = None
        self._is_started = False
        self._asks = _RESULT
        self._until = math.inf  # monotonic seconds
        self.due = math.inf

    def begin(self, order: Order, done: Done) -> None:
        """Asks for it."""
        limit = max(math.ceil(seconds(self._handler.timeout, order, self._clock)), 1)
        request = {
            "name": self._handler.name,
            "arguments": [*self._handler.arguments, *order.arguments],
            "order": order.id,
            "timeout": limit,
        }
        line = json.dumps(request).encode() + b"\n"
        if len(line) > _LINE:
            words = f"its arguments have {len(line)} bytes; {_LINE} are allowed"
            done(failure(TOO_LARGE, words))
            return
        self._order, self._done, self._is_started, self._asks = order, done, False, _RESULT
        self._until = self.due = self._clock.monotonic() + limit + _GRACE
        if why := self._send(line):
            words = f"cannot reach the helper at {self._handler.socket}: {why}"
            self._end(failure("no-helper", words))

    def resume(self, order: Order, done: Done) -> bool:
        """Asks what became of it; the agent, or the device, was away."""
        self._order, self._done, self._is_started, self._asks = order, done, True, _RESULT
        self._until = self._clock.monotonic() + self._handler.timeout + _GRACE
        self._ask()
        return True

    def act(self) -> None:
        """Ends it at its time limit, or asks again."""
        if self._clock.monotonic() < self._until:
            self._ask()
            return
        words = f"the helper did not report the end of {self._handler.name} in time"
        self._end(failure(TIMEOUT, words, was_begun=True))

    def cancel(self) -> bool:
        """Has it ended; the next order waits for that, as for any end."""
        self._asks = _CANCEL
        self._until = self._clock.monotonic() + _ENDING
        self._ask()
        return self._order is None

    def close(self) -> None:
        """Waits no more; what the helper has started goes on."""
        self._done = None
        self._let_go()

    # What became of it ------------------------------------------------------------------------------------------------

    def _ask(self) -> None:
        """Asks for the outcome of the order by its id, or for its end."""
        self._let_go()
        if self._order is None:
            return
        # It answers when there is something to say.
        why = self._send(json.dumps({self._asks: self._order.id}).encode() + b"\n")
        pause = math.inf if why is None else _ASK_EVERY
        self.due = min(self._until, self._clock.monotonic() + pause)

    def _send(self, line: bytes) -> str | None:
        """Connects and sends a line; None, or why not."""
        try:
            connection = sent(socket.SOCK_STREAM, self._handler.socket, line)
        except OSError as error:
            return error.strerror or str(error)
        self._connection, self._received = connection, bytearray()
        self._mailbox.watch(connection.fileno(), self._readable)
        return None

    def _readable(self) -> None:
        if self._connection is None:
            return
        try:
            data = self._connection.recv(_LINE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._received += data
        while self._is_open and b"\n" in self._received:
            line, _, rest = bytes(self._received).partition(b"\n")
            self._received = bytearray(rest)
            self._handle(line)
        if self._is_open and (not data or len(self._received) > 4 * _LINE):
            self._lost()

    @property
    def _is_open(self) -> bool:
        return self._connection is not None

    def _handle(self, line: bytes) -> None:
        values = foreign.read_object(line)
        if values is None:
            self._lost()
        elif values.get("started") is True:
            self._is_started = True
        elif values.get("outcome") == _UNKNOWN:
            self._unknown()
        elif values.get("outcome") == _RUNNING:
            self._lost()  # it is asked again
        elif isinstance(values.get("outcome"), str):
            self._end(_outcome(values, self._handler.name))
        else:
            self._lost()

    def _lost(self) -> None:
        """The helper went away, or what it said cannot be read: it may know the outcome all the same."""
        self._let_go()
        self.due = min(self._until, self._clock.monotonic() + _ASK_EVERY)

    def _unknown(self) -> None:
        """Handles an order that the helper does not know: it was not started, or long ago."""
        if self._is_started:
            words = f"the helper does not know how {self._handler.name} ended"
            self._end(failure(STOPPED, words, was_begun=True))
        else:
            words = f"the helper at {self._handler.socket} closed the connection without an answer"
            self._end(failure("no-helper", words))

    def _end(self, outcome: Outcome) -> None:
        done, self._done = self._done, None
        self._order = None
        self._let_go()
        if done is not None:
            done(outcome)

    def _let_go(self) -> None:
        self.due = math.inf
        if self._connection is not None:
            self._mailbox.unwatch(self._connection.fileno())
            self._connection.close()
            self._connection = None


def _outcome(values: dict[str, Any], name: str) -> Outcome:
    """Reads the helper's outcome; each part by itself, in case it has another type."""
    how, status = values["outcome"], values.get("status")
    if not isinstance(status, int) or isinstance(status, bool):
        status = None
    reason = values.get("reason")
    words = reason if isinstance(reason, str) and reason else f"{name}: {printable(how)}"
    error = {_REFUSED: REFUSED, "timed-out": TIMEOUT, CANCELED: CANCELED}.get(how, "")
    if how == "done":
        status, words = 0, ""
    elif error or not status:
        status = -1
    return Outcome(
        status=status,
        error=error,
        reason=words,
        stdout=_bytes(values.get("stdout")),
        stderr=_bytes(values.get("stderr")),
        was_begun=how != _REFUSED,
    )


def _bytes(value: object) -> bytes:
    return value.encode(errors="replace") if isinstance(value, str) else b""
