"""What a client may send: each of its packets held to AWS's limits, before ministack sees it. Pure."""

from collections.abc import Collection

from iot_sandbox.limits import (
    FILTERS_PER_CONNECTION,
    FILTERS_PER_PACKET,
    MAXIMUM_CLIENT_ID,
    MAXIMUM_PAYLOAD,
    RECEIVE_MAXIMUM,
    TOPIC_ALIASES,
    Limits,
)
from iot_sandbox.packets import MQTT_5, Packet

PROTOCOL_ERROR = 130
CLIENT_ID_NOT_VALID = 133
KEEP_ALIVE_TIMEOUT = 141
TOPIC_FILTER_INVALID = 143
TOPIC_NAME_INVALID = 144
RECEIVE_MAXIMUM_EXCEEDED = 147
TOPIC_ALIAS_INVALID = 148
PACKET_TOO_LARGE = 149
QUOTA_EXCEEDED = 151
QOS_NOT_SUPPORTED = 155
SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED = 161


class BreachError(Exception):
    """A packet that AWS does not accept.

    Attributes:
        code: the reason code.
        ends: whether it ends the connection; otherwise the packet's own answer has the code.
    """

    def __init__(self, code: int, *, ends: bool = True) -> None:
        super().__init__(f"reason code {code}")
        self.code = code
        self.ends = ends


class Inbound:
    """What one connection has sent so far, as far as the next packet depends on it."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._aliases: dict[int, str] = {}
        self._unacknowledged: set[int] = set()

    def connect(self, packet: Packet) -> None:
        """Judges a CONNECT.

        Raises:
            BreachError: AWS refuses it.
        """
        if packet.client_id.startswith("$") or len(packet.client_id.encode()) > MAXIMUM_CLIENT_ID:
            raise BreachError(CLIENT_ID_NOT_VALID, ends=False)
        if packet.qos > 1:
            raise BreachError(QOS_NOT_SUPPORTED, ends=False)

    def publish(self, packet: Packet, alias: int | None, payload: int) -> str:
        """Judges a PUBLISH; returns the topic it goes to.

        Args:
            packet: as it was read.
            alias: its topic alias.
            payload: bytes in its payload.

        Raises:
            BreachError: AWS refuses it.
        """
        if packet.qos > 1:
            raise BreachError(QOS_NOT_SUPPORTED)
        if self._limits.has("packet-size") and payload > MAXIMUM_PAYLOAD:
            raise BreachError(QUOTA_EXCEEDED)
        topic = self._named(packet, alias)
        if packet.identifier is not None:
            self._unacknowledged.add(packet.identifier)
            is_limited = self._limits.has("receive-maximum") and packet.version == MQTT_5
            if is_limited and len(self._unacknowledged) > RECEIVE_MAXIMUM:
                raise BreachError(RECEIVE_MAXIMUM_EXCEEDED)
        if not self._limits.takes_topic(topic):
            raise BreachError(TOPIC_NAME_INVALID, ends=False)
        return topic

    def acknowledged(self, identifier: int) -> None:
        """Notes that a PUBLISH has its PUBACK."""
        self._unacknowledged.discard(identifier)

    def subscribe(self, packet: Packet, held: Collection[str], *, has_identifier: bool) -> None:
        """Judges a SUBSCRIBE as a whole; each filter is judged by ``Limits.takes_filter``.

        Args:
            packet: as it was read.
            held: topic filters this connection has.
            has_identifier: whether it gives a subscription identifier.

        Raises:
            BreachError: AWS refuses it.
        """
        if has_identifier:
            raise BreachError(SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED)
        if not packet.topics:
            raise BreachError(PROTOCOL_ERROR)
        if not all(map(self._limits.stands_filter, packet.topics)):
            raise BreachError(TOPIC_FILTER_INVALID)
        if not self._limits.has("topic-limits"):
            return
        is_many = len(packet.topics) > FILTERS_PER_PACKET
        if is_many or len({*held, *packet.topics}) > FILTERS_PER_CONNECTION:
            raise BreachError(QUOTA_EXCEEDED, ends=False)

    def _named(self, packet: Packet, alias: int | None) -> str:
        """Returns the topic a PUBLISH goes to, and remembers what an alias stands for."""
        topic = packet.topics[0]
        if alias is None:
            if not topic and packet.version == MQTT_5:
                raise BreachError(PROTOCOL_ERROR)
            return topic
        granted = TOPIC_ALIASES if self._limits.has("topic-aliases") else 0
        if not 1 <= alias <= granted:
            raise BreachError(TOPIC_ALIAS_INVALID)
        if not topic and alias not in self._aliases:
            raise BreachError(PROTOCOL_ERROR)
        self._aliases[alias] = topic or self._aliases[alias]
        return self._aliases[alias]
