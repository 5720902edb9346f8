"""What one client is sent: ministack's session, with every message passing through ``outbound``."""

import asyncio
import time
from typing import Any, ClassVar

from iot_sandbox import ground
from iot_sandbox.limits import Limits
from iot_sandbox.outbound import Message, Outbox


class DeliveringSession(ground.BaseSession):  # type: ignore[misc]  # ministack has no types
    """ministack's session, which sends what its client takes, in order, and keeps the rest."""

    limits: ClassVar[Limits]

    def __init__(self, *arguments: Any) -> None:  # noqa: ANN401  ministack's own
        super().__init__(*arguments)
        self._outbox = Outbox(self._pack, self.send_bytes)
        # The longest packet that the client accepts.
        self._largest: int | None = None
        # Whether what waits was handed to the stored session; what comes later is not seen by that.
        self._is_kept = False
        # By packet identifier: the callers that wait for the PUBACK of a direct message.
        self._awaited: dict[int, asyncio.Future[None]] = {}

    @property
    def client_id(self) -> str:
        """The client id the CONNECT named."""
        return str(self._client_id)

    @property
    def _key(self) -> tuple[str, str, str]:
        return self.account_id, self.region, self._client_id

    async def deliver_to_client(self, topic: str, payload: bytes, qos: int) -> None:
        """Takes a message for this client, to be sent when its turn has come."""
        if not self.may_receive(topic):
            return
        properties, retain = ground.delivered_properties(), ground.delivered_retain()
        message = Message(topic, payload, qos, properties, retain)
        successor = ground.connected_sessions.get(self._key)
        if not self._is_kept:
            self._outbox.put(message)
        elif qos and successor is not None and successor is not self:
            # Taken over while the message was on its way here. Without a successor, the stored session has it.
            await successor.deliver_to_client(topic, payload, qos)

    def may_receive(self, topic: str) -> bool:
        """Whether the policies of this client let it receive there."""
        return bool(self._policy_allows("iot:Receive", f"topic/{topic}"))

    def has_room(self) -> bool:
        """Whether this client takes one more message now."""
        return self._outbox.has_room()

    def send_directly(
        self, topic: str, payload: bytes, properties: bytes, *, is_confirmed: bool
    ) -> asyncio.Future[None] | None:
        """Sends a message to this client, subscribed or not; returns what is done with its PUBACK, if it has one."""
        acknowledged = asyncio.get_running_loop().create_future() if is_confirmed else None
        message = Message(
            topic, payload, int(is_confirmed), properties, retain=False, acknowledged=acknowledged
        )
        self._outbox.put(message)
        return acknowledged

    def acknowledged(self, identifier: int) -> None:
        """Notes a PUBACK."""
        self._outbox.acknowledged(identifier)
        awaited = self._awaited.pop(identifier, None)
        if awaited is not None and not awaited.done():
            awaited.set_result(None)

    def _pack(self, message: Message) -> tuple[int | None, bytes] | None:
        """Makes a message's packet and notes it as in flight; None if it is too late or too long for the client."""
        now = time.time()
        properties: bytes | None = message.properties
        expires = ground.expires_at(message.properties, message.since)
        if expires is not None and expires <= now:
            return None
        # ministack counts a second that has started as spent, and did so when the message came.
        if expires is not None and now - message.since >= 1:
            properties = ground.aged_properties(message.properties, message.since, now - 1)
        if properties is None:
            return None
        identifier = self._alloc_packet_id() if message.qos else None
        in_flight = ground.InFlight(
            identifier, message.topic, message.payload, properties, message.retain
        )
        packet = self._packet(in_flight)
        if self._largest is not None and len(packet) > self._largest:
            return None
        if identifier is not None:
            self._in_flight[identifier] = in_flight
            if message.acknowledged is not None:
                self._awaited[identifier] = message.acknowledged
            self._ensure_retransmit_timer()
        return identifier, packet

    def _packet(self, message: Any) -> bytes:  # noqa: ANN401  ministack's in-flight message
        return ground.publish_packet(
            message.topic,
            message.payload,
            qos=0 if message.packet_id is None else 1,
            packet_id=message.packet_id,
            retain=message.retain,
            properties=self._publish_properties(message.properties),
        )

    async def _retransmit_due(self) -> None:
        """Sends again what waited for its PUBACK for too long, on this connection or an earlier one."""
        now = asyncio.get_running_loop().time()
        for identifier, message in [*self._in_flight.items()]:
            # Some were acknowledged while others were being sent.
            is_due = now - message.sent_at >= self.limits.resend_seconds
            if identifier not in self._in_flight or not is_due:
                continue
            message.sent_at = now
            if identifier not in self._outbox.sent and not self._outbox.has_room():
                continue  # next time
            packet = self._packet(message)
            if self._largest is not None and len(packet) > self._largest:
                self._in_flight.pop(identifier, None)
                continue
            self._outbox.sent.add(identifier)
            message.retransmit_count += 1
            await self.send_bytes(packet)

    def _preserve_session(self) -> None:
        self._is_kept = True
        # A direct message is only for the connection.
        for identifier in self._awaited:
            self._in_flight.pop(identifier, None)
        super()._preserve_session()
        waiting = [
            (message.topic, message.payload, message.qos, message.properties, message.since)
            for message in self._outbox.waiting()
            if message.qos and message.acknowledged is None
        ]
        ground.stored_sessions[self._key].queued_messages[:0] = waiting
