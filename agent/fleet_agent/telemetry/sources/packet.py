"""One packet of a program on this device → what it wants sent, and the answers it gets. Pure.

The protocol is in docs/reference/socket.md.
"""

import base64
import binascii
import dataclasses
import json
import math

from fleet_agent.telemetry.reading import BINARY, JSON, MAX_PAYLOAD, TEXT

NAME = "telemetry.sock"  # in the runtime directory
MAX_PACKET = 256 * 1024  # bytes

_LONGEST_EXPIRY = 10 * 365 * 86400.0  # seconds
_LONGEST_ID = 64  # characters
_FIELDS = frozenset({"topic", "payload", "encoding", "qos", "expires", "wait", "id"})

OK = b'{"ok": true}'

# Codes of errors, each what a program may want to act on.
BAD_PACKET = "bad-packet"
BAD_TOPIC = "bad-topic"
TOO_LARGE = "too-large"
NOT_ALLOWED = "not-allowed"
NOT_STORED = "not-stored"
NEVER_SENT = "never-sent"
BUSY = "busy"

_PAYLOAD = '"payload":'
_INFINITE = frozenset((math.inf, -math.inf))

_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode
_decoder = json.JSONDecoder()


class PacketError(Exception):
    """A packet is refused: ``code`` for programs, ``title`` what is wrong, ``remedy`` what to do, ``name``: its id."""

    def __init__(self, code: str, title: str, remedy: str) -> None:
        super().__init__(title)
        self.code = code
        self.title = title
        self.remedy = remedy
        self.name: object = None


@dataclasses.dataclass(slots=True)
class Request:
    """A packet's request; ``topic`` empty: the source's own; ``lifetime`` in seconds; ``name``: its ``id``."""

    topic: str
    payload: bytes
    content_type: str
    lifetime: float | None
    waits: bool
    name: object


def parse(data: bytes | bytearray | memoryview) -> Request:
    """Reads a packet of at most ``MAX_PACKET`` bytes.

    Raises:
        PacketError: It is not as the protocol wants it.
    """
    try:
        text = str(data, "utf-8").strip(" \t\r\n")
        value, end = _decoder.raw_decode(text)
        if end != len(text):
            _decoder.decode(text)  # says what is wrong
    except UnicodeDecodeError:
        raise _bad("The packet is not UTF-8.") from None
    except RecursionError:
        raise _bad("The packet is nested too deeply.") from None
    except json.JSONDecodeError as error:
        raise _bad(f"The packet is not JSON: {error}.") from None
    except ValueError:
        raise _bad("The packet has a whole number of more than 4300 digits.") from None
    if not isinstance(value, dict):
        raise _bad("The packet is not a JSON object.")
    name = value.get("id")
    if name is not None and not _is_name(name):
        raise _bad(
            f"`id` is neither a whole number nor a text of at most {_LONGEST_ID} characters."
        )
    try:
        return _request(value, name, text)
    except PacketError as error:
        error.name = name
        raise


def _request(value: dict[str, object], name: object, text: str) -> Request:
    if not value.keys() <= _FIELDS:
        unknown = min(value.keys() - _FIELDS)
        raise _bad(f"The packet has the unknown member {unknown[:80]!r}.")
    if "payload" not in value:
        raise _bad("The packet has no `payload`.")
    topic, qos = value.get("topic"), value.get("qos", 1)
    if topic is not None and not isinstance(topic, str):
        raise _bad("`topic` is not text.")
    # True and 1.0 are equal to 1.
    if type(qos) is not int or qos not in (0, 1):
        raise _bad("`qos` is neither 0 nor 1.")
    waits = value.get("wait", False)
    if not isinstance(waits, bool):
        raise _bad("`wait` is neither true nor false.")
    payload, content_type = _payload(value["payload"], value.get("encoding"), text)
    if len(payload) > MAX_PAYLOAD:
        raise PacketError(
            TOO_LARGE,
            f"The payload has {len(payload)} bytes; AWS IoT accepts {MAX_PAYLOAD}.",
            "Send smaller payloads.",
        )
    return Request(
        topic or "", payload, content_type, _lifetime(value.get("expires")), waits, name
    )


def _payload(payload: object, encoding: object, text: str) -> tuple[bytes, str]:
    if encoding is None:
        try:
            if isinstance(payload, dict) and (part := _as_it_came(payload, text)):
                return part.encode(), JSON
            return _encode(payload).encode(), JSON
        except ValueError:  # NaN or infinity, which Python reads; half a surrogate pair
            raise _bad("The payload has a number or a character that is not JSON.") from None
        except RecursionError:
            raise _bad("The payload is nested too deeply.") from None
    if not isinstance(payload, str) or encoding not in ("text", "base64"):
        raise _bad("With `encoding` (text or base64) the payload must be text.")
    try:
        if encoding == "text":
            return payload.encode(), TEXT
        return base64.b64decode(payload, validate=True), BINARY
    except UnicodeEncodeError:
        raise _bad("The payload has half a surrogate pair.") from None
    except (binascii.Error, ValueError):
        raise _bad("The payload is not base64.") from None


def _as_it_came(payload: dict[str, object], text: str) -> str:
    """The payload's own text, to be sent as it stands: encoding it again takes three times as long as reading it.

    Empty where that might not be what was read: the payload must be an object of plain values at the packet's end,
    without white space. If it has as many colons as members, it ends there, no name comes twice and nothing is nested.
    """
    at = text.find(_PAYLOAD)
    part = text[at + len(_PAYLOAD) : -1]
    if at < 0 or part.count(":") != len(payload) or part.split() != [part]:
        return ""
    # A backslash may be half a surrogate pair, an N one of NaN.
    if "\\" in part or "N" in part:
        return ""
    try:
        return part if _INFINITE.isdisjoint(payload.values()) else ""
    except TypeError:  # a list
        return ""


def _lifetime(expires: object) -> float | None:
    if expires is None:
        return None
    is_number = isinstance(expires, int | float) and not isinstance(expires, bool)
    if not is_number or not 0 < expires <= _LONGEST_EXPIRY or not math.isfinite(expires):  # type: ignore[operator, arg-type]
        raise _bad("`expires` is not a number of seconds from now, above 0 and within ten years.")
    return float(expires)  # type: ignore[arg-type]


def _is_name(name: object) -> bool:
    if isinstance(name, str):
        return len(name) <= _LONGEST_ID
    return isinstance(name, int) and not isinstance(name, bool) and abs(name) < 1 << 53


def _bad(title: str) -> PacketError:
    return PacketError(BAD_PACKET, title, "See docs/reference/socket.md.")


def answer(name: object, error: PacketError | None = None, member: str = "ok") -> bytes:
    """The answer to a packet, or with ``member="acknowledged"`` what became of the reading."""
    if error is None and name is None and member == "ok":
        return OK
    answered: dict[str, object] = {member: error is None}
    if name is not None:
        answered["id"] = name
    if error is not None:
        answered["error"] = {"code": error.code, "title": error.title, "remedy": error.remedy}
    return json.dumps(answered).encode()
