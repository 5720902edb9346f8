"""Terminal output: colours, and a progress line while something is awaited; neither in a file or pipe.

``NO_COLOR`` (https://no-color.org) takes colour away, ``TERM=dumb`` the moving line, too.
"""

import os
import threading
import time
from types import TracebackType
from typing import NamedTuple, Self, TextIO

from fleet_agent.printable import line as printable
from fleet_agent.process import relay, streams

_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33"}
_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_PLAIN_FRAMES = "|/-\\"
_FRAME = 0.1  # seconds
_CLEAR = "\r\x1b[K"
_WIDTH = 79  # characters: a line that wrapped could not be taken back


def is_terminal(stream: TextIO) -> bool:
    """Whether a person watches, who can see a line change."""
    try:
        is_watched = relay.is_terminal(stream.fileno())
    except (OSError, ValueError):
        return False
    return is_watched and os.environ.get("TERM", "") not in ("", "dumb")


class Styled(NamedTuple):
    """Words in a style: ``bold``, ``dim``, ``red``, ``green``, ``yellow``."""

    words: str
    style: str


# A line for people: words, or parts of it, some in a style.
Line = str | tuple[str | Styled, ...]


class Style:
    """Makes a line what one stream may have: harmless, and coloured where somebody watches."""

    def __init__(self, stream: TextIO) -> None:
        self._is_on = is_terminal(stream) and not os.environ.get("NO_COLOR")

    def __call__(self, line: Line) -> str:
        """Formats the line."""
        parts = (line,) if isinstance(line, str) else line
        return "".join(map(self._part, parts))

    def _part(self, part: str | Styled) -> str:
        if isinstance(part, str):
            return printable(part)
        words = printable(part.words)
        return f"\x1b[{_CODES[part.style]}m{words}\x1b[0m" if self._is_on else words


class Spinner:
    """A progress line on the terminal: what is awaited, and for how long; nothing without a terminal.

    Used as a context; ``show`` begins another wait, ``say`` prints a line above it.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_on = is_terminal(stream)
        self._style = Style(stream)
        encoding = (stream.encoding or "").lower().replace("-", "")
        self._frames = _FRAMES if encoding == "utf8" else _PLAIN_FRAMES
        self._words = ""
        self._since = 0.0
        self._turns = 0
        self._lock = threading.Lock()  # one line at a time
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def show(self, words: str) -> None:
        """Waits for something else, which is seen at once; its time starts again when the words differ."""
        if words != self._words:
            self._words, self._since = words, time.perf_counter()
        if not self._is_on:
            return
        self._draw()
        if self._thread is None:
            self._thread = threading.Thread(target=self._turn, daemon=True)
            self._thread.start()

    def write(self, line: Line) -> None:
        """Prints a line that stays."""
        with self._lock:
            clear = _CLEAR if self._thread else ""
            streams.put(self._stream, f"{clear}{self._style(line).rstrip()}\n")

    def _turn(self) -> None:
        while not self._ended.wait(_FRAME):
            self._turns += 1
            self._draw()
        with self._lock:
            streams.put(self._stream, _CLEAR)

    def _draw(self) -> None:
        frame = self._frames[self._turns % len(self._frames)]
        line = f"{frame} {time.perf_counter() - self._since:5.1f} s  {printable(self._words)}"
        with self._lock:
            # The cursor goes back, so that what another program prints begins at the left.
            streams.put(self._stream, f"{_CLEAR}{line[:_WIDTH]}\r")
