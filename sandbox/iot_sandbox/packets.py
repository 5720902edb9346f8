"""The few MQTT bytes the sandbox reads itself: who connects, and which topics a packet names. Pure."""

from dataclasses import dataclass

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK = 1, 2, 3, 4, 8, 9
MQTT_5 = 5
FAILURE = 128

OPERATIONS = {CONNECT: "connect", PUBLISH: "publish", SUBSCRIBE: "subscribe"}
ANSWERS = {CONNECT: CONNACK, PUBLISH: PUBACK, SUBSCRIBE: SUBACK}


@dataclass(frozen=True)
class Packet:
    """What a CONNECT, PUBLISH or SUBSCRIBE says, as far as faults ask.

    Attributes:
        kind: packet type.
        version: the protocol level; of the session, or asked for by the CONNECT.
        topics: topic of a PUBLISH, topic filters of a SUBSCRIBE.
        client_id: of a CONNECT.
        identifier: packet identifier; None for a CONNECT and at QoS 0.
    """

    kind: int
    version: int
    topics: tuple[str, ...] = ()
    client_id: str = ""
    identifier: int | None = None

    @property
    def operation(self) -> str:
        """Its name among ``fault_kinds.OPERATIONS``."""
        return OPERATIONS[self.kind]


def read_packet(kind: int, flags: int, body: bytes, version: int) -> Packet:
    """Read a packet of one of the kinds in ``OPERATIONS``.

    Raises:
        ValueError: it is cut short or no UTF-8.
    """
    try:
        if kind == CONNECT:
            return _read_connect(body)
        if kind == PUBLISH:
            return _read_publish(flags, body, version)
        return _read_subscribe(body, version)
    except IndexError as error:
        raise ValueError("packet cut short") from error


def reason_code(packet: bytes) -> tuple[int, int]:
    """Give the type of an answer and the highest reason code in it, 0 where it says none."""
    kind = packet[0] >> 4
    _, start = _variable(packet, 1)
    body = packet[start:]
    if kind == CONNACK:
        return kind, body[1]
    if kind == PUBACK:
        return kind, body[2] if len(body) > 2 else 0  # noqa: PLR2004  after the identifier
    if kind == SUBACK:
        return kind, body[-1]
    return kind, 0


def _read_connect(body: bytes) -> Packet:
    _, at = _text(body, 0)
    version, at = body[at], at + 4  # level, flags, keep-alive
    if version == MQTT_5:
        at = _skip_properties(body, at)
    return Packet(CONNECT, version, client_id=_text(body, at)[0])


def _read_publish(flags: int, body: bytes, version: int) -> Packet:
    topic, at = _text(body, 0)
    identifier = int.from_bytes(body[at : at + 2]) if flags & 0b0110 else None
    return Packet(PUBLISH, version, (topic,), identifier=identifier)


def _read_subscribe(body: bytes, version: int) -> Packet:
    at = _skip_properties(body, 2) if version == MQTT_5 else 2
    topics = []
    while at < len(body):
        topic, at = _text(body, at)
        topics.append(topic)
        at += 1  # options
    return Packet(SUBSCRIBE, version, tuple(topics), identifier=int.from_bytes(body[:2]))


def _text(data: bytes, at: int) -> tuple[str, int]:
    end = at + 2 + int.from_bytes(data[at : at + 2])
    if end > len(data):
        raise ValueError("packet cut short")
    return data[at + 2 : end].decode(), end


def _skip_properties(data: bytes, at: int) -> int:
    length, at = _variable(data, at)
    if at + length > len(data):
        raise ValueError("packet cut short")
    return at + length


def _variable(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            return value, at
