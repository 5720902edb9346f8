"""As process 1 of a container: collects programs that are not waited for elsewhere.

What a program leaves behind in the background becomes the child of process 1, which is the agent where a container has
no other one. The agent's own programs are waited for by who started them, and are left alone here.
"""

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

from fleet_agent.clock import Clock
from fleet_agent.process.mailbox import Mailbox, Ready
from fleet_agent.programs import launch

EVERY = 5.0  # seconds

_ENDED = os.WEXITED | os.WNOHANG


class Reaper:
    """Waits for them as soon as they end; on the main thread.

    Args:
        mailbox: Where the kernel's signal becomes an event.
        clock: Deadlines are its monotonic seconds.
    """

    def __init__(self, mailbox: Mailbox, clock: Clock) -> None:
        self._clock = clock
        self.due = clock.monotonic()
        signal.signal(signal.SIGCHLD, lambda _number, _frame: mailbox.put(Ready(reap)))

    def act(self) -> None:
        """Waits for those whose event somebody took who was waiting for something else."""
        self.due = self._clock.monotonic() + EVERY
        reap()


def reap() -> None:
    """Waits for orphans that have ended: on the thread that starts programs, while it waits for none of them."""
    with contextlib.suppress(ChildProcessError):  # there are no children at all
        if os.waitid(os.P_ALL, 0, _ENDED | os.WNOWAIT) is None:
            return
        own = launch.running()
        for process in _ended_children():
            if process not in own:
                os.waitid(os.P_PID, process, _ENDED)


def _ended_children() -> Iterator[int]:
    us = str(os.getpid())
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError):  # gone by now
            # The name, in parentheses, may hold anything.
            state, parent, *_ = (folder / "stat").read_text().rpartition(")")[2].split()
            if state == "Z" and parent == us:
                yield int(folder.name)
