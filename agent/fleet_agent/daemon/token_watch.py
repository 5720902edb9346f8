"""A token that was pulled out of a running agent, and is back: only a process started afresh sees it again."""

import dataclasses
import json
import math
import os
import sys
from collections.abc import Callable

from fleet_agent.clock import Clock
from fleet_agent.credentials.model import PrivateKey, TokenKey
from fleet_agent.errors import AgentError

_INTERVAL = 20.0  # seconds between looks, while there is no connection
_LIMIT = 20.0  # seconds for a look
_LONG = 3600.0  # seconds without a connection, after which it may have been away and back unseen
# Modules keep what they saw when they were initialised, and the SDK a session with the token.
_LOOK = (
    "import json, sys; from fleet_agent.credentials import model, token; "
    "key = json.loads(sys.argv[1]); place = model.Place(**key.pop('place')); "
    "token.check(model.TokenKey(place=place, **key))"
)


class StartAfresh(Exception):  # noqa: N818 - nothing failed
    """The process is to be replaced by a new one."""


class Comeback:
    """Looks after the token of the device's key while there is no connection; after a key in a file never.

    Args:
        key: The device's.
        is_offline: Whether connections fail.
        clock: Deadlines are its monotonic seconds.
    """

    def __init__(self, key: PrivateKey, is_offline: Callable[[], bool], clock: Clock) -> None:
        self._key = key
        self._is_offline = is_offline
        self._since: float | None = None  # monotonic seconds
        self._was_away = False
        self._clock = clock
        self.due = math.inf if not isinstance(key, TokenKey) else clock.monotonic() + _INTERVAL

    def act(self) -> None:
        """Look.

        Raises:
            StartAfresh: The token is back.
        """
        now = self._clock.monotonic()
        self.due = now + _INTERVAL
        if not isinstance(self._key, TokenKey) or not self._is_offline():
            self._since, self._was_away = None, False
            return
        self._since = self._since or now
        self._was_away = self._was_away or not _answers(self._key)
        if (self._was_away or now - self._since >= _LONG) and _is_there(self._key):
            raise StartAfresh


def _answers(key: TokenKey) -> bool:
    """Ask in this process."""
    from fleet_agent.credentials import token

    try:
        token.check(key)
    except AgentError:
        return False
    return True


def _is_there(key: TokenKey) -> bool:
    """Ask in a process of its own."""
    import subprocess

    try:
        done = subprocess.run(
            [sys.executable, "-c", _LOOK, json.dumps(dataclasses.asdict(key))],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=_LIMIT,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0
