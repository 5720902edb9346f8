"""How far a growing file was read, and which file that was, whatever rotation made of it since.

A file is recognised by its beginning, since a rotation may copy it and file systems use inode numbers again.
"""

import dataclasses
import json
import os
import re
import stat
import zlib
from pathlib import Path
from typing import Any

from fleet_agent import files, foreign
from fleet_agent.errors import StateDirectoryError
from fleet_agent.record import record

_SCHEMA = 1
_HEAD = 1024  # bytes of the beginning that distinguish files

# What logrotate and its like put behind the name, and have not compressed.
_ROTATED = re.compile(r"[.-][0-9]+([.-][0-9]+)*")


@record
class Position:
    """``offset``: bytes of the file that are stored as readings; ``head``: CRC-32 of its first ``head_size`` bytes."""

    inode: int
    offset: int
    head: int
    head_size: int


class Opened:
    """A regular file, open for reading.

    Raises:
        OSError: It cannot be opened, or is not a regular file.
    """

    def __init__(self, path: Path) -> None:
        # Without O_NONBLOCK the open of a FIFO would wait for a writer for ever.
        self.descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
        found = os.fstat(self.descriptor)
        if not stat.S_ISREG(found.st_mode):
            self.close()
            raise OSError("it is not a regular file")
        self.inode = found.st_ino
        self.device = found.st_dev

    @property
    def size(self) -> int:
        """Bytes in it now."""
        return os.fstat(self.descriptor).st_size

    def is_at(self, path: Path) -> bool:
        """Whether the path leads to this very file.

        Raises:
            OSError: It leads to none.
        """
        found = path.stat()
        return (found.st_ino, found.st_dev) == (self.inode, self.device)

    def read(self, offset: int, most: int) -> bytes:
        """Reads bytes at a position."""
        return os.pread(self.descriptor, most, offset)

    def head(self, size: int) -> tuple[int, int]:
        """CRC-32 of its first bytes, at most ``size``, and how many they are."""
        data = self.read(0, min(size, _HEAD))
        return zlib.crc32(data), len(data)

    def is_of(self, position: Position) -> bool:
        """Whether it begins as the position's file did, and is long enough."""
        is_long = self.size >= max(position.offset, position.head_size)
        return is_long and self.head(position.head_size) == (position.head, position.head_size)

    def close(self) -> None:
        """Lets go of it."""
        os.close(self.descriptor)


def load(record: Path, path: Path) -> Position | None:
    """Loads the saved position for this path, if there is a readable one."""
    try:
        value: Any = foreign.read(files.read(record) or b"null")
        if value["schema"] != _SCHEMA or value["path"] != str(path):
            return None
        names = ("inode", "offset", "head", "head_size")
        return Position(**{name: int(value[name]) for name in names})
    except (StateDirectoryError, ValueError, TypeError, KeyError):
        return None


def save(record: Path, path: Path, position: Position) -> None:
    """Keeps the position, durably.

    Raises:
        StateDirectoryError: It cannot be written.
    """
    value = {"schema": _SCHEMA, "path": str(path), **dataclasses.asdict(position)}
    files.write(record, json.dumps(value).encode() + b"\n", 0o600)


def find(path: Path, position: Position, since: int | None = None) -> Opened | None:
    """The file of this position: under its own name, or one that it was rotated to; None: it is gone.

    Args:
        path: Its own name.
        position: How far it was read.
        since: When the position was saved (nanoseconds), if it was. Of a file that was empty then, a younger rotated
            one may be a copy, and the file cut since.

    Raises:
        OSError: It cannot be read.
    """
    if since is not None and position.head_size == 0:
        copies = [other for other in _rotated(path) if _age(other) > since]
        if copies:
            return Opened(min(copies, key=_age))
    if (current := _open(path)) is not None:
        if current.inode == position.inode and current.is_of(position):
            return current
        current.close()
    for candidate in sorted(
        _rotated(path), key=lambda other: (other.stat().st_ino != position.inode, -_age(other))
    ):
        if (opened := _open(candidate)) is not None:
            is_inode = opened.inode == position.inode
            if (is_inode or position.head_size) and opened.is_of(position):
                return opened
            opened.close()
    return None


def after(path: Path, done: Opened) -> Opened:
    """The file that follows a rotated one: another rotated one that is younger, or the one at the path.

    Raises:
        OSError: It cannot be opened.
    """
    age = os.fstat(done.descriptor).st_mtime_ns
    younger = [
        other
        for other in _rotated(path)
        if _age(other) > age and other.stat().st_ino not in (done.inode, path.stat().st_ino)
    ]
    return Opened(min(younger, key=_age, default=path))


def _rotated(path: Path) -> list[Path]:
    length = len(path.name)
    return [
        other
        for other in path.parent.glob(f"{_literal(path.name)}[.-]*")
        if _ROTATED.fullmatch(other.name[length:]) and other.is_file()
    ]


def _literal(name: str) -> str:
    return re.sub(r"([\[*?])", r"[\1]", name)


def _age(path: Path) -> int:
    return path.stat().st_mtime_ns


def _open(path: Path) -> Opened | None:
    try:
        return Opened(path)
    except FileNotFoundError:
        return None
