"""The changes that a piece of our code makes below a folder: one of them can be its last, or fail.

with Changes(folder).stopping_at(3, KilledError): ...

The interpreter itself says what is about to be changed (its audit events), so that the code under test is what runs.
Once stopped, nothing is changed any more: handlers that tidy up do not run in a process that was killed.
"""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_CHANGES = frozenset({"os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.symlink", "os.link"})
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class KilledError(BaseException):
    """The power went."""


class Changes:
    """What happens to a folder's changes while ``stopping_at`` is on."""

    _watched: "Changes | None" = None  # one at a time; a hook cannot be taken out again
    _is_hooked = False

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)
        self._left: int | None = None
        self._error: BaseException = KilledError()
        self.has_stopped = False  # the last time
        if not Changes._is_hooked:
            Changes._is_hooked = True
            sys.addaudithook(_hook)

    @contextlib.contextmanager
    def stopping_at(self, change: int | None, error: BaseException) -> Iterator[None]:
        """Raises ``error`` in place of the change of this number (from 0); a kill at all that follow, too."""
        self._left, self._error, self.has_stopped = change, error, False
        Changes._watched = self
        try:
            yield
        finally:
            Changes._watched = None

    def about_to_change(self, path: str) -> None:
        """One more change; below this folder, or not."""
        if self._left is None or not path.startswith(self._folder):
            return
        self._left -= 1
        self.has_stopped = self.has_stopped or self._left < 0
        if self._left == -1 or (self._left < 0 and isinstance(self._error, KilledError)):
            raise self._error


def _hook(event: str, args: tuple[Any, ...]) -> None:
    watched = Changes._watched
    if watched is None:
        return
    if event in _CHANGES:
        # A link's second argument is where it is made.
        watched.about_to_change(str(args[1] if event == "os.symlink" else args[0]))
    elif event == "open" and isinstance(args[2], int) and args[2] & _WRITES:
        watched.about_to_change(str(args[0]))
