"""Whether the file system of the state directory outlasts a boot and can do what the agent needs, before AWS is asked.

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
from fleet_agent.files.pinned import pinned

VOLATILE = "state-volatile"
_VOLATILE = frozenset({"tmpfs", "ramfs", "rootfs"})

# There while systemd is the init: sd_booted(3).
BOOTED = Path("/run/systemd/system")

_MODE = 0o600
_TRIAL = ".trial"
_LINK = ".trial-link"
_ROOM = 32 << 10  # bytes: an identity, and the ledger's next lines
_PLACE = "Put it on ext4, f2fs, btrfs or similar, with --state-dir or state_dir."

# Told by files in words of their own, and no fault of the kind of file system.
_OTHERWISE = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EIO}
)


def try_out(state_dir: Path) -> None:
    """Tries what keeping an identity takes: a mode, locks, a synced folder, a link and its replacement, some room.

    Raises:
        StateDirectoryError: It lacks something, which the error names, with the file system.
    """
    trial, link = state_dir / _TRIAL, state_dir / _LINK
    try:
        _try_file(state_dir, trial)
        _tried(state_dir, "cannot sync folders", lambda: files.write(trial, bytes(_ROOM), _MODE))
        # Twice: the second one replaces the first.
        for _ in range(2):
            _tried(state_dir, "does not support symbolic links", lambda: files.point(link, _TRIAL))
    finally:
        with contextlib.suppress(StateDirectoryError):
            files.remove(link, sync=False)
            files.remove(trial, sync=False)


def without_locks(state_dir: Path, error: OSError) -> StateDirectoryError:
    """Returns the error for a state directory in which no file can be locked."""
    return _unfit(state_dir, f"does not support locks ({error.strerror})", "state-no-locks")


def refuse_volatile(state_dir: Path, mounts: str | None = None) -> str | None:
    """Refuses a place that forgets everything at power-off: a fleet would make new certificates at every boot.

    Args:
        state_dir: Need not exist yet.
        mounts: Content of /proc/self/mountinfo; read from there when None.

    Returns:
        A warning when an overlay's upper side cannot be judged, else None.

    Raises:
        StateDirectoryError: It lies in memory.
    """
    if mounts is None:
        mounts = _mounts()
    kind, options = mount_of(state_dir.resolve(), mounts)
    if kind == "overlay":
        given = (o[9:] for o in options.split(",") if o.startswith("upperdir="))
        upper = next(map(unescaped, given), None)
        kind = "overlay" if upper is None else _kind_of_upper(Path(upper), mounts)
        if kind == "overlay":
            return f"{state_dir} is on an overlay whose upper layer cannot be checked: does it survive a reboot?"
    if kind in _VOLATILE:
        raise StateDirectoryError(
            f"{state_dir} is in memory ({kind}): the identity would be lost at the next boot.",
            remedy="Put it on a persistent disk with --state-dir or state_dir (--allow-volatile to use it anyway).",
            code=VOLATILE,
        )
    return None


def refuse_doubtful(state_dir: Path, doubt: str) -> None:
    """Refuses an overlay that cannot be judged where an identity would be made on a booted machine.

    That is how a root in memory looks (systemd.volatile=overlay, overlayroot): a certificate at each boot. An identity
    that is there already has outlasted something, and in a container without systemd all is an overlay.

    Args:
        state_dir: Need not exist yet.
        doubt: The warning of ``refuse_volatile``.

    Raises:
        StateDirectoryError: An identity would be made there.
    """
    if BOOTED.is_dir() and not (state_dir / "credentials" / "current").is_symlink():
        raise StateDirectoryError(
            doubt,
            remedy="Put it on a persistent partition with --state-dir or state_dir; if it is persistent, confirm "
            "that with "
            "--allow-volatile.",
            code=VOLATILE,
        )


def _kind_of_upper(upper: Path, mounts: str) -> str:
    """The type of the mount below an overlay's upper side; ``overlay`` when it cannot be seen from here."""
    try:
        upper.lstat()
    except PermissionError:  # root's own folder: it is here, and the table of mounts shows where
        pass
    except OSError:  # a container's lies outside
        return "overlay"
    return mount_of(upper, mounts)[0]


def kind_of(path: Path) -> str:
    """The type of the file system there, such as ``ext4``; a word for it when the kernel does not say."""
    return mount_of(path.resolve(), _mounts())[0] or "unknown"


def _mounts() -> str:
    """The table of mounts; empty when the kernel does not show it."""
    try:
        return Path("/proc/self/mountinfo").read_text(errors="surrogateescape")
    except OSError:
        return ""


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
            lack = f"cannot set modes ({error.strerror})"
            raise _unfit(state_dir, lack, "state-no-modes") from error
        if stat.S_IMODE(os.fstat(descriptor).st_mode) != _MODE:
            raise _unfit(
                state_dir,
                "does not keep modes, so all users could read the keys",
                "state-no-modes",
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
