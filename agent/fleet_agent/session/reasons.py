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


_WAIT = "It is tried again, less and less often."
_QUOTAS = "Look at the quotas of the account and of one connection (Service Quotas, AWS IoT Core)."
_CERTIFICATE = "Is the certificate ACTIVE and of this account? aws iot describe-certificate --certificate-id ID"
_BROKER = "Compare `endpoint` with: aws iot describe-endpoint --endpoint-type iot:Data-ATS"
_FAULT = "Report it with `fleet-agent doctor --bundle`: client and server disagree on MQTT 5."
_ELSEWHERE = f"This agent follows no redirection. {_BROKER}"
_FILTER = "Compare `subscriptions[].topic` with AWS's limits: 256 bytes, 7 slashes, + and # alone in their level."
_TOPIC = "Compare the topic's name with AWS's limits: 256 bytes, 7 slashes, no wildcard, nothing below $ but its own topics."
_SHORTER = "Send less at once: telemetry.batch.max_bytes, or shorter readings."

# fmt: off
_EVERYWHERE: Mapping[int, Reason] = {
    0: Reason(Kind.DONE, "success", "done", ""),
    1: Reason(Kind.DONE, "granted QoS 1", "done", ""),
    2: Reason(Kind.DONE, "granted QoS 2", "done", ""),
    16: Reason(Kind.DONE, "no matching subscribers", "done, and nobody listens", ""),
    128: Reason(Kind.BUSY, "unspecified error", "AWS IoT gives no cause; mostly a fault of its own", _WAIT),
    129: Reason(Kind.WRONG, "malformed packet", "the server cannot read what it was sent", _FAULT),
    130: Reason(Kind.WRONG, "protocol error", "the server does not accept what it was sent; often a broker of MQTT 3.1.1", _BROKER),
    131: Reason(Kind.BUSY, "implementation specific error", "the server's own rule", _WAIT),
    132: Reason(Kind.WRONG, "unsupported protocol version", "a broker that speaks MQTT 3.1.1 only", _BROKER),
    133: Reason(Kind.WRONG, "client identifier not valid", "the thing's name is not a client id that the server takes", "Compare the thing's name with the rule of AWS IoT: at most 128 of A-Z a-z 0-9 : _ -"),
    134: Reason(Kind.WRONG, "bad user name or password", "the server expects another kind of authentication", _BROKER),
    NOT_AUTHORIZED: Reason(Kind.POLICY, "not authorized", "a policy does not allow it", "Look at the policies of the certificate: fleet-agent doctor"),
    136: Reason(Kind.BUSY, "server unavailable", "AWS IoT is away for a moment", _WAIT),
    137: Reason(Kind.BUSY, "server busy", "AWS IoT is throttling", _WAIT),
    138: Reason(Kind.WRONG, "banned", "somebody at the server shut this client out", _CERTIFICATE),
    139: Reason(Kind.BUSY, "server shutting down", "the server is restarted", _WAIT),
    140: Reason(Kind.WRONG, "bad authentication method", "the server expects another kind of authentication", _BROKER),
    141: Reason(Kind.BUSY, "keep alive timeout", "nothing was heard of this device for 1.5 times the keep-alive", "Look at the network; a shorter connection.keep_alive keeps a NAT on the way awake."),
    TAKEN_OVER: Reason(Kind.WRONG, "session taken over", "another client connected under the same client id", "Two devices with one identity? On the copy: fleet-agent reset, then fleet-agent provision"),
    143: Reason(Kind.NEVER, "topic filter invalid", "AWS IoT does not accept such a filter", _FILTER),
    144: Reason(Kind.NEVER, "topic name invalid", "AWS IoT does not accept such a topic", _TOPIC),
    145: Reason(Kind.BUSY, "packet identifier in use", "client and server do not agree about what is under way", _WAIT),
    146: Reason(Kind.BUSY, "packet identifier not found", "client and server do not agree about what is under way", _WAIT),
    147: Reason(Kind.WRONG, "receive maximum exceeded", "more was under way than the server takes at a time", "Lower telemetry.limits.unacknowledged."),
    148: Reason(Kind.WRONG, "topic alias invalid", "the server does not know a short form of a topic that it had granted", _FAULT),
    TOO_LARGE: Reason(Kind.NEVER, "packet too large", "the message is larger than the server takes", _SHORTER),
    150: Reason(Kind.BUSY, "message rate too high", "more messages a second than a connection may send", "Lower telemetry.limits.publishes, or let readings share messages (telemetry.batch)."),
    151: Reason(Kind.BUSY, "quota exceeded", "a quota of the account or of the connection is used up", _QUOTAS),
    152: Reason(Kind.BUSY, "administrative action", "somebody ended the connection (DeleteConnection), or the certificate or policy changed", _CERTIFICATE),
    153: Reason(Kind.NEVER, "payload format invalid", "the payload is not what its content type says", "Correct what sends it."),
    154: Reason(Kind.WRONG, "retain not supported", "the server keeps no retained messages", "Set connection.presence.retain: false"),
    155: Reason(Kind.WRONG, "QoS not supported", "the server does not accept this quality of service", _BROKER),
    156: Reason(Kind.WRONG, "use another server", "the server sends its clients elsewhere for now", _ELSEWHERE),
    157: Reason(Kind.WRONG, "server moved", "the server sends its clients elsewhere for good", _ELSEWHERE),
    158: Reason(Kind.NEVER, "shared subscriptions not supported", "the server knows no $share/… filters", "Take $share/GROUP/ off the filter."),
    159: Reason(Kind.BUSY, "connection rate exceeded", "AWS IoT takes one connect a second of a client id, and so many of an account", _WAIT),
    160: Reason(Kind.BUSY, "maximum connect time", "the server lets no connection live longer", _WAIT),
    161: Reason(Kind.WRONG, "subscription identifiers not supported", "the server knows no subscription identifiers", _FAULT),
    162: Reason(Kind.NEVER, "wildcard subscriptions not supported", "the server takes no + and # in filters", "Name the topics one by one in subscriptions[].topic."),
}

