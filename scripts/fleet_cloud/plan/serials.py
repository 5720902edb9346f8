"""Which serial numbers may register at all: a list from a file, a pattern."""

import dataclasses
import re
from pathlib import Path

from fleet_cloud.errors import UsageError
from fleet_cloud.local import files

_SEPARATORS = ((",", "comma"), (";", "semicolon"), ('"', "quote"), ("'", "quote"), ("\t", "tab"))
_SHOWN = 5  # faulty lines of a list


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rules:
    """Which serial numbers may register: those on the list, and those that match the pattern; without both, all."""

    allow: tuple[str, ...] | None = None
    pattern: str | None = None


def read_rules(
    allow_file: Path | None, pattern: str | None, *, any_serial: bool = False
) -> Rules | None:
    """Returns the rules that the flags say, or nothing when they say none.

    Args:
        allow_file: The file with the list.
        pattern: A regular expression.
        any_serial: Every serial number may register again.

    Raises:
        UsageError: The file is not there or empty, or the pattern is not a regular expression.
    """
    if allow_file is None and pattern is None:
        return Rules() if any_serial else None
    if any_serial:
        raise UsageError("--hook-any and a list or a pattern", remedy="pass only one of them")
    if pattern is not None:
        if not pattern:
            raise UsageError(
                "--hook-pattern is empty: no serial number matches it",
                remedy="pass a pattern, or --hook-any to let every serial number register",
            )
        try:
            re.compile(pattern)
        except re.error as error:
            raise UsageError(
                f"--hook-pattern {pattern!r} is not a regular expression: {error}",
                remedy="write it as Python does, such as 'BIN-[0-9]{6}'",
            ) from error
    return Rules(allow=_serials(allow_file) if allow_file else None, pattern=pattern)


def _serials(path: Path) -> tuple[str, ...]:
    listed = files.read(path)
    lines = [line.strip() for line in (listed or "").split("\n")]
    named = [(number, line) for number, line in enumerate(lines, 1) if line and line[0] != "#"]
    wrong = [f"line {number}: {line!r}{why}" for number, line in named if (why := fault(line))]
    if wrong:
        more = [f"and {len(wrong) - _SHOWN} more"] * (len(wrong) > _SHOWN)
        raise UsageError(
            f"--hook-allow {path} does not have one serial number on each line:",
            remedy="write one serial number on each line; comments are separate lines that begin with #",
            details=[*wrong[:_SHOWN], *more],
        )
    serials = tuple(sorted({line for _, line in named}))
    if not serials:
        problem = "the file does not exist" if listed is None else "contains no serial number"
        raise UsageError(
            f"--hook-allow {path}: {problem}",
            remedy="write one serial number on each line; # begins a comment",
        )
    return serials


def fault(serial: str) -> str | None:
    """Returns what makes a line no serial number, or nothing: a device would be refused, for no visible reason."""
    if "#" in serial:
        return " contains a comment"
    for character, name in _SEPARATORS:
        if character in serial:
            return f" contains a {name}"
    if not serial.isprintable() or any(map(str.isspace, serial)):
        return " contains a space or a control character"
    return None
