"""The limits of AWS IoT and the SDK: topics, topic filters, and a message's properties, in both directions.

The SDK raises on what MQTT forbids, and AWS ends the connection on what it does not take. So this is asked before
anything comes to depend on it: before a configuration is accepted, a placeholder filled in, a reading acknowledged to
its sender, an answer given, the id of a job used. Whatever passes here the SDK takes.
"""

import re
from typing import NamedTuple

# AWS IoT Core: a topic has at most 256 bytes of UTF-8 and 7 slashes; the prefix of Basic Ingest and of a shared
# subscription does not count.
TOPIC_BYTES = 256
TOPIC_SLASHES = 7
# Of AWS IoT Commands' own topics: .../executions/ID/response/accepted/json.
COMMAND_SLASHES = 8

BASIC_INGEST = "$aws/rules/"
_COMMANDS = "$aws/commands/"
_SHARED = "$share/"

# A string of MQTT has a length of two bytes; the SDK leaves the longest out for the correlation data.
STRING_BYTES = 65535
DATA_BYTES = 65534

_RULE = re.compile(r"[0-9A-Za-z_]{1,128}")

# Unicode's control characters; the halves of surrogate pairs, which no UTF-8 can carry; its non-characters. MQTT lets a
# server end the connection over each. Spelled out, since the module unicodedata would stay in the daemon's memory.
_FORBIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef"
    + "".join(
        f"{chr(plane | 0xFFFE)}{chr(plane | 0xFFFF)}" for plane in range(0, 0x110000, 0x10000)
    )
    + "]"
)


class Fault(NamedTuple):
    """Why something is not accepted: ``problem``, to be read after its name, and ``suggestion``."""

    problem: str
    suggestion: str = ""


def topic_fault(text: str) -> Fault | None:
    """Returns why nothing can be published to a topic; None if it can."""
    for wildcard in "#+":
        if wildcard in text:
            return Fault(
                f'has the wildcard "{wildcard}": a message goes to one topic, not to a filter'
            )
    counted = text
    if text.startswith(BASIC_INGEST):
        rule, _, counted = text.removeprefix(BASIC_INGEST).partition("/")
        if counted and not _RULE.fullmatch(rule):
            return Fault(
                "does not name a rule of AWS IoT: 1 to 128 of the characters 0-9 A-Z a-z _",
                f"write {BASIC_INGEST}RULE/and/a/topic",
            )
    return _limits(counted)


def filter_fault(text: str) -> Fault | None:
    """Returns why a topic filter cannot be subscribed to; None if it can."""
    counted = text
    if text.startswith(_SHARED):
        _, group, counted = (*text.split("/", 2), "")[:3]
        if not group or any(sign in group for sign in "#+") or text.count("/") < 2:  # noqa: PLR2004 - $share, group, filter
            return Fault("is not a shared subscription", "write $share/GROUP/FILTER")
        if fault := string_fault(group):
            return fault
    return _limits(counted) or _wildcards(counted)


def answer_fault(topic: str, correlation_data: bytes | None) -> Fault | None:
    """Returns why no answer with this correlation data can be published there; None if it can."""
    if fault := topic_fault(topic):
        return fault
    if correlation_data is not None and len(correlation_data) > DATA_BYTES:
        return Fault(
            f"has correlation data of {len(correlation_data)} bytes; {DATA_BYTES} can be sent"
        )
    return None


def string_fault(text: str) -> Fault | None:
    """Returns why MQTT does not allow such a string; None if it does."""
    if found := _FORBIDDEN.search(text):
        if found[0] == "\n":
            return Fault("has more than one line")
        code = f"U+{ord(found[0]):04X}"
        is_control = ord(found[0]) <= 0x9F  # noqa: PLR2004 - the last of them
        character = "a control character" if is_control else "something that is not a character"
        return Fault(f"contains {character} ({code})")
    size = len(text.encode())
    return Fault(f"has {size} bytes; {STRING_BYTES} can be sent") if size > STRING_BYTES else None


def _limits(text: str) -> Fault | None:
    if not text:
        return Fault("is empty")
    if fault := string_fault(text):
        return fault
    size = len(text.encode())
    if size > TOPIC_BYTES:
        return Fault(f"has {size} bytes; AWS IoT allows {TOPIC_BYTES}")
    slashes = text.count("/")
    most = COMMAND_SLASHES if text.startswith(_COMMANDS) else TOPIC_SLASHES
    if slashes > most:
        return Fault(f"has {slashes} slashes; AWS IoT allows {most}")
    return None


def _wildcards(text: str) -> Fault | None:
    levels = text.split("/")
    if "#" in "".join(levels[:-1]) or ("#" in levels[-1] and levels[-1] != "#"):
        return Fault(
            'has "#" where it cannot be', 'write "#" as the whole last level: cmd/{thing}/#'
        )
    if any("+" in level and level != "+" for level in levels):
        return Fault('has "+" where it cannot be', 'write "+" as a whole level: cmd/+/restart')
    return None
