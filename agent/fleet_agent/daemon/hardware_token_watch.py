"""A hardware token that was unplugged and is back: only a new image of the process can use it."""

import logging
import math
from collections.abc import Callable

from fleet_agent.clock import Clock
from fleet_agent.credentials.model import HardwareKey, PrivateKey
from fleet_agent.daemon.endings import Ending
from fleet_agent.errors import AgentError
from fleet_agent.process import log
from fleet_agent.process.log import Moment
from fleet_agent.programs.worker import Worker

_log = logging.getLogger(__name__)

_INTERVAL = 20.0  # seconds between looks, while there is no connection
_LONG = 3600.0  # seconds offline after which it may have been unplugged and back unseen


class HardwareTokenWatch:
    """Checks the hardware token of the device's key while there is no connection; does nothing for a key in a file.

    Args:
        key: The device's key.
        is_offline: Whether connections fail.
        clock: Deadlines are its monotonic seconds.
    """

    def __init__(self, key: PrivateKey, is_offline: Callable[[], bool], clock: Clock) -> None:
        self._key = key
        self._is_offline = is_offline
        self._since: float | None = None  # monotonic seconds
        self._was_away = False
        self._clock = clock
        self.due = math.inf if not isinstance(key, HardwareKey) else clock.monotonic() + _INTERVAL

    def act(self) -> Ending | None:
        """Looks at it; when it is back, asks for a new image of the process."""
        now = self._clock.monotonic()
        self.due = now + _INTERVAL
        if not isinstance(self._key, HardwareKey) or not self._is_offline():
            self._since, self._was_away = None, False
            return None
        self._since = self._since or now
        self._was_away = self._was_away or not _answers(self._key)
        is_long = now - self._since >= _LONG
        if not (self._was_away or is_long) or not _is_there(self._key):
            return None
        words = "is back" if self._was_away else "answers, but may have been unplugged meanwhile"
        _log.info("the hardware token %s", words, extra=log.fields(Moment.HARDWARE_TOKEN_BACK))
        return Ending.RESTART


def _answers(key: HardwareKey) -> bool:
    """Asks in this process, whose module and SDK still have their old sessions with it."""
    from fleet_agent.credentials.hardware_token import keys as hardware_keys

    try:
        hardware_keys.check(key)
    except AgentError:
        return False
    return True


def _is_there(key: HardwareKey) -> bool:
    """Asks in a worker, which initialises the module again."""
    from fleet_agent.credentials.hardware_token import keys as hardware_keys

    worker = Worker()
    try:
        worker.call(hardware_keys.check, key)
    except AgentError:
        return False
    finally:
        worker.close()
    return True
