"""MQTT 5 packets as a server reads and writes them, strict towards the client; no I/O.

kind, flags, body = 3, 0b0010, ...
read_publish(flags, body).topic
suback(7, [0, 135])
"""

import dataclasses
from collections.abc import Iterable, Mapping

CONNECT, CONNACK, PUBLISH, PUBACK = 1, 2, 3, 4
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK = 8, 9, 10, 11
PINGREQ, PINGRESP, DISCONNECT = 12, 13, 14

# Properties by their identifiers.
EXPIRY, CONTENT_TYPE, RESPONSE_TOPIC, CORRELATION = 2, 3, 8, 9
SESSION_EXPIRY, SERVER_KEEP_ALIVE, REASON_STRING = 17, 19, 31
RECEIVE_MAXIMUM, TOPIC_ALIAS_MAXIMUM, TOPIC_ALIAS = 33, 34, 35
MAXIMUM_QOS, RETAIN_AVAILABLE, USER_PROPERTY, MAXIMUM_PACKET_SIZE = 36, 37, 38, 39

_BYTES = {
    **dict.fromkeys((1, 23, 25, 36, 37, 40, 41, 42), 1),
    **dict.fromkeys((19, 33, 34, 35), 2),
    **dict.fromkeys((2, 17, 24, 39), 4),
}
_TEXTS = (3, 8, 18, 21, 26, 28, 31)
_BINARY = (9, 22)
_SUBSCRIPTION = 11

Value = int | str | bytes | tuple[str, str]
Properties = Mapping[int, Value]


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
    """A SUBSCRIBE or UNSUBSCRIBE: its filters with their QoS."""

    identifier: int
    filters: tuple[tuple[str, int], ...]


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

    def variable(self) -> int:
        value = 0
        for shift in range(0, 28, 7):
            byte = self.number(1)
            value |= (byte & 0x7F) << shift
            if byte < 128:
                return value
        raise MalformedError("a variable number of five bytes")

    def properties(self) -> dict[int, Value]:
        inner = _Reader(self.take(self.variable()))
        found: dict[int, Value] = {}
        while inner.left:
            name = inner.number(1)
            if name in found and name not in (USER_PROPERTY, _SUBSCRIPTION):
                raise MalformedError(f"property {name} twice")
            found[name] = inner.value(name)
        return found

    def value(self, name: int) -> Value:
        if name in _BYTES:
            return self.number(_BYTES[name])
        if name in _TEXTS:
            return self.text()
        if name in _BINARY:
            return self.binary()
        if name == USER_PROPERTY:
            return self.text(), self.text()
        if name == _SUBSCRIPTION:
            return self.variable()
        raise MalformedError(f"property {name}")


def read_connect(body: bytes) -> Connect:
    """Read a CONNECT's body."""
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
    """Read a PUBLISH's body."""
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
    """Read a SUBSCRIBE's or UNSUBSCRIBE's body."""
    reader = _Reader(body)
    identifier, _ = reader.number(2), reader.properties()
    found = []
    while reader.left:
        name = reader.text()
        found.append((name, reader.number(1) & 3 if kind == SUBSCRIBE else 0))
    return Asked(identifier=identifier, filters=tuple(found))


def read_acknowledged(body: bytes) -> tuple[int, int]:
    """The identifier and the reason code of a PUBACK."""
    return int.from_bytes(body[:2]), body[2] if len(body) > 2 else 0


# Writing -----------------------------------------------------------------------------------------------------------


def packet(kind: int, body: bytes, flags: int = 0) -> bytes:
    """A whole packet."""
    return bytes([kind << 4 | flags]) + variable(len(body)) + body


def variable(value: int) -> bytes:
    """A number in seven bits a byte."""
    found = bytearray()
    while True:
        value, low = divmod(value, 128)
        found.append(low | (0x80 if value else 0))
        if not value:
            return bytes(found)


def text(value: str | bytes) -> bytes:
    """A text or bytes, after their length."""
    data = value.encode() if isinstance(value, str) else value
    return len(data).to_bytes(2) + data


def properties(values: Properties) -> bytes:
    """Properties, after their length."""
    found = b""
    for name, value in values.items():
        found += bytes([name])
        if isinstance(value, tuple):
            found += text(value[0]) + text(value[1])
        elif isinstance(value, int):
            found += value.to_bytes(_BYTES[name])
        else:
            found += text(value)
    return variable(len(found)) + found


def connack(code: int, values: Properties, *, is_present: bool = False) -> bytes:
    """A CONNACK; a refusal never says that there was a session."""
    return packet(CONNACK, bytes([is_present and not code, code]) + properties(values))


def puback(identifier: int, code: int, values: Properties | None = None) -> bytes:
    """A PUBACK, in its short form when it says nothing but success."""
    more = bytes([code]) + properties(values or {}) if code or values else b""
    return packet(PUBACK, identifier.to_bytes(2) + more)


def suback(identifier: int, codes: Iterable[int], values: Properties | None = None) -> bytes:
    """A SUBACK."""
    return packet(SUBACK, identifier.to_bytes(2) + properties(values or {}) + bytes(codes))


def unsuback(identifier: int, codes: Iterable[int]) -> bytes:
    """An UNSUBACK."""
    return packet(UNSUBACK, identifier.to_bytes(2) + properties({}) + bytes(codes))


def disconnect(code: int, values: Properties | None = None) -> bytes:
    """A DISCONNECT."""
    return packet(DISCONNECT, bytes([code]) + properties(values or {}))


def publish(message: Publish) -> bytes:
    """A PUBLISH."""
    identifier = message.identifier.to_bytes(2) if message.qos else b""
    body = text(message.topic) + identifier + properties(message.properties) + message.payload
    return packet(PUBLISH, body, message.is_again << 3 | message.qos << 1 | message.retain)
