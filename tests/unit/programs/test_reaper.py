"""The ends of programs that nobody waits for, in a process that orphans come to."""

import os
import shutil
import subprocess
import sys

import pytest

# A process becomes one by PR_SET_CHILD_SUBREAPER, too, which needs no root.
PROGRAM = """
import ctypes, math, os, sys
ctypes.CDLL(None).prctl(36, 1)
from fleet_agent.clock import SystemClock
from fleet_agent.process.mailbox import Mailbox, Ready
from fleet_agent.programs import reaper
from fleet_agent.programs.worker import Worker
from fleet_agent.programs.child import Child

clock, ends = SystemClock(), []
mailbox = Mailbox(clock)
until = clock.monotonic() + 60

def start(script):
    return Child(["/bin/sh", "-c", script], mailbox=mailbox, clock=clock, stdin=b"", limit=100, timeout=60,
                 environment={}, on_end=ends.append)

def turn():
    assert clock.monotonic() < until
    if isinstance(event := mailbox.wait(clock.monotonic() + 0.05), Ready):
        event.act()

def orphans():
    return {pid for pid in map(int, filter(str.isdecimal, os.listdir("/proc"))) if parent(pid) == os.getpid()}

def parent(pid):
    try:
        return int(open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[1])
    except OSError:
        return 0

# Three that are left behind, and one that is not: it goes on.
start("for n in 1 2 3; do (exit $n) & done; sleep 60 >/dev/null 2>&1 & echo $!; exit 7")
while not ends:
    turn()
assert ends[0].status == 7, ends
alive = int(ends[0].output)
while orphans() != {alive}:
    reaper.reap()
    turn()

# Own ones keep their exit status, ended and not yet heard of.
worker = Worker()
assert worker.call(os.getpgid, 0) > 0
worker._process.stdin.close()
child = start("exit 9")
while os.waitid(os.P_PIDFD, child._end, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
    pass
reaper.reap()
while len(ends) < 2:
    turn()
assert ends[1].status == 9, ends
while os.waitid(os.P_PID, worker._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
    pass
reaper.reap()
assert worker._process.wait() == 0
os.kill(alive, 9)
while orphans():
    reaper.reap()
    turn()
reaper.reap()
print("done")
"""


def test_orphans_are_reaped_and_own_programs_are_left_to_who_waits_for_them() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.stdout == "done\n", done.stderr


# What `unshare -pf` and some containers run: process 1, and a /proc where it has another number.
ELSEWHERE = """
import os, signal
from fleet_agent.clock import SystemClock
from fleet_agent.process.mailbox import Mailbox
from fleet_agent.programs import launch
from fleet_agent.programs.reaper import reap

assert os.getpid() == 1 != int(os.readlink("/proc/self"))
clock = SystemClock()
mailbox = Mailbox(clock)
hiding = launch.start(["true"])
os.waitid(os.P_PID, hiding.pid, os.WEXITED | os.WNOWAIT)
# Whoever waits for something else, such as a walk.
mailbox.act_on(signal.SIGCHLD, reap)
orphan = launch.start(["sh", "-c", "sleep 0.3 >/dev/null 2>&1 & echo $!"])
number = int(orphan.stdout.readline())
orphan.wait()
until = clock.monotonic() + 30
while clock.monotonic() < until:
    mailbox.wait(clock.monotonic() + 0.05)
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        break
else:
    raise AssertionError("the orphan is still there")
assert hiding.wait() == 0
print("done")
"""


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None, reason="takes root and unshare"
)
def test_orphans_are_reaped_by_whoever_waits_also_under_another_proc() -> None:
    done = subprocess.run(
        ["unshare", "--pid", "--fork", "--kill-child", sys.executable, "-c", ELSEWHERE],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.stdout == "done\n", done.stderr
