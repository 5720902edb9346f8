"""Reading small text files that others wrote: bounded, never blocking, failures in plain words."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

from fleet_agent.files.reserved import OwnFileError


class UnreadableError(Exception):
    """A file cannot be read as text; ``str()`` is the reason, to be read after its name: "does not exist"."""

    def __init__(self, words: str, *, line: int | None = None, column: int | None = None) -> None:
        super().__init__(words)
        self.line = line
        self.column = column


class MissingError(UnreadableError):
    """The file does not exist."""


DENIED = "cannot be read by this user"


class DeniedError(UnreadableError):
    """This user may not read the file."""


def read_bytes(path: Path, limit: int, judge: Callable[[int], None] = lambda _: None) -> bytes:
    """Returns what is in a regular file.

    Args:
        path: The file; links are followed.
        limit: The most bytes it may have.
        judge: Given the opened descriptor; raises OSError for a file that is not to be read.

    Raises:
        MissingError: There is none.
        DeniedError: It is not readable for this user.
        UnreadableError: It is not a regular file, or too big.
    """
    try:
        # Without O_NONBLOCK the open of a FIFO would wait for a writer for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        try:
            judge(descriptor)
            content = _content(descriptor, limit)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        raise MissingError("does not exist") from None
    except OwnFileError as error:
        raise UnreadableError(f"cannot be read: {error.strerror}") from None
    except PermissionError:
        raise DeniedError(DENIED) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the path
        why = getattr(error, "strerror", 0) or error
        raise UnreadableError(f"cannot be read: {why}") from error
    if len(content) > limit:
        raise UnreadableError(f"is larger than {limit} bytes")
    return content


def _content(descriptor: int, limit: int) -> bytes:
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        raise UnreadableError("is a folder" if stat.S_ISDIR(mode) else "is not a regular file")
    with open(descriptor, "rb", closefd=False) as file:
        return file.read(limit + 1)


def decode_utf8(content: bytes) -> str:
    """Returns UTF-8 text, without a byte-order mark.

    Raises:
        UnreadableError: It is not UTF-8; ``line`` and ``column`` (in bytes) say where.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        raise UnreadableError(
            f"is not UTF-8: byte 0x{content[error.start]:02X}",
            line=before.count(b"\n") + 1,
            column=error.start - (before.rfind(b"\n") + 1) + 1,
        ) from None
