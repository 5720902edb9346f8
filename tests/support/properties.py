"""The properties of MQTT 5 packets, and the few other things they are made of."""

from enum import IntEnum
from typing import Any


class Property(IntEnum):
    """MQTT 5's properties, as far as tests use them."""

    PAYLOAD_FORMAT = 0x01
    MESSAGE_EXPIRY = 0x02
    CONTENT_TYPE = 0x03
    RESPONSE_TOPIC = 0x08
    CORRELATION_DATA = 0x09
    SUBSCRIPTION_IDENTIFIER = 0x0B
    SESSION_EXPIRY = 0x11
    ASSIGNED_CLIENT_ID = 0x12
    SERVER_KEEP_ALIVE = 0x13
    WILL_DELAY = 0x18
    REASON_STRING = 0x1F
    RECEIVE_MAXIMUM = 0x21
    TOPIC_ALIAS_MAXIMUM = 0x22
    TOPIC_ALIAS = 0x23
    MAXIMUM_QOS = 0x24
    RETAIN_AVAILABLE = 0x25
    USER = 0x26
    MAXIMUM_PACKET_SIZE = 0x27
    WILDCARDS = 0x28
    SUBSCRIPTION_IDENTIFIERS = 0x29
    SHARED_SUBSCRIPTIONS = 0x2A


Properties = dict[int, Any]
# Bytes of an integer; -1 a string, -2 bytes, -3 pairs of strings.
_SIZES = {
    0x01: 1, 0x02: 4, 0x03: -1, 0x08: -1, 0x09: -2, 0x0B: 1, 0x11: 4, 0x12: -1, 0x13: 2, 0x18: 4, 0x1F: -1,
    0x21: 2, 0x22: 2, 0x23: 2, 0x24: 1, 0x25: 1, 0x26: -3, 0x27: 4, 0x28: 1, 0x29: 1, 0x2A: 1,
}  # fmt: skip


def text(value: str | bytes) -> bytes:
    """Encodes a string, or bytes, with its length."""
    data = value.encode() if isinstance(value, str) else value
    return len(data).to_bytes(2) + data


def pack(properties: Properties | None) -> bytes:
    """Encodes properties with their length; a list of pairs is a user property each."""
    data = b""
    for name, value in (properties or {}).items():
        size = _SIZES[name]
        for each in value if size == -3 else [value]:
            data += bytes([name])
            if size > 0:
                data += int(each).to_bytes(size)
            else:
                data += b"".join(map(text, each)) if size == -3 else text(each)
    return variable(len(data)) + data


def unpack(data: bytes, at: int) -> tuple[Properties, int]:
    """Decodes properties; gives them and where they end."""
    length = shift = 0
    while True:
        byte = data[at]
        length |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            break
    end = at + length
    found: Properties = {}

    def string() -> bytes:
        nonlocal at
        size = int.from_bytes(data[at : at + 2])
        at += 2 + size
        return data[at - size : at]

    while at < end:
        name, at = data[at], at + 1
        size = _SIZES[name]
        if size > 0:
            found[name], at = int.from_bytes(data[at : at + size]), at + size
        elif size == -3:
            found.setdefault(name, []).append((string().decode(), string().decode()))
        else:
            found[name] = string() if size == -2 else string().decode()
    return found, end


def variable(value: int) -> bytes:
    """Encodes a length."""
    data = b""
    while True:
        value, low = divmod(value, 128)
        data += bytes([low | (0x80 if value else 0)])
        if not value:
            return data
