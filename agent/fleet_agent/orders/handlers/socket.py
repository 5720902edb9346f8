"""Passes an order to a local program over its Unix socket (SOCK_SEQPACKET), a connection and a packet an order.

The packet is JSON: ``handler``, ``topic``, ``payload`` as text, or ``payload_base64`` where it is not text or base64 is
shorter, and where the order has them ``content_type``, ``response_topic``, ``id``, ``user_properties``,
``arguments``. The program
sends one packet back: the answer, as it is. A JSON object with a ``status`` other than 0 counts as a failure.
"""

import json
import math
import socket

from fleet_agent import foreign
from fleet_agent.clock import Clock
from fleet_agent.config.handlers import SocketHandler
from fleet_agent.orders.handlers.work import Done, seconds, sent
from fleet_agent.orders.order import Order, in_base64
from fleet_agent.orders.outcome import TIMEOUT, Outcome, failure
from fleet_agent.process.mailbox import Mailbox

# Bytes of its answer: AWS IoT takes 128 KiB with the topic and the properties.
MAX_ANSWER = 120 * 1024
_NUMBERS = 1 << 31  # a status is below


class SocketWork:
    """Asks a program.

    Args:
        handler: Where it listens, and how long it may take.
        name: The handler's name, for the program.
        mailbox: Where its answer is awaited.
        clock: For its time limit.
    """

    is_repeated = True  # until it has answered: it knows by the id, or does not mind
    is_instant = False
    goes_on = False

    def __init__(self, handler: SocketHandler, name: str, mailbox: Mailbox, clock: Clock) -> None:
        self._handler = handler
        self._name = name
        self._mailbox = mailbox
        self._clock = clock
        self._connection: socket.socket | None = None
        self._done: Done | None = None
        self._seconds = handler.timeout
        self.due = math.inf

    def begin(self, order: Order, done: Done) -> None:
        """Sends it."""
        path, data = self._handler.path, packet(order, self._name)
        try:
            connection = sent(socket.SOCK_SEQPACKET, path, data)
        except OSError as error:
            words = f"cannot pass it to {path}: {error.strerror or error}"
            done(failure("no-program", words))
            return
        self._connection, self._done = connection, done
        self._mailbox.watch(connection.fileno(), self._answered)
        self._seconds = seconds(self._handler.timeout, order, self._clock)
        self.due = self._clock.monotonic() + self._seconds

    def resume(self, _order: Order, _done: Done) -> bool:
        """Asks again."""
        return False

    def act(self) -> None:
        """Ends it at its time limit."""
        words = f"{self._handler.path} did not answer within {self._seconds:g} s"
        self._end(failure(TIMEOUT, words, was_begun=True))

    def cancel(self) -> bool:
        """Waits no more: its connection ends, which it may notice."""
        self.close()
        return True

    def close(self) -> None:
        """Waits for its answer no more."""
        self._done = None
        self._let_go()

    def _answered(self) -> None:
        if self._connection is None:
            return
        try:
            data, _, flags, _ = self._connection.recvmsg(MAX_ANSWER)
        except BlockingIOError:
            return
        except OSError as error:
            words = f"{self._handler.path} ended the connection: {error.strerror or error}"
            self._end(failure("no-answer", words, was_begun=True))
            return
        if not data:
            words = f"{self._handler.path} closed the connection without an answer"
            self._end(failure("no-answer", words, was_begun=True))
        elif flags & socket.MSG_TRUNC:
            words = f"the answer of {self._handler.path} has more than {MAX_ANSWER} bytes"
            self._end(failure("answer-too-large", words, was_begun=True))
        else:
            status = status_of(data)
            reason = f"{self._handler.path} answered with status {status}" if status else ""
            self._end(Outcome(status=status, reason=reason, packet=data))

    def _end(self, outcome: Outcome) -> None:
        done, self._done = self._done, None
        self._let_go()
        if done is not None:
            done(outcome)

    def _let_go(self) -> None:
        self.due = math.inf
        if self._connection is not None:
            self._mailbox.unwatch(self._connection.fileno())
            self._connection.close()
            self._connection = None


def packet(order: Order, name: str) -> bytes:
    """Builds the packet for the program."""
    values: dict[str, object] = {"handler": name, "topic": order.topic}
    text = _text(order.payload)
    if text is None:
        values["payload_base64"] = in_base64(order.payload)
    else:
        values["payload"] = text
    more = {
        "content_type": order.content_type,
        "response_topic": order.response_topic,
        "id": order.identity,
        "arguments": list(order.arguments) or None,
        "user_properties": [list(pair) for pair in order.user_properties] or None,
    }
    values.update({key: value for key, value in more.items() if value is not None})
    return json.dumps(values, ensure_ascii=False).encode(errors="replace")


def _text(payload: bytes) -> str | None:
    """The payload as text; None where it is none or base64 is shorter: a packet has to fit into a socket's buffer."""
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        return None
    is_short = len(json.dumps(text, ensure_ascii=False).encode()) <= len(payload) * 4 // 3 + 4
    return text if is_short else None


def status_of(answer: bytes) -> int:
    """The ``status`` of an answer that is a JSON object with one, else 0; 1 for a number that no program ends with."""
    status = (foreign.read_object(answer) or {}).get("status", 0)
    if isinstance(status, bool) or not isinstance(status, int | float) or status == 0:
        return 0
    return status if isinstance(status, int) and abs(status) < _NUMBERS else 1
