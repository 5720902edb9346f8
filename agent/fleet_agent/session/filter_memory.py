"""Remembers on disk which topic filters the session at AWS IoT has: it outlives this process by an hour or more.

What an older configuration subscribed to would bring a message once more, beside the filter that wants it now.
"""

import json
import logging
from collections.abc import Collection
from pathlib import Path

from fleet_agent import files
from fleet_agent.errors import StateDirectoryError
from fleet_agent.topics import limits

_log = logging.getLogger(__name__)

FILE = "subscribed.json"
_MODE = 0o600


class FilterMemory:
    """The filters of the last time, and of this one.

    Args:
        state_dir: Where they are kept.
    """

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / FILE
        self._names = self._read()

    def replace(self, wanted: Collection[str]) -> list[str]:
        """Remembers what is subscribed to from now on; returns what was before and is not wanted any more."""
        before, self._names = self._names, list(wanted)
        if before != self._names:
            try:
                files.write(self._path, json.dumps(self._names).encode(), _MODE)
            except StateDirectoryError as error:
                _log.warning("%s %s", error.title, error.remedy)
        return [name for name in before if name not in wanted]

    def _read(self) -> list[str]:
        """What the file holds; one that makes no sense counts as missing.

        Filters that cannot be are left out: giving them up may end each connection.
        """
        try:
            found = json.loads(files.read(self._path) or b"[]")
        except (StateDirectoryError, ValueError, RecursionError) as error:
            _log.warning("%s is ignored: %s", FILE, error)
            return []
        if not isinstance(found, list):
            return []
        return [
            name for name in found if isinstance(name, str) and limits.filter_fault(name) is None
        ]
