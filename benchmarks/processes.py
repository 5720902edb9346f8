"""Programs that are measured: started, waited for as long as it may take, and stopped."""

import os
import shlex
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

LIMIT = 30.0  # seconds that a step may take on a whole core
LINES = 20  # of what a program printed that are shown when it is given up

_UNIT = Path(__file__).resolve().parent.parent / "systemd/fleet-agent.service"


@dataclass(frozen=True)
class Boot:
    """Seconds from exec; CPU seconds and most memory, in MB, of the process from start to stop."""

    connected: float
    acknowledged: float
    cpu: float
    memory: float


def environment() -> dict[str, str]:
    """This process's, with what the unit adds to the agent's."""
    lines = _UNIT.read_text().splitlines()
    added = [line.partition("=")[2] for line in lines if line.startswith("Environment=")]
    return os.environ | dict(pair.split("=", 1) for words in added for pair in words.split())


Marks = tuple[Callable[[], bool], Callable[[], bool]]


def until(
    reached: Callable[[], bool],
    what: str,
    process: "subprocess.Popen[bytes]",
    output: Path,
    *,
    limit: float = LIMIT,
    every: float = 0.05,
) -> None:
    """Wait for something that a program does.

    Args:
        reached: Whether it has done it.
        what: That, in a word or two.
        process: The program.
        output: Where what it prints goes.
        limit: Seconds that it may take.
        every: Seconds between two looks.

    Raises:
        SystemExit: It ended before, or takes too long: it is killed, and its last lines are shown.
    """
    over = time.monotonic() + limit
    while not reached():
        # It is not reaped by that: what it used is requested later.
        ended = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if ended is not None and not reached():
            how = "ended with" if ended.si_code == os.CLD_EXITED else "was ended by signal"
            why = f"it {how} {ended.si_status}"
        elif time.monotonic() > over:
            why = f"not within {limit:g} s"
        else:
            time.sleep(every)
            continue
        process.kill()
        process.wait()
        last = "\n".join(output.read_text(errors="replace").splitlines()[-LINES:])
        words = shlex.join(map(str, process.args))  # type: ignore[arg-type]
        raise SystemExit(f"{words}\nwaited for: {what}; {why}. Its last lines:\n{last}")


def is_said(output: Path, words: bytes) -> Callable[[], bool]:
    """Whether a program has printed that."""
    return lambda: words in output.read_bytes()


def boot(
    command: list[str],
    output: Path,
    marks: Marks,
    meanwhile: Callable[[], None] | None = None,
    limit: float = LIMIT,
) -> Boot:
    """Start a command, note when it is connected and has something acknowledged, stop it.

    Args:
        command: The command.
        output: Where what it prints goes.
        marks: Whether it is connected; whether something is acknowledged.
        meanwhile: Done after that.
        limit: Seconds for each mark.
    """
    with output.open("wb") as file:
        began = time.perf_counter()
        child = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
    moments = []
    for what, reached in zip(("connected", "acknowledged"), marks, strict=True):
        until(reached, what, child, output, limit=limit, every=0.001)
        moments.append(time.perf_counter() - began)
    try:
        if meanwhile is not None:
            meanwhile()
    finally:
        child.send_signal(signal.SIGTERM)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    return Boot(moments[0], moments[1], usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)
