"""What the reason codes of CONNACK, SUBACK, PUBACK and DISCONNECT mean, why they come, and what to do. Pure.

One row a code: MQTT 5 gives it its name, AWS IoT Core or another broker its usual cause. A code may mean something else
in one packet; that is a row of its own. ``docs/reference/reason-codes.md`` is made from this table.
"""

import enum
from collections.abc import Mapping
from typing import NamedTuple

# A code that came and that the SDK does not know: it keeps the number to itself.
UNKNOWN = -1

NOT_AUTHORIZED = 135
TAKEN_OVER = 142
TOO_LARGE = 149
# Of a PUBACK: the server has it. 16: there is no subscriber.
PUBLISHED = (0, 16)


class Packet(enum.Enum):
    """The packet that carried the code."""

    CONNACK = "CONNACK"
    SUBACK = "SUBACK"
    PUBACK = "PUBACK"
    DISCONNECT = "DISCONNECT"


class Kind(enum.Enum):
    """The reaction that a code calls for."""

    DONE = "done"
    POLICY = "policy"
    BUSY = "busy"
    NEVER = "never"
    WRONG = "wrong"


class Reason(NamedTuple):
    """A code in words: MQTT 5's ``name``, its usual ``cause`` and the ``remedy``.

    ``kind`` says whether asking again may help: ``BUSY`` soon, ``WRONG`` and ``POLICY`` once something is changed,
    ``NEVER`` with other content only.
    """

    kind: Kind
    name: str
    cause: str
    remedy: str

    @property
    def is_failure(self) -> bool:
        """Whether what was asked for was not done."""
        return self.kind is not Kind.DONE


_WAIT = "The agent tries again, less and less often."
_QUOTAS = "Check the quotas of the account and of a connection (Service Quotas, AWS IoT Core)."
_CERTIFICATE = "Is the certificate ACTIVE and of this account? aws iot describe-certificate --certificate-id ID"
_BROKER = "Compare `endpoint` with: aws iot describe-endpoint --endpoint-type iot:Data-ATS"
_FAULT = "Report it with `fleet-agent doctor --bundle`: client and server disagree on MQTT 5."
_ELSEWHERE = f"This agent does not follow redirections. {_BROKER}"
_FILTER = "Compare `subscriptions[].topic` with AWS's limits: 256 bytes, 7 slashes, + and # only as whole levels."
_TOPIC = "Compare the topic's name with AWS's limits: 256 bytes, 7 slashes, no wildcard, below $ only its own topics."
_SHORTER = "Send less at once: telemetry.batch.max_bytes, or shorter readings."

# fmt: off
_EVERYWHERE: Mapping[int, Reason] = {
    0: Reason(Kind.DONE, "success", "done", ""),
    1: Reason(Kind.DONE, "granted QoS 1", "done", ""),
    2: Reason(Kind.DONE, "granted QoS 2", "done", ""),
    16: Reason(Kind.DONE, "no matching subscribers", "accepted, but nobody subscribes to it", ""),
    128: Reason(Kind.BUSY, "unspecified error", "AWS IoT gives no cause; usually its own fault", _WAIT),
    129: Reason(Kind.WRONG, "malformed packet", "the server cannot read what it was sent", _FAULT),
    130: Reason(Kind.WRONG, "protocol error", "the server does not accept what it was sent; often a broker of MQTT 3.1.1", _BROKER),
    131: Reason(Kind.BUSY, "implementation specific error", "a rule of this server", _WAIT),
    132: Reason(Kind.WRONG, "unsupported protocol version", "a broker that speaks MQTT 3.1.1 only", _BROKER),
    133: Reason(Kind.WRONG, "client identifier not valid", "the server does not accept the thing's name as a client id", "Compare the thing's name with the rule of AWS IoT: at most 128 of A-Z a-z 0-9 : _ -"),
    134: Reason(Kind.WRONG, "bad user name or password", "the server expects another kind of authentication", _BROKER),
    NOT_AUTHORIZED: Reason(Kind.POLICY, "not authorized", "a policy does not allow it", "Check the policies of the certificate: fleet-agent doctor --online"),
    136: Reason(Kind.BUSY, "server unavailable", "AWS IoT is not available for a moment", _WAIT),
    137: Reason(Kind.BUSY, "server busy", "AWS IoT is throttling", _WAIT),
    138: Reason(Kind.WRONG, "banned", "the server's operator has banned this client", _CERTIFICATE),
    139: Reason(Kind.BUSY, "server shutting down", "the server is restarting", _WAIT),
    140: Reason(Kind.WRONG, "bad authentication method", "the server expects another kind of authentication", _BROKER),
    141: Reason(Kind.BUSY, "keep alive timeout", "the server received nothing from this device for 1.5 times the keep-alive interval", "Check the network; a shorter connection.keep_alive keeps a NAT on the way open."),
    TAKEN_OVER: Reason(Kind.WRONG, "session taken over", "another client connected under the same client id", "Two devices with one identity? On the copy: fleet-agent reset, then fleet-agent provision"),
    143: Reason(Kind.NEVER, "topic filter invalid", "AWS IoT does not accept such a filter", _FILTER),
    144: Reason(Kind.NEVER, "topic name invalid", "AWS IoT does not accept such a topic", _TOPIC),
    145: Reason(Kind.BUSY, "packet identifier in use", "client and server do not agree on which packets are in flight", _WAIT),
    146: Reason(Kind.BUSY, "packet identifier not found", "client and server do not agree on which packets are in flight", _WAIT),
    147: Reason(Kind.WRONG, "receive maximum exceeded", "more messages were in flight than the server accepts at a time", "Lower telemetry.limits.unacknowledged."),
    148: Reason(Kind.WRONG, "topic alias invalid", "the server does not know a topic alias that it had allowed", _FAULT),
    TOO_LARGE: Reason(Kind.NEVER, "packet too large", "the message is larger than the server accepts", _SHORTER),
    150: Reason(Kind.BUSY, "message rate too high", "more messages a second than a connection may send", "Lower telemetry.limits.publishes, or let readings share messages (telemetry.batch)."),
    151: Reason(Kind.BUSY, "quota exceeded", "a quota of the account or of the connection is used up", _QUOTAS),
    152: Reason(Kind.BUSY, "administrative action", "somebody ended the connection (DeleteConnection), or the certificate or policy changed", _CERTIFICATE),
    153: Reason(Kind.NEVER, "payload format invalid", "the payload is not what its content type says", "Correct what sends it."),
    154: Reason(Kind.WRONG, "retain not supported", "the server does not keep retained messages", "Set connection.presence.retain: false"),
    155: Reason(Kind.WRONG, "QoS not supported", "the server does not accept this quality of service", _BROKER),
    156: Reason(Kind.WRONG, "use another server", "for now, the server sends its clients elsewhere", _ELSEWHERE),
    157: Reason(Kind.WRONG, "server moved", "the server permanently sends its clients elsewhere", _ELSEWHERE),
    158: Reason(Kind.NEVER, "shared subscriptions not supported", "the server does not support $share/… filters", "Remove $share/GROUP/ from the filter."),
    159: Reason(Kind.BUSY, "connection rate exceeded", "AWS IoT accepts one connect a second for a client id, and a limited number for an account", _WAIT),
    160: Reason(Kind.BUSY, "maximum connect time", "the server does not allow longer connections", _WAIT),
    161: Reason(Kind.WRONG, "subscription identifiers not supported", "the server does not support subscription identifiers", _FAULT),
    162: Reason(Kind.NEVER, "wildcard subscriptions not supported", "the server does not accept + and # in filters", "Name the topics one by one in subscriptions[].topic."),
}

