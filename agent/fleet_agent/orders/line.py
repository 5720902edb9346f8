"""Commands that wait for their turn, in a folder: a file each, so that they outlive the agent and a power cut."""

import collections
import contextlib
import dataclasses
import logging
from pathlib import Path

from fleet_agent import files
from fleet_agent.errors import StateDirectoryError
from fleet_agent.orders import command as form
from fleet_agent.orders.command import Command

_log = logging.getLogger(__name__)

_DIGITS = 12  # of a file's name


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Waiting:
    """A command in the line: in its file, or in memory where it has none."""

    identity: str | None
    path: Path | None
    command: Command | None


class Line:
    """The line before one handler.

    Args:
        folder: Holds the files; what waits there from before comes first. Made when there is something to hold.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._waiting: collections.deque[Waiting] = collections.deque()
        self._number = 0
        for path in sorted(folder.glob(f"{'[0-9]' * _DIGITS}.json")):
            self._number = int(path.stem)
            found = self._read(path)
            if found is not None:
                self._waiting.append(Waiting(identity=found.identity, path=path, command=None))

    def __len__(self) -> int:
        return len(self._waiting)

    def has(self, identity: str) -> bool:
        """Whether a command of that identity waits."""
        return any(item.identity == identity for item in self._waiting)

    def add(self, command: Command, *, is_stored: bool) -> None:
        """Put one at the end.

        Raises:
            StateDirectoryError: It cannot be stored, and waits in memory.
        """
        path = None
        try:
            if is_stored:
                path = self._store(command)
        finally:
            self._waiting.append(
                Waiting(identity=command.identity, path=path, command=None if path else command)
            )

    def _store(self, command: Command) -> Path:
        self._number += 1
        path = self._folder / f"{self._number:0{_DIGITS}}.json"
        files.make_folder(self._folder)
        files.write(path, form.to_bytes(command), 0o600)
        return path

    def next(self) -> tuple[Waiting, Command] | None:
        """Take the first out of the line; its file stays until ``remove``. None when none waits."""
        while self._waiting:
            item = self._waiting.popleft()
            command = item.command or (self._read(item.path) if item.path else None)
            if command is not None:
                return item, command
        return None

    def remove(self, item: Waiting) -> None:
        """Remove its file: it will not be handled again.

        Raises:
            StateDirectoryError: It cannot be removed.
        """
        if item.path is not None:
            files.remove(item.path)

    def _read(self, path: Path) -> Command | None:
        """Read a file of the line; one that is damaged is named in the log and removed."""
        try:
            data = files.read(path)
            return None if data is None else form.from_bytes(data)
        except StateDirectoryError as error:
            _log.warning("a waiting command was left for the next start: %s", error.title)
        except ValueError as error:
            _log.warning("a waiting command was lost: %s is damaged: %s", path, error)
            with contextlib.suppress(StateDirectoryError):
                files.remove(path)
        return None
