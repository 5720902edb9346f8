"""The program's streams: closed, full, cut off, or in an encoding that lacks a character; none is a traceback."""

import contextlib
import io
import os
import sys
from typing import TextIO


class OutputError(Exception):
    """The answer cannot be written to stdout; says why, and nothing when its reader only has enough."""


def prepare() -> None:
    """Makes writing safe: what the console's encoding lacks is escaped, and no file of ours gets a stream's number."""
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
        # Another process that shares it may have made it non-blocking: Python then reads nothing, and writes a part.
        with contextlib.suppress(OSError):
            os.set_blocking(number, True)
        stream = getattr(sys, name)
        if stream is None:  # which argparse of Debian 12 writes to all the same
            found = open(number, mode, encoding="utf-8", closefd=False)  # noqa: SIM115 - as long as the program
            setattr(sys, name, found)
        elif isinstance(stream, io.TextIOWrapper) and number:
            stream.reconfigure(errors="backslashreplace")


def answer(text: str) -> None:
    """Prints to stdout at once.

    Raises:
        OutputError: It does not take it.
    """
    try:
        _write(sys.stdout, f"{text}\n")
    except BrokenPipeError as error:
        _drop(sys.stdout)
        raise OutputError from error
    except (OSError, ValueError) as error:
        _drop(sys.stdout)
        why = error.strerror if isinstance(error, OSError) else error
        raise OutputError(f"stdout cannot be written: {why}") from error


def say(text: str, end: str = "\n") -> None:
    """Prints to stderr; if that is impossible, the work continues silently."""
    try:
        _write(sys.stderr, f"{text}{end}")
    except (OSError, ValueError):
        _drop(sys.stderr)


def finish() -> bool:
    """Writes what is still buffered, such as argparse's help; returns whether everything was written."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        _drop(sys.stdout)
        return False
    return True


def is_terminal(stream: TextIO) -> bool:
    """Whether a stream is a terminal."""
    try:
        return stream.isatty()
    except ValueError:
        return False


def _write(stream: TextIO, text: str) -> None:
    """Writes all of it: an unbuffered stream (``PYTHONUNBUFFERED``) takes a part, and Python drops the rest."""
    stream.flush()
    left = text.encode(stream.encoding, stream.errors or "strict")
    while left:
        left = left[stream.buffer.write(left) :]
    stream.flush()


def _drop(stream: TextIO) -> None:
    """Discards what a stream still holds: Python would otherwise complain again while it ends."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
