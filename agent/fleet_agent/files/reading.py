"""Reads files, and looks at what stands in their place: of the agent's own no link is followed."""

import contextlib
import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

from fleet_agent.files.failures import NotOursError, refuse_irregular, reported
from fleet_agent.files.pinned import open_to_read

_PIECE = 1 << 18


def owner(path: Path) -> int | None:
    """Returns the owner's user id; None when nothing is there.

    Raises:
        StateDirectoryError: The disk does not say.
    """
    with reported("check", path, reads=True) as target, contextlib.suppress(FileNotFoundError):
        return target.stat().st_uid
    return None


def is_link(path: Path) -> bool:
    """Whether a symbolic link stands there.

    Raises:
        StateDirectoryError: The disk does not say.
    """
    with reported("check", path, reads=True) as target:
        return target.is_symlink()


def link(path: Path) -> str | None:
    """Returns the target of a symbolic link; None when nothing is there.

    Raises:
        StateDirectoryError: It is no link, or the disk does not say.
    """
    with reported("check", path, reads=True) as target, contextlib.suppress(FileNotFoundError):
        try:
            return str(target.readlink())
        except OSError as error:
            if error.errno == errno.EINVAL:
                raise NotOursError(errno.EINVAL, "it is not a symbolic link") from error
            raise
    return None


def names(path: Path) -> list[str]:
    """The names in a folder; none when it is not there.

    Raises:
        StateDirectoryError: It is no folder, or cannot be read.
    """
    with reported("read", path, reads=True) as folder, contextlib.suppress(FileNotFoundError):
        return os.listdir(folder)  # noqa: PTH208 - names are wanted
    return []


def is_folder(path: Path) -> bool:
    """Whether a folder stands there, itself or by a link.

    Raises:
        StateDirectoryError: The disk does not say.
    """
    with reported("check", path, reads=True) as target:
        return target.is_dir()


def is_there(path: Path) -> bool:
    """Whether there is such a file, a regular one.

    Raises:
        StateDirectoryError: The disk does not say.
    """
    with reported("check", path, reads=True) as target:
        return target.is_file()


def read(path: Path, limit: int = 1 << 20) -> bytes | None:
    """The content of a regular file, or None when there is none.

    Raises:
        StateDirectoryError: It cannot be read, is not a regular file, or is larger than ``limit`` bytes.
    """
    with reported("read", path, reads=True) as target:
        if not refuse_irregular(target, may_exist=True):
            return None
        # Not to wait for a writer, should a FIFO have taken its place just now.
        descriptor = os.open(target, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:  # noqa: PTH123 - opened above, without following links
            data = _read_all(file, limit)
        if len(data) > limit:
            raise NotOursError(errno.EFBIG, f"larger than {limit} bytes")
        return data


def read_given(path: Path, limit: int = 1 << 20) -> bytes:
    """The content of a file that the configuration names: links are followed, and what was opened is judged.

    Raises:
        OSError: It cannot be read, is not a regular file, is larger than ``limit`` bytes, or, as root, lies behind a
            link of another user's.
    """
    with open(open_to_read(path), "rb") as file:  # noqa: PTH123 - opened so that a FIFO does not block
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        data = _read_all(file, limit)
    if len(data) > limit:
        raise OSError(errno.EFBIG, f"it is larger than {limit} bytes")
    return data


def _read_all(file: BinaryIO, limit: int) -> bytes:
    """The content, or one byte more than the limit; read in pieces, since read() allocates all that it is allowed."""
    read = bytearray()
    while len(read) <= limit and (piece := file.read(min(_PIECE, limit + 1 - len(read)))):
        read += piece
    return bytes(read)
