"""What a terminal is for: colour, and a line that moves while something is waited for. Nothing of it in a file or pipe.

``NO_COLOR`` (https://no-color.org) takes colour away, ``TERM=dumb`` the moving line, too.
"""

import os
from typing import TextIO

_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33"}


def is_terminal(stream: TextIO) -> bool:
    """Whether somebody watches who can see a line change."""
    return stream.isatty() and os.environ.get("TERM", "") not in ("", "dumb")


class Style:
    """Colours words for one stream, or leaves them as they are."""

    def __init__(self, stream: TextIO) -> None:
        self._is_on = is_terminal(stream) and not os.environ.get("NO_COLOR")

    def __call__(self, words: str, name: str) -> str:
        """The words in a style: ``bold``, ``dim``, ``red``, ``green``, ``yellow``."""
        return f"\x1b[{_CODES[name]}m{words}\x1b[0m" if self._is_on else words