_WILL = "The cause is the last will on the presence topic (connection.presence), not the certificate."

# What a code means in one packet only.
_IN_ONE_PACKET: Mapping[tuple[Packet, int], Reason] = {
    (Packet.CONNACK, 144): Reason(Kind.WRONG, "topic name invalid", "the server does not accept the last will's topic", f"{_WILL} Correct connection.presence.topic."),
    (Packet.CONNACK, TOO_LARGE): Reason(Kind.WRONG, "packet too large", "the CONNECT is larger than the server accepts", f"{_WILL} Shorten connection.presence.offline."),
    (Packet.CONNACK, 153): Reason(Kind.WRONG, "payload format invalid", "the last will's payload is not what its content type says", f"{_WILL} Correct connection.presence.offline."),
    (Packet.CONNACK, 154): Reason(Kind.WRONG, "retain not supported", "the last will is to be retained, but the server does not keep retained messages", f"{_WILL} Set connection.presence.retain: false"),
    (Packet.CONNACK, 155): Reason(Kind.WRONG, "QoS not supported", "the last will has a quality of service that the server does not accept", f"{_WILL} Remove connection.presence, or use another endpoint."),
    (Packet.PUBACK, 151): Reason(Kind.BUSY, "quota exceeded", "more was sent than the account or the connection may send", f"The agent sends it again after a pause. {_QUOTAS}"),
    (Packet.SUBACK, 151): Reason(Kind.BUSY, "quota exceeded", "50 subscriptions for a connection, and a limited number a second for the account", f"The agent asks again, less and less often. {_QUOTAS}"),
    (Packet.DISCONNECT, NOT_AUTHORIZED): Reason(Kind.POLICY, "not authorized", "the policy does not allow what was just done, or the certificate is no longer ACTIVE", "Check the policies of the certificate: fleet-agent doctor --online"),
    (Packet.DISCONNECT, 144): Reason(Kind.WRONG, "topic name invalid", "a message was published on a topic that AWS IoT does not accept", _TOPIC),
    (Packet.DISCONNECT, TOO_LARGE): Reason(Kind.WRONG, "packet too large", "a message was larger than the server accepts", _SHORTER),
    (Packet.DISCONNECT, 155): Reason(Kind.WRONG, "QoS not supported", "a message or filter with a quality of service that the server does not accept", _BROKER),
}
# fmt: on

# AWS or another broker may know more codes than MQTT 5 does.
_NO_CODE = "a code that MQTT 5 does not define for this packet"
_UNKNOWN = Reason(Kind.BUSY, "unknown reason code", _NO_CODE, _WAIT)


def reason(packet: Packet, code: int) -> Reason:
    """The words for a code; an unknown code has a row, too."""
    return _IN_ONE_PACKET.get((packet, code)) or _EVERYWHERE.get(code, _UNKNOWN)


def words(packet: Packet, code: int) -> str:
    """A code for people: ``SUBACK 151, quota exceeded``."""
    if code == UNKNOWN:
        return f"{packet.value} with a reason code that the SDK does not know"
    return f"{packet.value} {code}, {reason(packet, code).name}"


def rows() -> list[tuple[int, str, Reason]]:
    """Every row with its code and the packet it is about (empty: any), for the reference page."""
    found = [(code, "", row) for code, row in _EVERYWHERE.items()]
    found += [(code, packet.value, row) for (packet, code), row in _IN_ONE_PACKET.items()]
    return sorted(found, key=lambda item: (item[0], item[1]))