_WILL = "It is about the last will on the presence topic (connection.presence), and not about the certificate."

# What a code means in one packet only.
_IN_ONE_PACKET: Mapping[tuple[Packet, int], Reason] = {
    (Packet.CONNACK, 144): Reason(Kind.WRONG, "topic name invalid", "the server does not accept the last will's topic", f"{_WILL} Correct connection.presence.topic."),
    (Packet.CONNACK, TOO_LARGE): Reason(Kind.WRONG, "packet too large", "the CONNECT is larger than the server takes", f"{_WILL} Shorten connection.presence.offline."),
    (Packet.CONNACK, 153): Reason(Kind.WRONG, "payload format invalid", "the last will's payload is not what it says", f"{_WILL} Correct connection.presence.offline."),
    (Packet.CONNACK, 154): Reason(Kind.WRONG, "retain not supported", "the last will asks to be retained, and the server keeps no retained messages", f"{_WILL} Set connection.presence.retain: false"),
    (Packet.CONNACK, 155): Reason(Kind.WRONG, "QoS not supported", "the last will has a quality of service that the server does not accept", f"{_WILL} Take connection.presence out, or use another endpoint."),
    (Packet.PUBACK, 151): Reason(Kind.BUSY, "quota exceeded", "more was sent than the account or the connection may send", f"It is sent again after a pause. {_QUOTAS}"),
    (Packet.SUBACK, 151): Reason(Kind.BUSY, "quota exceeded", "50 subscriptions a connection, and so many a second of the account", f"It is asked again, less and less often. {_QUOTAS}"),
    (Packet.DISCONNECT, NOT_AUTHORIZED): Reason(Kind.POLICY, "not authorized", "the policy does not allow what was just done, or the certificate is not ACTIVE any more", "Look at the policies of the certificate: fleet-agent doctor"),
    (Packet.DISCONNECT, 144): Reason(Kind.WRONG, "topic name invalid", "a topic that AWS IoT does not accept was published on", _TOPIC),
    (Packet.DISCONNECT, TOO_LARGE): Reason(Kind.WRONG, "packet too large", "a message larger than the server takes was sent", _SHORTER),
    (Packet.DISCONNECT, 155): Reason(Kind.WRONG, "QoS not supported", "a message or filter with a quality of service that the server does not accept", _BROKER),
}
# fmt: on

# AWS or another broker may know more codes than MQTT 5 does.
_NO_CODE = "a code that MQTT 5 does not give this packet"
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
