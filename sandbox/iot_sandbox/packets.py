"""The few MQTT bytes the sandbox reads itself: who connects, and which topics a packet names. Pure."""

from dataclasses import dataclass

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK = 1, 2, 3, 4, 8, 9
UNSUBACK, DISCONNECT, AUTH = 11, 14, 15
MQTT_5 = 5
FAILURE = 128

OPERATIONS = {CONNECT: "connect", PUBLISH: "publish", SUBSCRIBE: "subscribe"}
# The type and up to four bytes of length.
_LONGEST_HEADER = 5
ANSWERS = {CONNECT: CONNACK, PUBLISH: PUBACK, SUBSCRIBE: SUBACK}


@dataclass(frozen=True)
class Packet:
    """What a CONNECT, PUBLISH or SUBSCRIBE says, as far as faults need it.

    Attributes:
        kind: packet type.
        version: the protocol level; of the session, or asked for by the CONNECT.
        topics: topic of a PUBLISH, topic filters of a SUBSCRIBE.
        client_id: of a CONNECT.
        identifier: packet identifier; None for a CONNECT and at QoS 0.
        qos: of a PUBLISH, or of a CONNECT's will.
        keep_alive: of a CONNECT, in seconds.
        is_clean: whether a CONNECT wants no earlier session.
        will: where the properties of a CONNECT's will begin; None without one.
        rest: where a PUBLISH continues behind topic and identifier, and where the properties of another begin.
    """

    kind: int
    version: int
    topics: tuple[str, ...] = ()
    client_id: str = ""
    identifier: int | None = None
    qos: int = 0
    keep_alive: int = 0
    is_clean: bool = False
    will: int | None = None
    rest: int = 0

    @property
    def operation(self) -> str:
        """Its name among ``fault_kinds.OPERATIONS``."""
        return OPERATIONS[self.kind]


def read_packet(kind: int, flags: int, body: bytes, version: int) -> Packet:
    """Reads a packet of one of the kinds in ``OPERATIONS``.

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
    """Returns the type of an answer and the highest reason code in it, 0 where it says none."""
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
    version, flags, keep_alive = body[at], body[at + 1], int.from_bytes(body[at + 2 : at + 4])
    at = rest = at + 4
    if version == MQTT_5:
        at = _skip_properties(body, at)
    client_id, at = _text(body, at)
    return Packet(
        CONNECT,
        version,
        client_id=client_id,
        qos=flags >> 3 & 0b11,
        keep_alive=keep_alive,
        is_clean=bool(flags & 0b10),
        will=at if flags & 0b100 else None,
        rest=rest,
    )


def _read_publish(flags: int, body: bytes, version: int) -> Packet:
    topic, at = _text(body, 0)
    qos = flags >> 1 & 0b11
    identifier = int.from_bytes(body[at : at + 2]) if qos else None
    return Packet(
        PUBLISH, version, (topic,), identifier=identifier, qos=qos, rest=at + 2 if qos else at
    )


def with_topic(body: bytes, topic: str) -> bytes:
    """Returns the body of a PUBLISH with another topic."""
    _, at = _text(body, 0)
    return len(topic.encode()).to_bytes(2) + topic.encode() + body[at:]


def _read_subscribe(body: bytes, version: int) -> Packet:
    at = _skip_properties(body, 2) if version == MQTT_5 else 2
    topics = []
    while at < len(body):
        topic, at = _text(body, at)
        topics.append(topic)
        at += 1  # options
    return Packet(SUBSCRIBE, version, tuple(topics), identifier=int.from_bytes(body[:2]), rest=2)


def take_frame(buffer: bytearray) -> tuple[int, int] | None:
    """Returns where the first packet's body begins and ends, None as long as its header is not all there.

    Raises:
        ValueError: its length is malformed.
    """
    length = shift = 0
    for at in range(1, min(len(buffer), _LONGEST_HEADER)):
        length |= (buffer[at] & 0x7F) << shift
        shift += 7
        if not buffer[at] & 0x80:
            return at + 1, at + 1 + length
    if len(buffer) >= _LONGEST_HEADER:
        raise ValueError("a packet's length has more than four bytes")
    return None


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
