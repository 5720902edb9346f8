"""The program's streams: closed, full, cut off, not blocking, or lacking a character; none is a traceback."""

import codecs
import contextlib
import io
import os
import sys
from typing import TextIO

# The option (-X) that says the encoding of a console that is not UTF-8, as the locale had it.
CONSOLE = "console"
_ERRORS = "fleet_agent.plain"
# What a console of few characters is shown instead of what we ourselves write.
_PLAIN = str.maketrans({"●": "*", "→": "->", "…": "...", "✓": "ok"})


class OutputError(Exception):
    """The answer cannot be written to stdout; its text is the reason, empty when the reader only has enough."""


def prepare() -> None:
    """Makes writing safe: what the console's encoding lacks is spelled, and no file of ours gets a stream's number."""
    codecs.register_error(_ERRORS, _spelled)
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        try:
            # Whoever has it too may have made it not block; Python reads nothing then, and writes a part.
            os.set_blocking(number, True)
        except OSError:  # closed
            os.open(os.devnull, os.O_RDWR)
        stream = getattr(sys, name)
        if stream is None:
            found = open(number, mode, encoding="utf-8", closefd=False)  # noqa: SIM115 - as long as the program
            setattr(sys, name, found)
        elif isinstance(stream, io.TextIOWrapper) and number:
            stream.reconfigure(encoding=sys._xoptions.get(CONSOLE), errors=_ERRORS)  # noqa: SLF001


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


def print_error(text: str, end: str = "\n") -> None:
    """Prints to stderr; where that fails, the work goes on in silence."""
    put(sys.stderr, f"{text}{end}")


def put(stream: TextIO, text: str) -> None:
    """Writes to a stream that need not have a reader; what does not go out is dropped."""
    try:
        _write(stream, text)
    except (OSError, ValueError):
        _drop(stream)


def read_line() -> str:
    """Reads what somebody types; nothing when it cannot be read."""
    try:
        return sys.stdin.readline().strip()
    except (OSError, ValueError):
        return ""


def can_show(text: str) -> bool:
    """Whether stdout's encoding has every character of a text."""
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _write(stream: TextIO, text: str) -> None:
    """Writes all of it: an unbuffered stream (``PYTHONUNBUFFERED``) takes a part, and Python drops the rest."""
    stream.flush()
    left = text.encode(stream.encoding, stream.errors or "strict")
    while left:
        left = left[stream.buffer.write(left) :]
    stream.flush()


def _spelled(error: UnicodeError) -> tuple[str, int]:
    """Returns the escapes of characters that an encoding lacks."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    plain = error.object[error.start : error.end].translate(_PLAIN)
    return plain.encode("ascii", "backslashreplace").decode(), error.end


def _drop(stream: TextIO) -> None:
    """Lets what a stream still holds go nowhere: Python would complain once more while it ends."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
