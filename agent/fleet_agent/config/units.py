"""Durations and sizes as people write them: "60s", "1h30m", "7d", "64MiB".

Pure: text to seconds or bytes and back; ``ValueError`` carries the words for the user.
"""

import re


class Share(float):
    """A part of a whole that stands where a duration may, more than 0 and less than 1: "33%"."""

    __slots__ = ()


# Biggest first: a duration names each unit at most once, in this order; "30m1h" is a slip.
SECONDS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
BYTES = {"GiB": 2**30, "MiB": 2**20, "KiB": 2**10, "B": 1}

# What JSON Schema can say of them; the lookahead only asks that something is there.
DURATION_PATTERN = (
    r"^(?=[0-9])([0-9]{1,9}d)?([0-9]{1,9}h)?([0-9]{1,9}m)?([0-9]{1,9}s)?([0-9]{1,9}ms)?$"
)
SHARE_PATTERN = r"^[1-9][0-9]?%$"
SIZE_PATTERN = r"^[0-9]{1,12}(GiB|MiB|KiB|B)$"

_DURATION_HINT = 'write a whole number and a unit, such as "60s", "10m", "1h30m" or "7d"'
_SHARE_HINT = 'write a share, such as "33%", or a duration, such as "10m" or "7d"'
_SIZE_HINT = 'write a whole number and a unit, such as "512KiB" or "64MiB"'


def parse_duration(text: str) -> float:
    """Reads a duration.

    Args:
        text: Whole numbers with the units d, h, m, s, ms, biggest first, without spaces.

    Returns:
        Seconds.

    Raises:
        ValueError: It is not a duration; the message shows how to write one.
    """
    found = re.fullmatch(DURATION_PATTERN, text)
    if not found or text.endswith("\n"):
        raise ValueError(_DURATION_HINT)
    return sum(
        int(part.removesuffix(unit)) * seconds
        for part, (unit, seconds) in zip(found.groups(), SECONDS.items(), strict=True)
        if part
    )


def parse_share(text: str) -> float:
    """Reads a duration, or a ``Share``.

    Raises:
        ValueError: It is neither; the message shows how to write one.
    """
    if re.fullmatch(SHARE_PATTERN, text) and not text.endswith("\n"):
        return Share(int(text[:-1]) / 100)
    try:
        return parse_duration(text)
    except ValueError:
        raise ValueError(_SHARE_HINT) from None


def format_duration(seconds: float) -> str:
    """Writes a duration the way ``parse_duration`` reads it, to the millisecond, and a ``Share`` as such."""
    if isinstance(seconds, Share):
        return f"{seconds:.0%}"
    rest = round(seconds * 1000)
    parts = []
    for unit, size in SECONDS.items():
        count, rest = divmod(rest, round(size * 1000))
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def parse_size(text: str) -> int:
    """Reads a size.

    Args:
        text: A whole number and B, KiB, MiB or GiB, without a space.

    Returns:
        Bytes.

    Raises:
        ValueError: It is not a size; the message shows how to write one.
    """
    found = re.fullmatch(r"([0-9]{1,12})(GiB|MiB|KiB|B)", text)
    if not found:
        raise ValueError(_SIZE_HINT)
    return int(found[1]) * BYTES[found[2]]


def format_size(size: int) -> str:
    """Writes a size the way ``parse_size`` reads it, in the biggest unit that divides it."""
    unit = next(
        unit
        for unit, factor in BYTES.items()
        if (size % factor == 0 and size >= factor) or unit == "B"
    )
    return f"{size // BYTES[unit]}{unit}"
