"""The state directory is one agent's alone while it runs: taken, looked at, and handed over to its next image."""

import contextlib
import errno
import fcntl
import os
import re
import signal
import stat
import threading
from pathlib import Path

from fleet_agent import files
from fleet_agent.errors import (
    STATE_DAMAGED,
    StateDamagedError,
    StateDirectoryError,
    TemporaryError,
)
from fleet_agent.files.pinned import pinned
from fleet_agent.printable import printable
from fleet_agent.record import record
from fleet_agent.statedir.filesystem import without_locks
from fleet_agent.statedir.owner import as_place

# The lock's descriptor goes along when `run` re-executes itself after provisioning.
_INHERITED = "FLEET_AGENT_LOCK_FD"


@record
class Lock:
    """The right to write in one state directory; held until the process ends."""

    descriptor: int

    def hand_over(self, environment: dict[str, str]) -> None:
        """Lets the program that replaces this process keep the lock; nothing else inherits it."""
        os.set_inheritable(self.descriptor, True)
        environment[_INHERITED] = str(self.descriptor)


def take_lock(state_dir: Path) -> Lock:
    """Takes the state directory for this process, making it when it is missing.

    Raises:
        TemporaryError: Another agent has it, which the error names.
        StateDirectoryError: It cannot be written.
    """
    if inherited := _inherited_lock(state_dir):
        return inherited
    with as_place():
        files.make_folder(state_dir)
    descriptor = _open_lock(state_dir, os.O_CREAT)
    try:
        is_ours = _lock(descriptor)
    except OSError as error:
        os.close(descriptor)
        raise without_locks(state_dir, error) from error
    if not is_ours:
        holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
        holder = holder if holder.isascii() and holder.isdecimal() else ""
        os.close(descriptor)
        raise TemporaryError(
            f"Another agent uses {state_dir}: process {holder or 'unknown'}{_command_of(holder)}.",
            remedy="Stop it first (systemctl stop fleet-agent.socket fleet-agent), or use another --state-dir.",
            code="state-locked",
        )
    with contextlib.suppress(OSError):  # a full disk: who holds it is only for the words above
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return Lock(descriptor=descriptor)


def ensure_writable(state_dir: Path) -> None:
    """Is sure that what took the state directory could take it again.

    Raises:
        StateDirectoryError: It is gone, or takes no writes any more.
    """
    os.close(_open_lock(state_dir))


def _open_lock(state_dir: Path, flags: int = 0) -> int:
    try:
        with pinned(state_dir / "lock") as safe:
            flags |= os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            return _regular(os.open(safe, flags, 0o600))
    except OSError as error:
        _refuse_irregular(state_dir, error)
        raise StateDirectoryError(
            f"Cannot write in the state directory {state_dir}: {error.strerror}.",
            remedy="Run as its owner, or choose another place with --state-dir or state_dir. If files of other users "
            "came into it, as with a restored backup: sudo fleet-agent doctor --fix",
            code="state-not-writable",
        ) from error


def _regular(descriptor: int) -> int:
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.ELOOP, "it is not a regular file")
    return descriptor


def _refuse_irregular(state_dir: Path, error: OSError) -> None:
    """Says so where something else stands in the place of the directory, or of the lock in it."""
    wrong = state_dir if error.errno == errno.ENOTDIR else state_dir / "lock"
    try:
        mode = wrong.lstat().st_mode
    except OSError:
        return
    if not (stat.S_ISDIR(mode) if wrong == state_dir else stat.S_ISREG(mode)):
        title = f"{wrong} is not a {'folder' if wrong == state_dir else 'regular file'}."
        kind = StateDirectoryError if wrong == state_dir else StateDamagedError
        raise kind(title, remedy=files.out_of_the_way(wrong), code=STATE_DAMAGED) from error


def _lock(descriptor: int) -> bool:
    """Locks it, and returns whether that worked; `status` locks it for an instant, which is not another agent."""
    for _ in range(3):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            threading.Event().wait(0.02)
        else:
            return True
    return False


