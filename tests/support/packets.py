"""MQTT 5 packets as a server reads and writes them, strict towards the client; no I/O.

kind, flags, body = 3, 0b0010, ...
read_publish(flags, body).topic
suback(7, [0, 135])
"""

import dataclasses
from collections.abc import Iterable

from support.properties import Properties, pack, text, unpack, variable

CONNECT, CONNACK, PUBLISH, PUBACK = 1, 2, 3, 4
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK = 8, 9, 10, 11
PINGREQ, PINGRESP, DISCONNECT = 12, 13, 14


class MalformedError(ValueError):
    """A packet that MQTT 5 does not allow."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Connect:
    """A CONNECT; ``will`` is topic, QoS and retain."""

    client_id: str
    clean_start: bool
    keep_alive: int
    properties: Properties
    will: tuple[str, int, bool] | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Publish:
    """A PUBLISH; ``topic`` is empty where an alias stands for it, ``identifier`` 0 at QoS 0."""

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False
    is_again: bool = False
    identifier: int = 0
    properties: Properties = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Asked:
    """A SUBSCRIBE or UNSUBSCRIBE: its filters with their QoS, and the retain handling of each (1: only if new)."""

    identifier: int
    filters: tuple[tuple[str, int], ...]
    retain_handling: tuple[int, ...] = ()


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def take(self, count: int) -> bytes:
        if count > self.left:
            raise MalformedError("cut short")
        self._at += count
        return self._data[self._at - count : self._at]

    def number(self, count: int) -> int:
        return int.from_bytes(self.take(count))

    def binary(self) -> bytes:
        return self.take(self.number(2))

    def text(self) -> str:
        return self.binary().decode()

    def properties(self) -> Properties:
        try:
            found, self._at = unpack(self._data, self._at)
        except (IndexError, KeyError) as error:
            raise MalformedError(f"properties: {error!r}") from error
        if self.left < 0:
            raise MalformedError("cut short")
        return found


def read_connect(body: bytes) -> Connect:
    """Reads a CONNECT's body."""
    reader = _Reader(body)
    if (reader.text(), reader.number(1)) != ("MQTT", 5):
        raise MalformedError("not MQTT 5")
    flags, keep_alive = reader.number(1), reader.number(2)
    properties, client_id, will = reader.properties(), reader.text(), None
    if flags & 0b100:
        reader.properties()
        will = reader.text(), flags >> 3 & 3, bool(flags & 0b100000)
        reader.binary()
    return Connect(
        client_id=client_id,
        clean_start=bool(flags & 0b10),
        keep_alive=keep_alive,
        properties=properties,
        will=will,
    )


def read_publish(flags: int, body: bytes) -> Publish:
    """Reads a PUBLISH's body."""
    reader = _Reader(body)
    topic, qos = reader.text(), flags >> 1 & 3
    if qos > 2 or any(wild in topic for wild in "+#"):
        raise MalformedError(f"QoS {qos}, topic {topic}")
    identifier = reader.number(2) if qos else 0
    return Publish(
        topic=topic,
        identifier=identifier,
        properties=reader.properties(),
        payload=reader.take(reader.left),
        qos=qos,
        retain=bool(flags & 1),
        is_again=bool(flags & 8),
    )


def read_asked(kind: int, body: bytes) -> Asked:
    """Reads a SUBSCRIBE's or UNSUBSCRIBE's body."""
    reader = _Reader(body)
    identifier, _ = reader.number(2), reader.properties()
    found, handling = [], []
    while reader.left:
        name = reader.text()
        options = reader.number(1) if kind == SUBSCRIBE else 0
        found.append((name, options & 3))
        handling.append(options >> 4 & 3)
    return Asked(identifier=identifier, filters=tuple(found), retain_handling=tuple(handling))


def read_acknowledged(body: bytes) -> tuple[int, int]:
    """The identifier and the reason code of a PUBACK."""
    return int.from_bytes(body[:2]), body[2] if len(body) > 2 else 0


# Writing -----------------------------------------------------------------------------------------------------------


def packet(kind: int, body: bytes, flags: int = 0) -> bytes:
    """A whole packet."""
    return bytes([kind << 4 | flags]) + variable(len(body)) + body


def connack(code: int, values: Properties, *, is_present: bool = False) -> bytes:
    """A CONNACK; a refusal never says that there was a session."""
    return packet(CONNACK, bytes([is_present and not code, code]) + pack(values))


def puback(identifier: int, code: int, values: Properties | None = None) -> bytes:
    """A PUBACK, in its short form when it says nothing but success."""
    more = bytes([code]) + pack(values or {}) if code or values else b""
    return packet(PUBACK, identifier.to_bytes(2) + more)


def suback(identifier: int, codes: Iterable[int], values: Properties | None = None) -> bytes:
    """A SUBACK."""
    return packet(SUBACK, identifier.to_bytes(2) + pack(values or {}) + bytes(codes))


def unsuback(identifier: int, codes: Iterable[int]) -> bytes:
    """An UNSUBACK."""
    return packet(UNSUBACK, identifier.to_bytes(2) + pack({}) + bytes(codes))


def disconnect(code: int, values: Properties | None = None) -> bytes:
    """A DISCONNECT."""
    return packet(DISCONNECT, bytes([code]) + pack(values or {}))


def publish(message: Publish) -> bytes:
    """A PUBLISH."""
    identifier = message.identifier.to_bytes(2) if message.qos else b""
    body = text(message.topic) + identifier + pack(message.properties) + message.payload
    return packet(PUBLISH, body, message.is_again << 3 | message.qos << 1 | message.retain)
