"""Moments as AWS writes them, and how long ago they were. Pure."""

import datetime as dt
import re

_UNITS = ((86400, "d"), (3600, "h"), (60, "min"))


def moment(value: object) -> dt.datetime | None:
    """Returns a moment: version 1 of the AWS CLI writes seconds, version 2 a date; nothing for anything else."""
    try:
        if isinstance(value, int | float):
            return dt.datetime.fromtimestamp(value, dt.UTC)
        return dt.datetime.fromisoformat(str(value)).astimezone(dt.UTC)
    except (ValueError, OverflowError, OSError):
        return None


def text(at: dt.datetime | None) -> str:
    """Returns a moment for people and scripts."""
    return at.strftime("%Y-%m-%d %H:%M:%S UTC") if at else "unknown"


def seconds(given: str) -> int | None:
    """Returns a duration that somebody typed, such as ``90m`` or ``1h30m``; nothing for anything else."""
    if not re.fullmatch("([0-9]+[dhms])+", given):
        return None
    sizes = {"d": 86400, "h": 3600, "m": 60, "s": 1}
    return sum(int(number) * sizes[unit] for number, unit in re.findall("([0-9]+)([dhms])", given))


def age(since: dt.datetime | None, now: dt.datetime) -> str:
    """Returns how long ago a moment was, in its largest unit."""
    if since is None:
        return "?"
    seconds = max(0, int((now - since).total_seconds()))
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
