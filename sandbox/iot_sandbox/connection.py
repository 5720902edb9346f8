"""One MQTT connection as AWS holds it: ministack's session, with its limits, its order and its keep-alive.

What a client may send is judged by ``inbound``; what it is sent goes through ``outbound``. ``session`` adds the faults.
"""

import asyncio
import contextlib
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

from iot_sandbox import ground
from iot_sandbox.delivery import DeliveringSession
from iot_sandbox.inbound import (
    KEEP_ALIVE_TIMEOUT,
    PACKET_TOO_LARGE,
    PROTOCOL_ERROR,
    BreachError,
    Inbound,
)
from iot_sandbox.keepalive import KeepAlive
from iot_sandbox.limits import (
    MAXIMUM_PACKET,
    RECEIVE_MAXIMUM,
    TOPIC_ALIASES,
    UNLIMITED,
)
from iot_sandbox.packets import (
    AUTH,
    CONNECT,
    DISCONNECT,
    MQTT_5,
    OPERATIONS,
    PUBACK,
    PUBLISH,
    SUBSCRIBE,
    Packet,
    read_packet,
    take_frame,
    with_topic,
)
from iot_sandbox.wills import DelayedWills

# No packet has this type: it represents one that cannot be read.
UNREADABLE = 0
MALFORMED_PACKET = 129
# A DISCONNECT to a client that does not read is abandoned after this time.
LAST_WORD_SECONDS = 1.0


