"""A log of blklogwrites (the format of dm-log-writes), and every disk that a power cut could have left of it.

A disk keeps what was flushed; of what was written since, any part, in any order, may be there or not.
"""

import json
import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_MAGIC = 0x6A736677736872
_HEADER = "<QQQI"
_ENTRY = "<QQQQ"
_FLUSH, _FUA, _DISCARD = 1, 2, 4

MARK = b"fleet-agent mark\n"  # at the beginning of a block beyond the file system


@dataclass(frozen=True)
class Entry:
    """One request: where in bytes, what; ``mark`` when it says something to us and nothing to the file system."""

    offset: int
    data: bytes
    flushes: bool
    is_durable: bool
    mark: dict[str, Any] | None


@dataclass(frozen=True)
class Cut:
    """A power cut: writes to apply to the disk of ``base`` entries, and the marks written before."""

    entry: int
    base: list[Entry]
    survived: list[Entry]
    marks: list[dict[str, Any]]


def read(log: Path) -> list[Entry]:
    """Every request in the order in which it was done."""
    data = log.read_bytes()
    magic, _, count, sector = struct.unpack_from(_HEADER, data)
    assert magic == _MAGIC, "no log of block writes"
    found, at = [], sector
    for _ in range(count):
        start, length, flags, _ = struct.unpack_from(_ENTRY, data, at)
        at += sector
        written = b""
        if length and not flags & _DISCARD:
            written = data[at : at + length * sector]
            at += length * sector
        found.append(
            Entry(
                start * sector,
                written,
                bool(flags & _FLUSH),
                bool(flags & _FUA),
                _mark(written),
            )
        )
    return found


def _mark(data: bytes) -> dict[str, Any] | None:
    if not data.startswith(MARK):
        return None
    value: dict[str, Any] = json.loads(data[len(MARK) :].rstrip(b"\0"))
    return value


def cuts(entries: list[Entry], subsets: int, chance: random.Random) -> Iterator[Cut]:
    """Power cuts before every flush: nothing of what is unflushed survived, then ``subsets`` random parts of it.

    ``base`` has what became durable since the cut before; apply it to one image and keep that.
    """
    marks: list[dict[str, Any]] = []
    pending: list[Entry] = []
    durable: list[Entry] = []
    for number, entry in enumerate(entries):
        if entry.flushes and pending:
            forced = [each for each in pending if each.is_durable]
            yield Cut(number, durable, forced, list(marks))
            for _ in range(subsets):
                # In the order of writing: of two writes to one place the later one stands.
                survived = [each for each in pending if each.is_durable or chance.random() < 0.5]
                yield Cut(number, [], survived, list(marks))
            durable, pending = pending, []
        if entry.mark is not None:
            marks.append(entry.mark)
        elif entry.data:
            pending.append(entry)
    yield Cut(len(entries), durable, pending, list(marks))
