"""Combines readings of one topic into a message. Pure.

A message carries consecutive readings, so that ``sequence`` and ``count`` identify each of them: a subscriber can see
duplicates and gaps.
"""

import functools
import math
from collections.abc import Sequence

from fleet_agent import __version__, clock
from fleet_agent.config.telemetry import Batch
from fleet_agent.record import mutable
from fleet_agent.session.message import Outgoing
from fleet_agent.telemetry.reading import JSON, MAX_PAYLOAD, TEXT

NDJSON = "application/x-ndjson"
GZIP = "+gzip"

# AWS IoT Core's longest message expiry, in seconds.
_LONGEST_EXPIRY = 604_800

# Bytes of an MQTT packet besides topic, payload and strings (header, packet id, lengths, expiry), and of each string.
_FRAME = 32
_FIELD = 3

# Bytes around the readings of a message.
_BRACKETS = 2

_AGENT = ("agent", f"fleet-agent/{__version__}")


# Not frozen, which would double the time to take them from the queue.
@mutable
class Stored:
    """A reading as the queue returns it; ``sequence`` counts within its topic.

    ``era`` and ``moment``: when it was stored (``age_clock``); ``lifetime``: seconds from then until it expires;
    ``source``: the number of its source.
    """

    sequence: int
    payload: bytes
    time: float
    content_type: str
    source: int = 0
    era: int = 0
    moment: float = 0.0
    lifetime: float | None = None


def share(readings: Sequence[Stored], batch: Batch) -> int:
    """Returns how many of the first readings (at least one) share a message."""
    first = readings[0]
    if not _joins(first, batch):
        return 1
    size = len(first.payload) + _BRACKETS
    end, is_lines = _end(first), batch.format != "json"
    for index in range(1, len(readings)):
        reading = readings[index]
        size += len(reading.payload) + 1
        if (
            size > batch.max_bytes
            or index >= batch.max_readings
            or reading.sequence != readings[index - 1].sequence + 1
            or reading.content_type != first.content_type
            or _end(reading) != end
            or (is_lines and b"\n" in reading.payload)
        ):
            return index
    return len(readings)


def compose(topic: str, readings: Sequence[Stored], batch: Batch, left: float | None) -> Outgoing:
    """Composes a message of readings that ``share`` found to fit; ``left``: seconds until they expire, None: never."""
    first = readings[0]
    payload, content_type = first.payload, first.content_type
    is_wrapped = len(readings) > 1 or (batch.always and len(payload) + _BRACKETS <= MAX_PAYLOAD)
    if is_wrapped and _joins(first, batch):
        if batch.format == "json":
            payload = b"[" + b",".join(reading.payload for reading in readings) + b"]"
        else:
            payload = b"\n".join(reading.payload for reading in readings) + b"\n"
            content_type = NDJSON if content_type == JSON else content_type
        if batch.gzip:
            import gzip

            payload, content_type = gzip.compress(payload, 5, mtime=0), content_type + GZIP
    return Outgoing(
        topic=topic,
        payload=payload,
        content_type=content_type,
        properties=(
            _AGENT,
            ("time", _second(int(first.time))),
            ("sequence", str(first.sequence)),
            ("count", str(len(readings))),
        ),
        expiry=None if left is None else _whole(left),
    )


@functools.lru_cache(maxsize=64)
def _second(moment: int) -> str:
    """Returns a second as text; cached, since many messages carry the same second."""
    return clock.text(moment)


def packet_size(message: Outgoing) -> int:
    """Returns the size of a message's MQTT packet, or slightly more."""
    size = _FRAME + len(message.topic.encode()) + len(message.payload)
    for text in (
        message.content_type or "",
        *(word for pair in message.properties for word in pair),
    ):
        size += _FIELD + len(text.encode())
    return size + len(message.correlation_data or b"")


def _joins(reading: Stored, batch: Batch) -> bool:
    if batch.format == "none":
        return False
    if batch.format == "json":
        return reading.content_type == JSON
    return reading.content_type in (JSON, TEXT) and b"\n" not in reading.payload


def _end(reading: Stored) -> tuple[int, int] | None:
    """Returns the second at which it expires."""
    if reading.lifetime is None:
        return None
    return reading.era, math.ceil(reading.moment + reading.lifetime)


def _whole(seconds: float) -> int:
    return min(max(math.ceil(seconds), 1), _LONGEST_EXPIRY)
