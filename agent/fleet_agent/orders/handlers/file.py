"""Writes an order's payload to a file, as a whole: the old content stands until the new one is durable."""

import math
import os
import re
import stat
from pathlib import Path

from fleet_agent import files
from fleet_agent.config.handlers import FileHandler
from fleet_agent.errors import StateDirectoryError
from fleet_agent.files.reserved import OwnFileError, Reserved
from fleet_agent.orders.handlers.work import Done
from fleet_agent.orders.order import Order
from fleet_agent.orders.outcome import REFUSED_NAME, Outcome, failure

_LEVEL_BYTES = 200  # a name has at most 255, and needs room for what the template puts around it

_PLACEHOLDER = re.compile(r"\{([1-8])\}")


class FileWork:
    """Writes files.

    Args:
        handler: Where to and how.
        reserved: Files that no message may write, whatever links lead there.
    """

    is_repeated = True
    is_instant = True
    goes_on = False
    due = math.inf

    def __init__(self, handler: FileHandler, reserved: Reserved) -> None:
        self._reserved = reserved
        self._path = handler.path
        self._mode = int(handler.mode, 8)

    def begin(self, order: Order, done: Done) -> None:
        """Writes it."""
        done(self._write(order))

    def resume(self, _order: Order, _done: Done) -> bool:
        """Does nothing: the file is written again when AWS sends the order again."""
        return False

    def _write(self, order: Order) -> Outcome:
        try:
            path = place(self._path, order.levels)
            _refuse_link(self._path, path)
        except ValueError as error:
            return failure(REFUSED_NAME, str(error))
        try:
            self._reserved.refuse_target(path)
            files.write(path, order.payload, self._mode)
        except StateDirectoryError as error:
            return failure("not-written", error.title)
        except OwnFileError as error:
            return failure("not-written", f"Cannot write {path}: {error.strerror}.")
        return Outcome()

    def act(self) -> None:
        """Does nothing: there are no deadlines."""

    def cancel(self) -> bool:
        """Does nothing: nothing is in progress."""
        return True

    def close(self) -> None:
        """Does nothing: nothing is in progress."""


def place(template: str, levels: tuple[str, ...]) -> Path:
    """The file for a topic whose wildcards stand for ``levels``.

    Raises:
        ValueError: One of them is missing or is not part of a plain name.
    """

    def fill(found: re.Match[str]) -> str:
        number = int(found[1])
        if number > len(levels):
            raise ValueError(f"the topic has no level {{{number}}}")
        level = levels[number - 1]
        is_plain = level.isprintable() and "/" not in level and not level.startswith(".")
        if not level or not is_plain or len(level.encode()) > _LEVEL_BYTES:
            raise ValueError(f"the topic's level {{{number}}} is not a plain file name")
        return level

    return Path(_PLACEHOLDER.sub(fill, template))


def _refuse_link(template: str, path: Path) -> None:
    """Refuses a folder that a topic names and that is a link; the administrator's own links are fine.

    Raises:
        ValueError: It is one.
    """
    fixed = len(Path(template.partition("{")[0] + "x").parts) - 1
    for folder in reversed(path.parents):
        if len(folder.parts) > fixed and _is_link(folder):
            raise ValueError(f"{folder} is a link")


def _is_link(folder: Path) -> bool:
    try:
        return stat.S_ISLNK(os.lstat(folder).st_mode)
    except OSError:  # not there, or not to be seen: writing shows it
        return False
