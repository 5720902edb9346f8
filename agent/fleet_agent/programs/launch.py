"""How the agent starts another program, and how the end of one is reported: no shell, nothing of the agent's own."""

import os
import signal
import subprocess
import weakref
from collections.abc import Mapping, Sequence

# The child gets this and nothing of the agent's: neither secrets nor what differs from run to run.
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
}

# Of what a program prints on stderr.
ERROR_BYTES = 16 * 1024

# Programs that their starters wait for: the reaper leaves them alone.
_started: "weakref.WeakSet[subprocess.Popen[bytes]]" = weakref.WeakSet()


def start(
    argv: Sequence[str], *, environment: Mapping[str, str] | None = None, has_stdin: bool = False
) -> "subprocess.Popen[bytes]":
    """Starts a program in ``/`` with pipes for its output, no inherited descriptor, and a session of its own.

    Args:
        argv: The program, absolute or found along the usual PATH, and its arguments.
        environment: What it gets beside ``ENVIRONMENT``.
        has_stdin: Whether its stdin is a pipe; /dev/null otherwise.

    Raises:
        OSError, ValueError: It cannot be started.
    """
    process = subprocess.Popen(
        argv,
        stdin=subprocess.PIPE if has_stdin else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        env={**ENVIRONMENT, **(environment or {})},
        cwd="/",
        close_fds=True,
        start_new_session=True,  # a group of its own: killing it reaches its children
    )
    return keep_from_reaper(process)


def keep_from_reaper(process: "subprocess.Popen[bytes]") -> "subprocess.Popen[bytes]":
    """Keeps ``programs.reaper`` from collecting this program: whoever started it waits for it."""
    _started.add(process)
    return process


def running() -> set[int]:
    """Returns the process ids of programs that are still waited for."""
    return {process.pid for process in _started if process.returncode is None}


def signal_group(process: "subprocess.Popen[bytes]", number: signal.Signals) -> None:
    """Signals the program and its children; only before it was waited for, so that the number is still its."""
    try:
        os.killpg(process.pid, number)
    except (ProcessLookupError, PermissionError):  # gone, or another user's by now
        return


def ending(status: int) -> str:
    """Describes a return code (negative: a signal), to follow the program's name."""
    if status >= 0:
        return f"ended with exit status {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"


def last_line(errors: bytes) -> str:
    """The last line of stderr after a colon, printable and short; empty when there is none."""
    lines = errors.decode(errors="replace").strip().splitlines()
    if not lines:
        return ""
    last = "".join(character if character.isprintable() else "?" for character in lines[-1])
    return f": {last[:200]}"