def holder(state_dir: Path) -> int | None:
    """The process id of the agent that uses the state directory now; 0 when it is unknown which; None without one.

    The lock file is believed only of a process that has the lock.

    Raises:
        StateDirectoryError: The lock cannot be looked at.
    """
    try:
        with pinned(state_dir / "lock") as path:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            descriptor = _regular(os.open(path, flags))
    except FileNotFoundError:
        return None
    except OSError as error:
        _refuse_irregular(state_dir, error)
        raise StateDirectoryError(
            f"Cannot read {state_dir}: {error.strerror}.",
            remedy="Run as its owner or as root: sudo fleet-agent status",
            code="state-not-readable",
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
        process = int(text) if text.isascii() and text.isdecimal() else 0
        return process if process > 1 and _has_lock(process, os.fstat(descriptor)) else 0
    except OSError as error:
        raise without_locks(state_dir, error) from error
    else:
        return None
    finally:
        os.close(descriptor)


def signal_agent(state_dir: Path, number: signal.Signals) -> int:
    """Sends a signal to the agent that has the lock, and to no other process.

    Returns:
        Its process id.

    Raises:
        ProcessLookupError: It ended, or it is unknown which process it is.
        PermissionError: It is another user's.
        StateDirectoryError: The lock cannot be looked at.
    """
    process = holder(state_dir)
    if not process:
        raise ProcessLookupError
    held = os.pidfd_open(process)
    try:
        # Asked again: the number may have passed to another process before it was held.
        if holder(state_dir) != process:
            raise ProcessLookupError
        signal.pidfd_send_signal(held, number)
    finally:
        os.close(held)
    return process


def _has_lock(process: int, lock: os.stat_result) -> bool:
    """Whether a process has the lock: by its open files (proc(5), fdinfo), or by the table of all locks."""
    try:
        descriptors = os.listdir(f"/proc/{process}/fd")  # noqa: PTH208 - names are wanted
    except OSError:  # another user's, or one that hides its memory
        return _is_listed(process, lock)
    for name in descriptors:
        try:
            found = os.stat(f"/proc/{process}/fd/{name}")  # noqa: PTH116
            if (found.st_dev, found.st_ino) == (lock.st_dev, lock.st_ino):
                info = Path(f"/proc/{process}/fdinfo/{name}").read_text()
                if re.search(r"^lock:.*\bFLOCK\b.*\bWRITE\b", info, re.MULTILINE):
                    return True
        except PermissionError:
            # This user's, but of another user namespace, as the service is: it lists them, and shows none.
            return _is_listed(process, lock)
        except OSError:
            continue
    return False


def _is_listed(process: int, lock: os.stat_result) -> bool:
    try:
        table = Path("/proc/locks").read_text()
    except OSError:
        return False
    wanted = re.compile(rf"\bFLOCK\b.*\bWRITE +{process} +\w+:\w+:{lock.st_ino} ")
    return wanted.search(table) is not None


def _inherited_lock(state_dir: Path) -> Lock | None:
    text = os.environ.pop(_INHERITED, None)
    if text is None:
        return None
    try:
        descriptor = int(text)
        ours, wanted = os.fstat(descriptor), (state_dir / "lock").stat()
    except (ValueError, OSError):
        return None
    if (ours.st_dev, ours.st_ino) != (wanted.st_dev, wanted.st_ino):
        return None
    os.set_inheritable(descriptor, False)
    return Lock(descriptor=descriptor)


def _command_of(process: str) -> str:
    try:
        words = Path("/proc", process, "cmdline").read_bytes().split(b"\0")
    except OSError:
        return ""
    # Folders would push what matters, the script and its verb, out of a line's length.
    names = b" ".join(word.rpartition(b"/")[2] for word in words).strip()
    return f" ({printable(names[:80])})"
