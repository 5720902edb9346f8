"""Recognises a message that was handled before, by an id that its sender gave it.

The last ``REMEMBERED`` ids of a handler are kept in a file, one a line. They are durable before a program starts, and
after a file is written or a socket has answered. A message without an id is handled each time.
"""

import collections
import json
import logging
from pathlib import Path

from fleet_agent import files, foreign
from fleet_agent.errors import StateDirectoryError

_log = logging.getLogger(__name__)

REMEMBERED = 1000
MAX_BYTES = 256  # of an id

# Lines to read, and more than compaction lets a file have.
_LIMIT = 4 * REMEMBERED * (MAX_BYTES * 6 + 4)


def identity(
    rule: str, payload: bytes, user_properties: tuple[tuple[str, str], ...]
) -> str | None:
    """The id that a message has by ``property:NAME`` or ``payload:NAME``; None when it has none.

    A payload's member counts when it is a string or a whole number.

    Raises:
        ValueError: It is longer than ``MAX_BYTES``.
    """
    kind, _, name = rule.partition(":")
    if kind == "property":
        found = next((value for key, value in user_properties if key == name), None)
    else:
        found = _member(payload, name)
    if found is not None and len(found.encode(errors="replace")) > MAX_BYTES:
        raise ValueError(f"its id has more than {MAX_BYTES} bytes")
    return found


def _member(payload: bytes, name: str) -> str | None:
    value = (foreign.read_object(payload) or {}).get(name)
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    try:
        return str(value)
    except ValueError:  # thousands of digits
        return None


class Remembered:
    """The last ids that a handler has seen.

    Args:
        path: Where they are kept; its folder is made when there are any.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ids: collections.OrderedDict[str, None] = collections.OrderedDict()
        self._lines = 0
        try:
            lines = (files.read(path, _LIMIT) or b"").splitlines()
        except StateDirectoryError as error:
            _log.warning("message ids were lost: %s", error.title)
            return
        for line in lines:
            self._lines += 1
            self._apply(line)

    def __contains__(self, found: str) -> bool:
        return found in self._ids

    def add(self, found: str) -> None:
        """Remembers an id, durably.

        Raises:
            StateDirectoryError: It is remembered for as long as the agent runs.
        """
        self._keep("+", found)

    def forget(self, found: str) -> None:
        """Forgets an id: its order was not handled after all.

        Raises:
            StateDirectoryError: It is forgotten for as long as the agent runs.
        """
        self._keep("-", found)

    def _keep(self, sign: str, found: str) -> None:
        line = sign + json.dumps(found)
        self._apply(line.encode())
        files.make_folder(self._path.parent)
        if self._lines < 2 * REMEMBERED:
            files.append_line(self._path, line)
            self._lines += 1
            return
        kept = "".join(f"+{json.dumps(item)}\n" for item in self._ids)
        files.write(self._path, kept.encode(), 0o600)
        self._lines = len(self._ids)

    def _apply(self, line: bytes) -> None:
        try:
            found = foreign.read(line[1:])
        except ValueError:  # torn by a power cut
            return
        if not isinstance(found, str):
            return
        self._ids.pop(found, None)
        if line[:1] == b"+":
            self._ids[found] = None
            if len(self._ids) > REMEMBERED:
                self._ids.popitem(last=False)