class AwsConnection(DeliveringSession):
    """ministack's session within AWS's limits."""

    wills: ClassVar[DelayedWills]
    # The CONNECT, PUBLISH or SUBSCRIBE in hand.
    packet: Packet
    _will_topic: str | None

    def __init__(self, *arguments: Any) -> None:  # noqa: ANN401  ministack's own
        self._expiry: int | None = None
        super().__init__(*arguments)
        self._inbound = Inbound(self.limits)
        self._keep_alive = KeepAlive(self._expire)
        self._keep_alive_seconds = 0
        self._is_connected = False
        self._will_delay = 0
        self._ending: asyncio.Task[None] | None = None
        self._unreadable = MALFORMED_PACKET

    # ministack sets it from the CONNECT, and keeps the session for so long.
    @property
    def _session_expiry_interval(self) -> int | None:
        return self._expiry

    @_session_expiry_interval.setter
    def _session_expiry_interval(self, asked: int | None) -> None:
        self._expiry = None if asked is None else self.limits.session_expiry(asked)

    async def close(self) -> None:
        """Ends the connection without a DISCONNECT packet."""
        await self._send({"type": "websocket.close", "code": 1000})

    async def end_for_operator(self, code: int, *, without_will: bool) -> None:
        """Ends the connection because an operator asks for it."""
        if without_will:
            self._will_topic = None
        self._forced_disconnect_reason = "API_INITIATED_DISCONNECT"
        with contextlib.suppress(OSError):
            if self.protocol_version == MQTT_5:
                await self.send_bytes(ground.disconnect(code))
            await self.close()
        await self.cleanup()

    def described(self) -> dict[str, Any]:
        """Returns what AWS says of a connection that is up."""
        return {
            "cleanSession": not self._resume_session,
            "keepAliveDuration": self._keep_alive_seconds,
            "sessionExpiry": self._expiry or 0,
        }

    def subscriptions(self) -> dict[str, int]:
        """Returns the topic filters this client has, and the QoS granted for each."""
        granted = self._sub_granted_qos
        return {
            topic_filter: granted[number] for number, topic_filter in self._sub_filters.items()
        }

    def breached(self, packet: Packet, code: int) -> None:
        """Receives a packet that was refused for a limit."""

    async def refuse(self, packet: Packet, code: int) -> bool:
        """Answers a packet with a failure, as the protocol version has it; returns whether the connection stays."""
        self.protocol_version = packet.version
        if packet.version != MQTT_5:
            return False  # MQTT 3.1.1: AWS closes
        answer, stays = _refusal(packet, code)
        await self.send_bytes(answer)
        return stays

    async def send_bytes(self, b: bytes) -> None:
        """Sends a packet.

        Raises:
            OSError: the connection is gone.
        """
        kind = b[0] >> 4
        if kind == PUBACK:
            self._inbound.acknowledged(int.from_bytes(b[2:4]))
        # A client that takes over a session must not wait for one that does not read.
        limit = LAST_WORD_SECONDS if kind == DISCONNECT else None
        try:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(super().send_bytes(b), limit)
        except AttributeError as error:
            # What asyncio raises for a TLS transport that has ended.
            raise ConnectionResetError("the connection is gone") from error

    async def handle_packet(self, pkt_type: int, flags: int, body: bytes) -> bool:
        """Deals with one packet; returns whether the connection stays."""
        self._keep_alive.begin()
        try:
            return await self._handle(pkt_type, flags, body)
        finally:
            self._keep_alive.end()

    async def cleanup(self) -> None:
        """Ends the session's connection, once; whoever calls, it has ended when this returns.

        ministack lets a second caller go on while the first is still at it: who takes the session over would find it
        not stored yet, or without its subscriptions.
        """
        if self._ending is None:
            self._ending = asyncio.create_task(self._clean_up())
        await asyncio.shield(self._ending)

    async def _clean_up(self) -> None:
        self._keep_alive.stop()
        await self._outbox.close()
        is_will_due = not self._graceful_disconnect and self._will_topic is not None
        delay = min(self._will_delay, self._expiry or 0)
        if is_will_due and delay:
            publish = partial(
                ground.publish,
                self.account_id,
                self.region,
                self._will_topic,
                self._will_message or b"",
                qos=self._will_qos,
                retain=self._will_retain,
                properties=self._will_properties,
            )
            self._will_topic = None
            self.wills.keep(self._key, delay, publish)
        await super().cleanup()

    def _take_packet(self) -> tuple[int, int, bytes] | None:
        self._keep_alive.received()
        buffer = self._buffer
        try:
            frame = take_frame(buffer)
        except ValueError:
            return UNREADABLE, 0, b""
        if frame is None:
            return None
        start, end = frame
        if self.limits.has("packet-size") and end > MAXIMUM_PACKET:
            self._unreadable = PACKET_TOO_LARGE
            return UNREADABLE, 0, b""
        if len(buffer) < end:
            return None
        kind, flags = divmod(buffer[0], 16)
        body = bytes(buffer[start:end])
        del buffer[:end]
        return kind, flags, body

    async def _handle(self, kind: int, flags: int, body: bytes) -> bool:
        if kind == UNREADABLE:
            return await self._end(self._unreadable)
        if (kind == CONNECT) is self._is_connected or kind == AUTH:
            return await self._end(PROTOCOL_ERROR)
        if kind in OPERATIONS:
            return await self._operate(kind, flags, body)
        if kind == DISCONNECT and not self._is_last_word_valid(body):
            return await self._end(PROTOCOL_ERROR)
        goes_on = bool(await super().handle_packet(kind, flags, body))
        if kind == PUBACK:
            self.acknowledged(int.from_bytes(body[:2]))
        return goes_on

    async def _operate(self, kind: int, flags: int, body: bytes) -> bool:
        try:
            packet = read_packet(kind, flags, body, self.protocol_version)
        except ValueError as error:
            await self._reject_malformed_packet(kind, error)
            return False
        try:
            body, self.packet = self._judged(packet, body)
        except ValueError as error:
            await self._reject_malformed_packet(kind, error)
            return False
        except BreachError as breach:
            self.breached(packet, breach.code)
            return await (self._end if breach.ends else partial(self.refuse, packet))(breach.code)
        goes_on = bool(await super().handle_packet(kind, flags, body))
        if kind == CONNECT and goes_on:
            self._is_connected = True
            if self.limits.has("keep-alive"):
                self._keep_alive.start(self._keep_alive_seconds)
            await self.wills.settle(self._key, is_resumed=not packet.is_clean)
        return goes_on

    def _is_last_word_valid(self, body: bytes) -> bool:
        """Takes the session's expiry from a DISCONNECT; returns whether it may change it so."""
        # After the reason code.
        if self.protocol_version != MQTT_5 or len(body) <= 1:
            return True
        asked = ground.properties(body, 1)[0].get(ground.SESSION_EXPIRY_INTERVAL)
        if asked is not None:
            if asked and not self._expiry:
                return False  # [MQTT-3.14.2-2]: without a session there is none to keep
            self._session_expiry_interval = asked
            self._persist_session = asked > 0
        return True

    def _judged(self, packet: Packet, body: bytes) -> tuple[bytes, Packet]:
        """Holds a packet to the limits; returns it as ministack is to see it."""
        found, end = (
            ground.properties(body, packet.rest) if packet.version == MQTT_5 else ({}, packet.rest)
        )
        if packet.kind == PUBLISH:
            alias = found.get(ground.TOPIC_ALIAS)
            topic = self._inbound.publish(packet, alias, len(body) - end)
            if topic == packet.topics[0]:
                return body, packet
            return with_topic(body, topic), replace(packet, topics=(topic,))
        if packet.kind == SUBSCRIBE:
            has_identifier = ground.SUBSCRIPTION_IDENTIFIER in found
            self._inbound.subscribe(
                packet, self._sub_filters.values(), has_identifier=has_identifier
            )
            return body, packet
        self._inbound.connect(packet)
        self._outbox.window = self.limits.window(found.get(ground.RECEIVE_MAXIMUM, UNLIMITED))
        if self.limits.has("packet-size"):
            self._largest = found.get(ground.MAXIMUM_PACKET_SIZE)
        self._keep_alive_seconds = self.limits.keep_alive(packet.keep_alive)
        if packet.will is not None and packet.version == MQTT_5:
            will, _ = ground.properties(body, packet.will)
            self._will_delay = will.get(ground.WILL_DELAY_INTERVAL, 0)
        return body, packet

    async def _end(self, code: int) -> bool:
        """Ends the connection for what the client did."""
        self._forced_disconnect_reason = "CLIENT_ERROR"
        if self._is_connected and self.protocol_version == MQTT_5:
            await self.send_bytes(ground.disconnect(code))
        return False

    async def _expire(self) -> None:
        """Ends the connection of a client that is silent; nothing here waits for it."""
        self._forced_disconnect_reason = "MQTT_KEEP_ALIVE_TIMEOUT"
        with contextlib.suppress(OSError):
            if self.protocol_version == MQTT_5:
                await self.send_bytes(ground.disconnect(KEEP_ALIVE_TIMEOUT))
            await self.close()
        await self.cleanup()

    def _connack_properties(self, assigned_client_id: str | None) -> list[tuple[int, object]]:
        has = self.limits.has
        properties = dict(super()._connack_properties(assigned_client_id))
        del properties[ground.MAXIMUM_PACKET_SIZE]
        properties |= {
            ground.TOPIC_ALIAS_MAXIMUM: TOPIC_ALIASES if has("topic-aliases") else 0,
            ground.SHARED_SUBSCRIPTION_AVAILABLE: 1,
        }
        if has("receive-maximum"):
            properties[ground.RECEIVE_MAXIMUM] = RECEIVE_MAXIMUM
        if has("packet-size"):
            properties[ground.MAXIMUM_PACKET_SIZE] = MAXIMUM_PACKET
        if has("keep-alive"):
            properties[ground.SERVER_KEEP_ALIVE] = self._keep_alive_seconds
        if self._expiry:
            properties[ground.SESSION_EXPIRY_INTERVAL] = self._expiry
        return [*properties.items()]


def _refusal(packet: Packet, code: int) -> tuple[bytes, bool]:
    if packet.kind == CONNECT:
        return ground.connack(return_code=code, protocol_version=MQTT_5), False
    if packet.kind == SUBSCRIBE:
        codes = [code] * len(packet.topics)
        return ground.suback(packet.identifier, codes, protocol_version=MQTT_5), True
    if packet.identifier is None:
        return ground.disconnect(code), False
    return ground.puback(packet.identifier, reason_code=code), True
