"""MQTT 5 packet by packet over mTLS, for what a well-behaved client library would never send.

with Peer(sandbox, identity, "name") as peer:
    assert peer.connect().code == 0
    peer.subscribe("a/b")
    peer.publish("a/b", b"x", {Property.TOPIC_ALIAS: 1})
    assert peer.message().payload == b"x"

Every wait has a limit. That nothing came is seen by a PINGREQ and its answer, without waiting.
"""

import contextlib
import socket
import ssl
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import Self

from iot_sandbox.launch import Sandbox
from support.mqtt import TIMEOUT, Identity
from support.properties import Properties, pack, text, unpack, variable

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK = 1, 2, 3, 4, 8, 9
UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT, AUTH = 10, 11, 12, 13, 14, 15


@dataclass(frozen=True)
class Connack:
    """The answer to a CONNECT."""

    code: int
    is_session_present: bool
    properties: Properties


@dataclass(frozen=True)
class Message:
    """A PUBLISH that came."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    identifier: int | None
    properties: Properties = field(default_factory=dict)


@dataclass(frozen=True)
class Will:
    """What a CONNECT leaves behind."""

    topic: str
    payload: bytes = b"gone"
    qos: int = 1
    properties: Properties = field(default_factory=dict)


class Peer:
    """One connection.

    Args:
        sandbox: Where to.
        identity: As whom.
        client_id: Its client id.
        port: Another one than the sandbox's first.
        alpn: Offered protocols.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        identity: Identity,
        client_id: str,
        *,
        port: int | None = None,
        alpn: tuple[str, ...] = (),
    ) -> None:
        self.client_id = client_id
        context = _context(sandbox.ca_file, identity.certificate, identity.private_key, alpn)
        plain = socket.create_connection(("127.0.0.1", port or sandbox.mqtt_port), TIMEOUT)
        self.tls = context.wrap_socket(plain, server_hostname=sandbox.endpoint)
        self._buffer = b""
        self._messages: deque[Message] = deque()
        self._identifiers = count(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()

    def cut(self) -> None:
        """Ends the connection without a DISCONNECT."""
        self.tls.close()

    def connect(
        self,
        properties: Properties | None = None,
        *,
        clean: bool = True,
        keep_alive: int = 60,
        will: Will | None = None,
    ) -> Connack:
        """Sends CONNECT; gives the CONNACK."""
        flags = clean << 1
        tail = text(self.client_id)
        if will is not None:
            flags |= 0b100 | will.qos << 3
            tail += pack(will.properties) + text(will.topic) + text(will.payload)
        head = text("MQTT") + bytes([5, flags]) + keep_alive.to_bytes(2)
        self.send(CONNECT << 4, head + pack(properties) + tail)
        body = self.answer(CONNACK)
        return Connack(body[1], bool(body[0]), unpack(body, 2)[0])

    def subscribe(
        self, *filters: str, options: int = 1, properties: Properties | None = None
    ) -> list[int]:
        """Subscribes in one packet; gives the reason code of each filter."""
        self.subscribe_only(*filters, options=options, properties=properties)
        body = self.answer(SUBACK)
        return [*body[unpack(body, 2)[1] :]]

    def subscribe_only(
        self, *filters: str, options: int = 1, properties: Properties | None = None
    ) -> None:
        """Subscribes without waiting."""
        head = next(self._identifiers).to_bytes(2) + pack(properties)
        self.send(SUBSCRIBE << 4 | 2, head + b"".join(text(f) + bytes([options]) for f in filters))

    def unsubscribe(self, *filters: str) -> list[int]:
        """Unsubscribes in one packet; gives the reason code of each filter."""
        head = next(self._identifiers).to_bytes(2) + pack(None)
        self.send(UNSUBSCRIBE << 4 | 2, head + b"".join(map(text, filters)))
        body = self.answer(UNSUBACK)
        return [*body[unpack(body, 2)[1] :]]

    def publish(
        self,
        topic: str,
        payload: bytes = b"",
        properties: Properties | None = None,
        *,
        qos: int = 1,
        retain: bool = False,
    ) -> int:
        """Publishes; gives the PUBACK's reason code, 0 at QoS 0."""
        self.publish_only(topic, payload, properties, qos=qos, retain=retain)
        if not qos:
            return 0
        body = self.answer(PUBACK)
        return body[2] if len(body) > 2 else 0

    def publish_only(
        self,
        topic: str,
        payload: bytes = b"",
        properties: Properties | None = None,
        *,
        qos: int = 1,
        retain: bool = False,
    ) -> None:
        """Publishes without waiting."""
        identifier = next(self._identifiers).to_bytes(2) if qos else b""
        body = text(topic) + identifier + pack(properties) + payload
        self.send(PUBLISH << 4 | qos << 1 | retain, body)

    def acknowledge(self, message: Message) -> None:
        """Sends the PUBACK of a message."""
        if message.identifier is not None:
            self.send(PUBACK << 4, message.identifier.to_bytes(2))

    def message(self, *, acknowledge: bool = True) -> Message:
        """Gives the next message."""
        while not self._messages:
            kind, flags, body = self._receive()
            assert kind == PUBLISH, f"packet {kind}: {body[:20].hex()}"
            self._keep(flags, body)
        message = self._messages.popleft()
        if acknowledge:
            self.acknowledge(message)
        return message

    def arrived(self, *, acknowledge: bool = True) -> list[bytes]:
        """Gives the payloads of all that came until now."""
        self.send(PINGREQ << 4, b"")
        self.answer(PINGRESP)
        found = [*self._messages]
        self._messages.clear()
        for message in found if acknowledge else ():
            self.acknowledge(message)
        return [message.payload for message in found]

    def disconnect(self, code: int = 0, properties: Properties | None = None) -> None:
        """Sends DISCONNECT and waits for the end."""
        self.send(DISCONNECT << 4, bytes([code]) + pack(properties))
        assert self.end() is None
        self.tls.close()

    def end(self) -> int | None:
        """Waits for the end of the connection; gives the reason code of the server's DISCONNECT, if there was one."""
        code = None
        with contextlib.suppress(ConnectionError):
            while True:
                kind, _, body = self._receive()
                if kind == DISCONNECT:
                    code = body[0]
        return code

    def send(self, first: int, body: bytes) -> None:
        """Sends a packet: its first byte, and what comes after its length."""
        self.tls.sendall(bytes([first]) + variable(len(body)) + body)

    def answer(self, wanted: int) -> bytes:
        """Gives the body of the next packet of a kind; messages that come before it are kept."""
        while True:
            kind, flags, body = self._receive()
            if kind == wanted:
                return body
            assert kind == PUBLISH, f"packet {kind}: {body[:20].hex()}"
            self._keep(flags, body)

    def _keep(self, flags: int, body: bytes) -> None:
        size = int.from_bytes(body[:2])
        topic, at = body[2 : 2 + size].decode(), 2 + size
        qos = flags >> 1 & 0b11
        identifier = int.from_bytes(body[at : at + 2]) if qos else None
        properties, at = unpack(body, at + 2 if qos else at)
        self._messages.append(
            Message(topic, body[at:], qos, bool(flags & 1), identifier, properties)
        )

    def _receive(self) -> tuple[int, int, bytes]:
        first = self._take(1)[0]
        length = shift = 0
        while True:
            byte = self._take(1)[0]
            length |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                return first >> 4, first & 15, self._take(length)

    def _take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            data = self.tls.recv(65536)
            if not data:
                raise ConnectionError("the server closed the connection")
            self._buffer += data
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken


Open = Callable[..., Peer]


@lru_cache
def _context(ca: Path, certificate: Path, key: Path, alpn: tuple[str, ...]) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(ca))
    context.load_cert_chain(certificate, key)
    if alpn:
        context.set_alpn_protocols([*alpn])
    return context
