"""The only writer of files: what it has written is whole after a kill or a power cut, or was never there.

A write goes to a temporary file in the same folder with its final mode from the first byte, is written until nothing
is left (``os.write`` may write short on a full disk), fsynced and renamed over the target; then the folder is fsynced.
Several writes to one folder can share the fsync of the last one, by ``sync=False``. A target that is not
a regular file is refused, links included.
"""

import contextlib
import errno
import os
import stat
from pathlib import Path

from fleet_agent.files.failures import refuse_irregular, reported
from fleet_agent.files.reading import is_folder, is_link

# What a file system answers that knows no modes.
_NO_MODES = (errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP)


def make_folder(path: Path, mode: int = 0o700, *, parents: bool = True) -> None:
    """Makes a folder (and its parents) durably, with exactly this mode where there are any; one that exists stays so.

    Without ``parents`` the folder alone: where they are gone, a whole volume may be, and comes back to its place.

    Raises:
        StateDirectoryError: It cannot be made, or something else stands there.
    """
    with reported("check the folder", path.parent) as parent:
        is_missing = not parent.is_dir()
    if is_missing and parents:
        make_folder(path.parent)
    with reported("create the folder", path) as folder:
        if folder.is_dir():
            return
        folder.mkdir(mode=mode)
        try:
            folder.chmod(mode)
        except OSError as error:
            # As FAT does: filesystem.try_out says that in its own words, before a key is written.
            if error.errno not in _NO_MODES:
                raise
        _fsync_folder(folder.parent)


def write(
    path: Path,
    data: bytes,
    mode: int,
    *,
    new: bool = False,
    sync: bool = True,
    durable: bool = True,
) -> None:
    """Replaces the file as a whole.

    Args:
        path: The target; its folder exists.
        data: All of the new content.
        mode: Permission bits, exactly.
        new: Refuse when the target exists already: a private key is never overwritten.
        sync: Make the rename itself durable now; otherwise another write to the folder does.
        durable: False for what need not outlive a power cut, such as the status: whole, but no fsync.

    Raises:
        StateDirectoryError: It cannot be written; the old content stands.
    """
    with reported("write", path) as target:
        temporary = target.with_name(f".{path.name}.tmp")
        refuse_irregular(target, may_exist=not new)
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()  # left by an interrupted write
        descriptor = os.open(
            temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode
        )
        try:
            os.fchmod(descriptor, mode)
            _write_all(descriptor, data)
            if durable:
                os.fsync(descriptor)
        except OSError:
            temporary.unlink()
            raise
        finally:
            os.close(descriptor)
        os.replace(temporary, target)
        if sync and durable:
            _fsync_folder(target.parent)


def overwrite(path: Path, data: bytes) -> None:
    """Writes into the file as it stands, with the space that it has: for a full disk, and what no reader relies on.

    Raises:
        StateDirectoryError: It cannot be written, or has too little space.
    """
    with reported("write", path) as target:
        descriptor = os.open(target, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) or found.st_blocks * 512 < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            _write_all(descriptor, data)
            os.ftruncate(descriptor, len(data))
        finally:
            os.close(descriptor)


def append_line(path: Path, line: str) -> None:
    """Appends one line durably; half a line left by a power cut is closed off first.

    Raises:
        StateDirectoryError: It cannot be written.
    """
    with reported("append to", path) as target:
        is_new = not refuse_irregular(target, may_exist=True)
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(target, flags, 0o600)
        try:
            if is_new:
                os.fchmod(descriptor, 0o600)  # whatever the umask
            size = os.fstat(descriptor).st_size
            is_torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
            _write_all(descriptor, (b"\n" if is_torn else b"") + line.encode() + b"\n")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if is_new:
            _fsync_folder(target.parent)


def point(link: Path, target: str) -> None:
    """Makes ``link`` a symbolic link to ``target``, replacing an older link by one rename, durably.

    Raises:
        StateDirectoryError: It cannot be made; the old link stands.
    """
    with reported("replace the link", link) as safe:
        temporary = safe.with_name(f".{link.name}.tmp")
        if os.path.lexists(safe) and not safe.is_symlink():
            raise OSError(errno.EEXIST, "it is not a link")
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        temporary.symlink_to(target)
        os.replace(temporary, safe)
        _fsync_folder(safe.parent)


def move(path: Path, target: Path) -> None:
    """Moves a file or folder within one folder by one rename, durably.

    Raises:
        StateDirectoryError: It cannot be moved; it stands where it stood.
    """
    with reported("move", path) as safe:
        os.replace(safe, safe.with_name(target.name))
        _fsync_folder(safe.parent)


def remove(path: Path, *, sync: bool = True) -> None:
    """Removes a file; one that is not there is fine.

    Raises:
        StateDirectoryError: It cannot be removed.
    """
    with reported("remove", path) as target:
        target.unlink(missing_ok=True)
        if sync:
            _fsync_folder(target.parent)


def remove_folder(path: Path) -> None:
    """Removes a folder with all that is in it; one that is not there is fine, and of a link only the link goes.

    Raises:
        StateDirectoryError: It cannot be removed.
    """
    with reported("remove", path) as folder:
        if folder.is_symlink():
            folder.unlink()
        if not folder.is_dir():
            return
        found = os.listdir(folder)  # noqa: PTH208 - names, to be used below what is held
    for name in found:
        # Also a folder where a file should be, as somebody's `mkdir` leaves it.
        if is_folder(path / name) and not is_link(path / name):
            remove_folder(path / name)
        else:
            remove(path / name, sync=False)
    with reported("remove", path) as folder:
        folder.rmdir()
        _fsync_folder(folder.parent)


def _write_all(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        written = os.write(descriptor, left)
        if written == 0:
            raise OSError(errno.ENOSPC, "the file could not be written completely")
        left = left[written:]


def _fsync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
