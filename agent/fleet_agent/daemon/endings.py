"""Endings: why the loop returned, and what follows: the end of the process, or a new image of it by exec."""

import contextlib
import enum
import fcntl
import logging
import os
import pickle
import sys
from pathlib import Path

from fleet_agent.daemon.start_options import StartOptions
from fleet_agent.process import log
from fleet_agent.process.listeners import Listeners
from fleet_agent.process.log import Moment
from fleet_agent.process.mailbox import Mailbox, hold_requests, hold_stops
from fleet_agent.programs.worker import CODE
from fleet_agent.statedir.lock import Lock

_log = logging.getLogger(__name__)

# Passed to the new image: its options, why the old one ended, and when the new one may connect (monotonic seconds).
OPTIONS = "FLEET_AGENT_OPTIONS"
_AFTER = "FLEET_AGENT_AFTER"
_NOT_BEFORE = "FLEET_AGENT_NOT_BEFORE"


class Ending(enum.Enum):
    """Why the loop returned."""

    STOP = "stop"
    RELOAD = "reload"
    RESTART = "restart"


_MILESTONES = {
    Ending.RELOAD: ("reloaded: configuration and credential read again", Moment.RELOADED),
    # The reason was logged where it was decided.
    Ending.RESTART: ("restarted in place", Moment.RESTARTED),
}


def follow_up() -> tuple[Ending | None, float]:
    """Returns how the previous image ended, and when this one may connect (monotonic seconds); None and 0: the first.

    Logs it, and takes it out of the environment, which programs that the agent starts would inherit.
    """
    after, not_before = os.environ.pop(_AFTER, ""), os.environ.pop(_NOT_BEFORE, "0")
    try:
        ending, moment = Ending(after), float(not_before)
    except ValueError:
        return None, 0.0
    words, milestone = _MILESTONES.get(ending, (ending.value, None))
    _log.info("%s", words, extra=log.fields(milestone))
    return ending, moment


def handed_over() -> StartOptions | None:
    """Returns the options that the previous image checked, or ran with; None if its code was another.

    The file may have been changed since, and what was not checked must not end a daemon that runs.
    """
    try:
        with open(int(os.environ.pop(OPTIONS)), "rb") as file:  # noqa: PTH123 - a descriptor
            code, options = pickle.load(file)  # noqa: S301 - the image before this one wrote it
    except Exception:  # noqa: BLE001 - of another version's, or no descriptor
        return None
    return options if code == CODE else None


def reexecute(
    ending: Ending,
    options: StartOptions,
    lock: Lock,
    listeners: Listeners,
    mailbox: Mailbox,
    not_before: float,
) -> None:
    """Replaces this image of the process by a new one, which keeps the lock and the listening sockets, nothing else.

    Returns only if the process was asked to stop meanwhile.
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
    with contextlib.suppress(OSError):  # without them it reads the file
        descriptor = os.memfd_create("options", 0)
        os.write(descriptor, pickle.dumps((CODE, options)))
        os.lseek(descriptor, 0, os.SEEK_SET)
        environment[OPTIONS] = str(descriptor)
    lock.hand_over(environment)
    listeners.hand_over(environment)
    logging.shutdown()
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)


def _close_at_exec() -> None:
    """Marks all descriptors but the standard three: the new image inherits only what is handed over next."""
    for path in list(Path("/proc/self/fd").iterdir()):
        descriptor = int(path.name)
        if descriptor > 2:  # noqa: PLR2004 - keep the standard three
            try:
                fcntl.fcntl(descriptor, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
            except OSError:
                # The descriptor of the listing itself, closed by now.
                continue
