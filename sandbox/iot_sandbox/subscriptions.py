"""What ministack's subscriptions lack: shared ones, of whose members one gets a message in turn, and their options.

ministack takes the filter of a shared subscription and delivers nothing; a retained message it delivers at the QoS it
was published with, whatever was granted; and a session it resumes has the filters alone of what was subscribed to, and
gets their retained messages once more, before the CONNACK.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from iot_sandbox.limits import share_of

Deliver = Callable[[str, bytes, int], Awaitable[None]]
# Retained messages are for subscriptions of one's own [MQTT-3.8.4-4], and for SUBSCRIBE alone [MQTT-3.3.1-9].
NO_RETAINED = 2


@dataclass
class _Group:
    subscription: str = ""
    members: dict[str, tuple[Deliver, int]] = field(default_factory=dict)

    async def deliver(self, topic: str, payload: bytes, qos: int) -> None:
        """Passes a message to the member whose turn it is."""
        if not self.members:
            return
        number = next(iter(self.members))
        member, granted = self.members[number] = self.members.pop(number)
        await member(topic, payload, min(qos, granted))


class Subscriptions:
    """``subscribing`` and ``unsubscribing`` wrap what ministack subscribes with."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, str, str], _Group] = {}
        # What each client was granted for each filter.
        self._granted: dict[tuple[str, ...], tuple[int, dict[str, Any]]] = {}

    def subscribing(self, was: Callable[..., Awaitable[str]]) -> Callable[..., Awaitable[str]]:
        """Bounds the QoS, and puts a subscription to ``$share/GROUP/FILTER`` into its group."""

        async def subscribe(
            account: str,
            region: str,
            topic_filter: str,
            deliver: Deliver,
            granted_qos: int = 0,
            **options: Any,  # noqa: ANN401
        ) -> str:
            key = account, region, topic_filter
            if (client_id := options.get("client_id")) is not None:
                granted_qos, more = self._remembered((*key, client_id), granted_qos, options)
                options |= more
            share, inner = share_of(topic_filter)
            if share is None:
                bounded = _bounded(deliver, granted_qos)
                return await was(account, region, topic_filter, bounded, granted_qos, **options)
            group = self._groups.get(key)
            if group is None:
                group = self._groups[key] = _Group()
                group.subscription = await was(
                    account, region, inner, group.deliver, 1, retain_handling=NO_RETAINED
                )
            number = uuid4().hex
            group.members[number] = deliver, granted_qos
            return number

        return subscribe

    def unsubscribing(
        self, was: Callable[[str], Awaitable[None]]
    ) -> Callable[[str], Awaitable[None]]:
        """Takes a member out of its group, and the group's own subscription with the last one."""

        async def unsubscribe(number: str) -> None:
            for key, group in self._groups.items():
                if group.members.pop(number, None):
                    if not group.members:
                        del self._groups[key]
                        await was(group.subscription)
                    return
            await was(number)

        return unsubscribe

    def _remembered(
        self, key: tuple[str, ...], granted_qos: int, options: dict[str, Any]
    ) -> tuple[int, dict[str, Any]]:
        """Returns what a SUBSCRIBE grants, and to a session that is resumed what it was granted before."""
        if "retain_as_published" not in options:  # no SUBSCRIBE: ministack resumes a session
            granted_qos, more = self._granted.get(key, (granted_qos, {}))
            return granted_qos, {**more, "retain_handling": NO_RETAINED}
        more = {"retain_as_published": options["retain_as_published"]}
        self._granted[key] = granted_qos, more
        return granted_qos, more


def _bounded(deliver: Deliver, granted_qos: int) -> Deliver:
    async def bounded(topic: str, payload: bytes, qos: int) -> None:
        await deliver(topic, payload, min(qos, granted_qos))

    return bounded
