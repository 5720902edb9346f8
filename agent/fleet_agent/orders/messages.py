"""Gives each message to the handler of the first subscription that matches, in the order of the configuration.

One message, one handler, one answer: filters may overlap, the special one first, the general one last. Subscriptions
without a handler only log. A message that no subscription matches arrives unasked, as AWS IoT's direct messages do: it
is counted and acknowledged, which is what its sender waits for.
"""

import dataclasses
import logging
from collections.abc import Sequence

from fleet_agent.clock import Clock
from fleet_agent.config.subscriptions import Subscription
from fleet_agent.health.status import Traffic
from fleet_agent.orders import deduplicate
from fleet_agent.orders.answer import Answers, refusal
from fleet_agent.orders.handler import Handler
from fleet_agent.orders.handler_registry import HandlerRegistry, Kind
from fleet_agent.orders.order import Arrived, Order
from fleet_agent.orders.outcome import BAD_ID, failure
from fleet_agent.printable import printable
from fleet_agent.record import record
from fleet_agent.topics import filters

_log = logging.getLogger(__name__)

LOG_EVERY = 60.0  # seconds between lines about messages that no subscription matches


@record
class _Entry:
    """A subscription as it is now: its filter is filled in."""

    filter: str
    subscription: Subscription
    handler: Handler | None


class Messages:
    """All messages that are neither jobs nor commands.

    Args:
        registry: The handlers.
        answers: Where outcomes go.
        traffic: Counts messages that no subscription matches.
        clock: Limits how often they are logged.
        direct: The name of the handler for them.
    """

    def __init__(
        self,
        registry: HandlerRegistry,
        answers: Answers,
        traffic: Traffic,
        clock: Clock,
        direct: str | None = None,
    ) -> None:
        self._registry = registry
        self._answers = answers
        self._traffic = traffic
        self._clock = clock
        self._entries: list[_Entry] = []
        self._direct = registry.named(direct) if direct else None
        self._log_at: float | None = None
        self._unlogged = 0

    def configure(self, subscriptions: Sequence[tuple[str, Subscription]]) -> None:
        """Listens to these, each with its filter filled in; called once.

        What waits for a handler goes on with the first ``act``, whatever else of its settings is new.
        """
        # An answer there would come back, as the next message.
        self._answers.own = (*self._answers.own, *(found for found, _ in subscriptions))
        for found, subscription in dict.fromkeys(subscriptions):
            handler = self._handler(found, subscription)
            self._entries.append(_Entry(filter=found, subscription=subscription, handler=handler))

    def take(self, message: Arrived) -> bool:
        """Gives a message to its handler, which acknowledges it once it is safe; without a handler it is done.

        Returns:
            Whether it was acknowledged; if not, its handler holds it until there is a place in the queue.
        """
        matching = [item for item in self._entries if filters.matches(item.filter, message.topic)]
        for item in matching:
            if item.handler is not None:
                return self._hand(message, item, item.handler)
        if not matching:
            self._count(message)
            if self._direct is not None and not message.retain:
                order = self._order(message, self._direct)
                return self._direct.take(order, message.acknowledge, will_repeat=message.qos > 0)
        message.acknowledge()
        return True

    def is_logged(self, topic: str) -> bool:
        """Whether a subscription asks that messages of this topic are logged."""
        return any(
            item.subscription.log and filters.matches(item.filter, topic) for item in self._entries
        )

    # Parts --------------------------------------------------------------------------------------------------------

    def _count(self, message: Arrived) -> None:
        self._traffic.messages_unmatched += 1
        self._unlogged += 1
        now = self._clock.monotonic()
        if self._log_at is not None and now < self._log_at:
            return
        self._log_at = now + LOG_EVERY
        more = f", {self._unlogged} more since the last such line" if self._unlogged > 1 else ""
        _log.info(
            "a message that no subscription matches, on %s (%d bytes)%s",
            printable(message.topic),
            len(message.payload),
            more,
        )
        self._unlogged = 0

    def _hand(self, message: Arrived, item: _Entry, handler: Handler) -> bool:
        if message.retain and not item.subscription.retained:
            _log.info(
                "%s: a retained message on %s is not new and was ignored",
                handler.name,
                printable(message.topic),
            )
            message.acknowledge()
            return True
        order = self._order(message, handler)
        order = dataclasses.replace(order, levels=filters.levels(item.filter, message.topic))
        if item.subscription.deduplicate is not None:
            try:
                identity = deduplicate.identity(
                    item.subscription.deduplicate, message.payload, message.user_properties
                )
            except ValueError as error:
                handler.refuse(order, failure(BAD_ID, str(error)))
                message.acknowledge()
                return True
            order = dataclasses.replace(order, identity=identity)
        return handler.take(order, message.acknowledge, will_repeat=message.qos > 0)

    def _order(self, message: Arrived, handler: Handler) -> Order:
        topic = message.response_topic
        if topic is not None:
            why = refusal(topic, message.correlation_data, self._answers.own)
            if why is not None:
                # Nor does a program learn of it, which might answer by itself.
                words = handler.name, printable(topic), why
                _log.warning("%s: no answer: the response topic %s %s", *words)
                topic = None
        return Order(
            topic=message.topic,
            payload=message.payload,
            response_topic=topic,
            correlation_data=message.correlation_data,
            content_type=message.content_type,
            user_properties=message.user_properties,
        )

    def _handler(self, found: str, subscription: Subscription) -> Handler | None:
        if subscription.handler is not None:
            return self._registry.named(subscription.handler)
        plain: Kind | None = subscription.exec or subscription.file or subscription.socket
        kind = plain or subscription.upload_bundle
        if kind is None:
            return None
        return self._registry.own(subscription.name or found, found, kind)
