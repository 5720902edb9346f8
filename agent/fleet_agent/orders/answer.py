"""The answer to a message's sender: what it says, where it goes, and until when it is kept.

An answer is one JSON object: ``status`` is 0 when all is well, a program's exit status, or -1 when there is none; then
``error`` is a short word for programs and ``reason`` the same for people. A local program that was asked over its
socket writes its answer itself.
"""

import collections
import json
import logging
from collections.abc import Callable, Iterable

from fleet_agent.orders.order import Order
from fleet_agent.orders.outcome import Outcome
from fleet_agent.printable import printable
from fleet_agent.session.message import Outgoing
from fleet_agent.topics import filters
from fleet_agent.topics.limits import answer_fault

_log = logging.getLogger(__name__)

JSON = "application/json"
OTHER = "application/octet-stream"

# Bytes of an answer; AWS IoT takes 128 KiB with the topic and the properties.
MAX_ANSWER = 120 * 1024
# Under way to AWS at a time: fewer than the publisher keeps for a connection. The others wait on disk.
UNDER_WAY = 50


# Publishes an answer at QoS 1, and calls what it is given when AWS has it, or never will.
Publish = Callable[[Outgoing, Callable[[], None]], None]


class Answers:
    """Answers the senders of messages; an outcome is kept until AWS has the answer.

    Args:
        publish: Publishes one.
        own: This device's topics and filters, where no answer goes.
    """

    def __init__(self, publish: Publish, own: Iterable[str]) -> None:
        self._publish = publish
        self.own = tuple(own)
        self._waiting: collections.deque[Callable[[], None]] = collections.deque()
        self._under_way = 0
        self._is_sending = False

    def report(
        self, handler: str, order: Order, outcome: Outcome, forget: Callable[[], None]
    ) -> None:
        """Puts the answer into the queue (``handler_context.Reporter``)."""
        topic = order.response_topic
        if topic is None:
            forget()
            return
        # The order waited on disk, perhaps under an older configuration.
        if (why := refusal(topic, order.correlation_data, self.own)) is not None:
            _log.warning("%s: no answer: the response topic %s %s", handler, printable(topic), why)
            forget()
            return

        # The closure must not keep payloads in memory until the answers have left.
        correlation_data = order.correlation_data

        def send() -> None:
            payload, content_type = written(outcome)
            self._under_way += 1
            message = Outgoing(
                topic=topic,
                payload=payload,
                content_type=content_type,
                properties=(("handler", handler),),
                correlation_data=correlation_data,
                is_foreign=True,
            )
            self._publish(message, lambda: self._ended(forget))

        self._waiting.append(send)
        self._send()

    def _send(self) -> None:
        # An answer that is dropped at once ends within the call: many of them must not nest.
        if self._is_sending:
            return
        self._is_sending = True
        while self._waiting and self._under_way < UNDER_WAY:
            self._waiting.popleft()()
        self._is_sending = False

    def _ended(self, forget: Callable[[], None]) -> None:
        self._under_way -= 1
        forget()
        self._send()


def written(outcome: Outcome) -> tuple[bytes, str]:
    """The answer's payload, of at most ``MAX_ANSWER`` bytes, and its content type."""
    if outcome.packet is not None:
        return outcome.packet, JSON if _is_json(outcome.packet) else OTHER
    values: dict[str, object] = {"status": outcome.status}
    if outcome.error:
        values["error"] = outcome.error
    if outcome.reason:
        values["reason"] = outcome.reason
    if outcome.stdout is None:
        return _encoded(values), JSON
    text, is_cut = outcome.stdout.decode(errors="replace"), outcome.is_cut
    while True:
        data = _encoded({**values, "stdout": text, "truncated": is_cut})
        if len(data) <= MAX_ANSWER:
            return data, JSON
        # What JSON escapes grows: as much less as it is too much, and a little, until it fits.
        text, is_cut = text[: len(text) * MAX_ANSWER // len(data) - 1], True


def refusal(topic: str, correlation_data: bytes | None, own: Iterable[str]) -> str | None:
    """Returns why no answer is sent to a response topic, to be read after it; None: it is sent.

    The sender chose the topic. What AWS IoT does not accept ends the connection; below ``$`` are its own topics; and
    what this device publishes, or listens to, is not for others to have it forge.

    Args:
        topic: The response topic.
        correlation_data: What goes back with the answer.
        own: This device's topics and topic filters.
    """
    if topic.startswith("$"):
        return "is one of AWS IoT's own"
    if any(filters.matches(name, topic) for name in own):
        return "is one of this device's own"
    fault = answer_fault(topic, correlation_data)
    return fault.problem if fault else None


def _encoded(values: dict[str, object]) -> bytes:
    return json.dumps(values, ensure_ascii=False).encode(errors="replace")


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return False
    return True
