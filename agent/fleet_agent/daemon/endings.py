"""Why the loop returned, and what comes after: the end of the process, or another image of it in its place."""

import enum
import fcntl
import logging
import os
import sys
from pathlib import Path

from fleet_agent import log, statedir, streams
from fleet_agent.listeners import Listeners
from fleet_agent.log import Moment
from fleet_agent.mailbox import Mailbox, hold_requests, hold_stops

_log = logging.getLogger(__name__)

# What the image that takes over learns of the one before: why it ended, and when it may connect (monotonic seconds).
_AFTER = "FLEET_AGENT_AFTER"
_NOT_BEFORE = "FLEET_AGENT_NOT_BEFORE"


class Ending(enum.Enum):
    """Why the loop returned."""

    STOP = "stop"
    RELOAD = "reload"
    RESTART = "restart"


_MILESTONES = {
    Ending.RELOAD: ("reloaded: configuration and credential read again", Moment.RELOADED),
    # Why was logged where it was decided, as a milestone of its own.
    Ending.RESTART: ("restarted in place", Moment.RESTARTED),
}


def follow_up() -> tuple[Ending | None, float]:
    """What this image follows, and when it may connect (monotonic seconds); None and 0 for a first one.

    Logged, and taken out of the environment, which the programs that the agent starts could see.
    """
    after, not_before = os.environ.pop(_AFTER, ""), os.environ.pop(_NOT_BEFORE, "0")
    try:
        ending, moment = Ending(after), float(not_before)
    except ValueError:
        return None, 0.0
    words, milestone = _MILESTONES.get(ending, (ending.value, None))
    _log.info("%s", words, extra=log.fields(milestone))
    return ending, moment


def reexecute(
    ending: Ending,
    lock: statedir.Lock,
    listeners: Listeners,
    mailbox: Mailbox,
    not_before: float,
) -> None:
    """Becomes a new image of the same process: same lock, same listening sockets, nothing else of this one.

    Returns where the process was asked to stop meanwhile.
    """
    environment = {
        **os.environ,
        _AFTER: ending.value,
        _NOT_BEFORE: repr(not_before),
    }
    hold_requests()
    hold_stops()
    if mailbox.is_stopping:
        return
    _close_at_exec()
    lock.hand_over(environment)
    listeners.hand_over(environment)
    logging.shutdown()
    streams.finish()
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)


def _close_at_exec() -> None:
    """Whatever the libraries opened: the new image inherits what is handed over, and the standard three."""
    for path in list(Path("/proc/self/fd").iterdir()):
        descriptor = int(path.name)
        if descriptor > 2:  # noqa: PLR2004 - keep the standard three
            try:
                fcntl.fcntl(descriptor, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
            except OSError:
                # The descriptor of the listing itself, closed by now.
                continue
