"""As process 1 of a container: collects programs that are not waited for elsewhere.

What a program leaves behind in the background becomes the child of process 1, which is the agent where a container has
no other one. The agent's own programs are waited for by who started them, and are left alone here.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from fleet_agent.programs import launch

_ENDED = os.WEXITED | os.WNOHANG


def reap() -> None:
    """Waits for orphans that have ended: on the thread that starts programs, while it waits for none of them."""
    with contextlib.suppress(ChildProcessError):  # there are no children at all
        own = launch.running()
        while (found := os.waitid(os.P_ALL, 0, _ENDED | os.WNOWAIT)) is not None:
            if found.si_pid in own:
                # It hides those behind it for as long as its starter does not come for it.
                for process in _ended_children():
                    if process not in own:
                        os.waitid(os.P_PID, process, _ENDED)
                return
            os.waitid(os.P_PID, found.si_pid, _ENDED)


def _ended_children() -> Iterator[int]:
    # By the numbers of who mounted /proc, which need not be ours.
    us = str(Path("/proc/self").readlink())
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError):  # gone by now
            # The name, in parentheses, may hold anything.
            state, parent, *_ = (folder / "stat").read_text().rpartition(")")[2].split()
            if state == "Z" and parent == us:
                numbers = (
                    (folder / "status").read_text().rpartition("NSpid:")[2].partition("\n")[0]
                )
                yield int(numbers.split()[-1])
