"""Runs a program as a transient unit of systemd's: its own sandbox, its own time, and nothing of it left behind."""

import contextlib
import os
import selectors
import subprocess
import time
from collections.abc import Iterator, Sequence

from fleet_agent_helper.orders import Outcome
from fleet_agent_helper.programs import Program

# What is told of either stream: its end.
TAIL = 4096
_CHUNK = 64 * 1024
# systemd ends the unit; after so long without an end of it, it is not waited for any more.
_GRACE_SECONDS = 30
# What holds the streams open when the unit is gone is not waited for.
_DRAIN_SECONDS = 0.5
_ASKING_SECONDS = 30
_CANNOT_START = 203  # EXIT_EXEC: systemd.exec(5)


def command(program: Program, arguments: Sequence[str], unit: str, seconds: int) -> list[str]:
    """Gives the command that runs it. Pure."""
    properties = [
        *program.properties,
        f"RuntimeMaxSec={seconds}",
        "TimeoutStopSec=5",
        "KillMode=control-group",
        "OOMPolicy=stop",
    ]
    # systemd puts variables of the environment into a command's words: two dollars are one.
    words = [] if program.reads else [word.replace("$", "$$") for word in arguments]
    return [
        "systemd-run", "--wait", "--pipe", "--quiet", "--service-type=exec", f"--unit={unit}",
        f"--description=fleet-agent: {program.path.name}", "--working-directory=/",
        *(f"--property={each}" for each in properties), "--", str(program.path), *words,
    ]  # fmt: skip


def run(program: Program, arguments: Sequence[str], unit: str, seconds: int) -> Outcome:
    """Runs it to its end."""
    with _given(arguments if program.reads else ()) as given:
        process = subprocess.Popen(
            command(program, arguments, unit, seconds),
            stdin=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    stdout, stderr = _tails(process, seconds + _GRACE_SECONDS)
    if process.poll() is None:
        stop(unit)
        process.kill()
        process.wait()
        return Outcome("timed-out", f"it did not end within {seconds} s", None, stdout, stderr)
    status = process.returncode
    if status == 0:
        return Outcome("done", "", 0, stdout, stderr)
    shown = _shown(unit)
    systemctl("reset-failed", unit)
    said = shown.get("Result", "")
    if said == "timeout":
        return Outcome("timed-out", f"it did not end within {seconds} s", None, stdout, stderr)
    if said in ("", "success"):
        reason, number = "systemd did not start it", None
    elif said == "exit-code":
        number = int(shown.get("ExecMainStatus", status))
        reason = "it cannot be started" if number == _CANNOT_START else f"status {number}"
    else:
        reason, number = f"ended by {said}", None
    return Outcome("failed", reason, number, stdout, stderr)


@contextlib.contextmanager
def _given(arguments: Sequence[str]) -> Iterator[int]:
    """Gives what a program finds on its standard input: each argument, and a NUL behind it."""
    # Not a pipe, which takes so much and then waits for a reader.
    with os.fdopen(os.memfd_create("arguments"), "w+b", buffering=0) as file:
        file.write("".join(f"{argument}\0" for argument in arguments).encode())
        file.seek(0)
        yield file.fileno()


def stop(unit: str) -> None:
    """Ends a unit, if it is there."""
    systemctl("stop", unit)
    systemctl("reset-failed", unit)


def systemctl(*words: str) -> str:
    """Asks systemd; what cannot be asked is not known."""
    with contextlib.suppress(subprocess.SubprocessError, OSError):
        return subprocess.run(
            ["systemctl", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_ASKING_SECONDS,
            check=False,
        ).stdout.decode(errors="replace")
    return ""


def _shown(unit: str) -> dict[str, str]:
    text = systemctl("show", "--property=Result,ExecMainStatus", unit)
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def _tails(process: "subprocess.Popen[bytes]", seconds: float) -> tuple[str, str]:
    """Reads both streams until the process has ended, or so long; keeps the end of each."""
    kept = {1: b"", 2: b""}
    until = time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        for number, stream in ((1, process.stdout), (2, process.stderr)):
            if stream is not None:
                selector.register(stream, selectors.EVENT_READ, number)
        while selector.get_map() and time.monotonic() < until:
            for key, _ in selector.select(_DRAIN_SECONDS):
                data = os.read(key.fd, _CHUNK)
                kept[key.data] = (kept[key.data] + data)[-TAIL:]
                if not data:
                    selector.unregister(key.fileobj)
            if process.poll() is not None:
                until = min(until, time.monotonic() + _DRAIN_SECONDS)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(max(0.0, until - time.monotonic()))
    return kept[1].decode(errors="replace"), kept[2].decode(errors="replace")
