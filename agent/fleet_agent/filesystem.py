"""Whether the file system of the state directory can do what the agent needs, tried before AWS is asked for anything.

A certificate that cannot be kept is lost, and each start would ask for another: exFAT and FAT have no links
and no modes, an NFS without its lock daemon has no locks. What was tried leaves nothing behind.
"""

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Callable
from pathlib import Path

from fleet_agent import files
from fleet_agent.errors import StateDirectoryError
from fleet_agent.pinned import pinned

_MODE = 0o600
_TRIAL = ".trial"
_LINK = ".trial-link"
_ROOM = 32 << 10  # bytes: an identity, and the ledger's next lines
_PLACE = "Put it on ext4, f2fs, btrfs or the like, with --state-dir or state_dir."

# Told by files in words of their own, and no fault of the kind of file system.
_OTHERWISE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO})


def try_out(state_dir: Path) -> None:
    """Try what keeping an identity takes: a mode, locks, a synced folder, a link and its replacement, some room.

    Raises:
        StateDirectoryError: It lacks something, which the error names, with the file system.
    """
    trial, link = state_dir / _TRIAL, state_dir / _LINK
    try:
        _try_file(state_dir, trial)
        _tried(state_dir, "syncs no folder", lambda: files.write(trial, bytes(_ROOM), _MODE))
        # Twice: the second one replaces the first.
        for _ in range(2):
            _tried(state_dir, "has no symbolic links", lambda: files.point(link, _TRIAL))
    finally:
        with contextlib.suppress(StateDirectoryError):
            files.remove(link, sync=False)
            files.remove(trial, sync=False)


def without_locks(state_dir: Path, error: OSError) -> StateDirectoryError:
    """The error of a state directory in which no file can be locked."""
    return _unfit(state_dir, f"has no locks ({error.strerror})", "state-no-locks")


def kind_of(path: Path) -> str:
    """The type of the file system there, such as ``ext4``; a word for it when the kernel does not say."""
    try:
        mounts = Path("/proc/self/mountinfo").read_text(errors="surrogateescape")
    except OSError:
        return "unknown"
    return mount_of(path.resolve(), mounts)[0] or "unknown"


def mount_of(path: Path, mounts: str) -> tuple[str, str]:
    """Type and super-block options of the mount that ``path`` lies on (proc(5), mountinfo)."""
    best, found = -1, ("", "")
    for line in mounts.split("\n"):
        before, separator, after = line.partition(" - ")
        fields, rest = before.split(" "), after.split(" ")
        if not separator or len(fields) < 5 or len(rest) < 3:  # noqa: PLR2004 - proc(5): columns
            continue
        point = unescaped(fields[4])
        # later lines win: a mount may cover an earlier one
        if path.is_relative_to(point) and len(point) >= best:
            best, found = len(point), (rest[0], rest[2])
    return found


def unescaped(field: str) -> str:
    """A field of mountinfo as the path it stands for: the kernel writes these four characters in octal."""
    for code, letter in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field = field.replace(code, letter)
    return field


def _try_file(state_dir: Path, trial: Path) -> None:
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with pinned(trial) as path:
            descriptor = os.open(path, flags, _MODE)
    except OSError:
        return  # files.write has the better error
    try:
        try:
            os.fchmod(descriptor, _MODE)
        except OSError as error:
            lack = f"sets no modes ({error.strerror})"
            raise _unfit(state_dir, lack, "state-no-modes") from error
        if stat.S_IMODE(os.fstat(descriptor).st_mode) != _MODE:
            raise _unfit(
                state_dir, "keeps no modes: anybody here could read keys", "state-no-modes"
            )
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise without_locks(state_dir, error) from error
    finally:
        os.close(descriptor)


def _tried(state_dir: Path, lack: str, act: Callable[[], None]) -> None:
    try:
        act()
    except StateDirectoryError as error:
        cause = error.__cause__
        if not isinstance(cause, OSError) or cause.errno in _OTHERWISE:
            raise
        raise _unfit(state_dir, f"{lack} ({cause.strerror})", error.code) from cause


def _unfit(state_dir: Path, lack: str, code: str) -> StateDirectoryError:
    return StateDirectoryError(
        f"The file system of {state_dir} ({kind_of(state_dir)}) {lack}.",
        remedy=_PLACE,
        code=code,
    )
