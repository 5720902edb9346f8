"""As process 1 of a container: ends of programs that nobody else waits for.

What a program leaves behind in the background becomes the child of process 1, which is the agent where a container has
no other one. The agent's own programs are waited for by who started them, and are left alone here.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from fleet_agent.clock import Clock
from fleet_agent.programs import launch

EVERY = 5.0  # seconds

_ENDED = os.WEXITED | os.WNOHANG


class Reaper:
    """Looks now and then.

    Args:
        clock: Deadlines are its monotonic seconds.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.due = clock.monotonic() + EVERY

    def act(self) -> None:
        """Wait for those that have ended."""
        self.due = self._clock.monotonic() + EVERY
        reap()


def reap() -> None:
    """Wait for orphans that have ended: on the thread that starts programs, while it waits for none of them."""
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
