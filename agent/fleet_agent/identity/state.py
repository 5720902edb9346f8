"""The state directory, taken by one process before its first write and before any key."""

import contextlib
import logging
from pathlib import Path

from fleet_agent import filesystem, statedir
from fleet_agent.config.settings import Settings

_log = logging.getLogger(__name__)


def take(settings: Settings, *, allow_volatile: bool) -> statedir.Lock:
    """No core dumps, a persistent place, and ours alone; else a ``StateDirectoryError`` or ``TemporaryError``."""
    _keep_out_of_core_dumps()
    state_dir = Path(settings.state_dir)
    if not allow_volatile and (warning := filesystem.refuse_volatile(state_dir)):
        filesystem.refuse_doubtful(state_dir, warning)
        _log.warning("%s", warning)
    return statedir.take_lock(state_dir)


def _keep_out_of_core_dumps() -> None:
    """A process that holds private keys leaves no image of its memory behind, however it is started."""
    import resource

    with contextlib.suppress(OSError, ValueError):  # a sandbox that forbids it has its own limit
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
