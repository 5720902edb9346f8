"""Takes the state directory for one process, before its first write and before any key."""

import contextlib
import logging
from pathlib import Path

from fleet_agent.config.settings import Settings
from fleet_agent.statedir import filesystem
from fleet_agent.statedir.lock import Lock, take_lock

_log = logging.getLogger(__name__)


def take(settings: Settings, *, allow_volatile: bool) -> Lock:
    """Turns core dumps off, refuses a volatile place, and takes the lock.

    Raises:
        StateDirectoryError: The place is volatile, or cannot be written.
        TemporaryError: Another agent uses it.
    """
    _keep_out_of_core_dumps()
    state_dir = Path(settings.state_dir)
    if not allow_volatile and (warning := filesystem.refuse_volatile(state_dir)):
        filesystem.refuse_doubtful(state_dir, warning)
        _log.warning("%s", warning)
    return take_lock(state_dir)


def _keep_out_of_core_dumps() -> None:
    """A process that holds private keys leaves no image of its memory behind, however it is started."""
    import resource

    with contextlib.suppress(OSError, ValueError):  # a sandbox that forbids it has its own limit
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
