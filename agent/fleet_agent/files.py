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
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from fleet_agent import pasted
from fleet_agent.errors import STATE_DAMAGED, StateDamagedError, StateDirectoryError
from fleet_agent.pinned import open_to_read, pinned

_PIECE = 1 << 18

# What a file system answers that knows no modes.
_NO_MODES = (errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP)

# Something else than the agent puts there stands at the end of the path, or on the way.
_IN_THE_WAY = (errno.ENOTDIR, errno.ELOOP, errno.EISDIR)
_FORBIDDEN = (errno.EACCES, errno.EPERM)
_READS = ("read", "look at", "look into")
_OPEN_UP = (
    "Run as its owner. Where it came with others' files, such as a restored backup's, or its mode was changed: "
    "sudo fleet-agent doctor --fix"
)

_REMEDIES = {
    errno.ENOSPC: "Free some space on that file system (df -h), then start again.",
    errno.EDQUOT: "Raise the disk quota or free some space, then start again.",
    errno.EFBIG: "Raise the limit on the size of files (ulimit -f; in a unit LimitFSIZE=), then start again.",
    errno.EROFS: "Mount it writable, or choose another place with --state-dir or state_dir.",
    errno.EACCES: "Run as the folder's owner, or choose another place with --state-dir or state_dir.",
    errno.EPERM: "Run as the folder's owner, or choose another place with --state-dir or state_dir.",
    errno.EEXIST: "See what stands there (ls -ld), or choose another place with --state-dir or state_dir.",
    errno.EIO: "The disk fails (journalctl -k): replace it or choose another place with --state-dir.",
}


class _NotOursError(OSError):
    """What stands there is nothing that the agent has written: a link, a folder, a file of another size."""


@contextlib.contextmanager
def _reported(action: str, path: Path) -> Iterator[Path]:
    """Gives the path to use for it, and turns what fails into an error that says what was done to which file."""
    try:
        with pinned(path) as safe:
            yield safe
    except OSError as error:
        title = f"Cannot {action} {path}: {error.strerror or error}."
        if isinstance(error, _NotOursError) or error.errno in _IN_THE_WAY:
            raise StateDamagedError(
                title, remedy=out_of_the_way(path), code=STATE_DAMAGED
            ) from error
        code = f"state-{errno.errorcode.get(error.errno or 0, 'error').lower()}"
        remedy = _REMEDIES.get(
            error.errno or 0, "Look at the folder's owner, mode and file system."
        )
        if error.errno in _FORBIDDEN and action in _READS:
            raise StateDamagedError(title, remedy=_OPEN_UP, code=code) from error
        if error.errno == errno.EEXIST:
            raise StateDamagedError(title, remedy=remedy, code=code) from error
        raise StateDirectoryError(title, remedy=remedy, code=code) from error


def out_of_the_way(path: Path) -> str:
    """What to type where something stands that the agent has not put there, at the end of a path or on the way."""
    wrong = next((part for part in reversed(path.parents) if not part.is_dir()), path)
    move = move_aside(wrong)
    return f"See what stands there (ls -ld), then: {move}; or choose another place with --state-dir or state_dir."


def move_aside(path: Path) -> str:
    """The command that takes something from its place."""
    return pasted.command("mv", path, path.with_name(f"{path.name}.aside"))


def make_folder(path: Path, mode: int = 0o700, *, parents: bool = True) -> None:
    """Makes a folder (and its parents) durably, with exactly this mode where there are any; one that exists stays so.

    Without ``parents`` the folder alone: where they are gone, a whole volume may be, and comes back to its place.

    Raises:
        StateDirectoryError: It cannot be made, or something else stands there.
    """
    with _reported("look at the folder", path.parent) as parent:
        is_missing = not parent.is_dir()
    if is_missing and parents:
        make_folder(path.parent)
    with _reported("make the folder", path) as folder:
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
    with _reported("write", path) as target:
        temporary = target.with_name(f".{path.name}.tmp")
        _refuse_irregular(target, may_exist=not new)
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
    with _reported("write", path) as target:
        descriptor = os.open(target, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) or found.st_blocks * 512 < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            _write_all(descriptor, data)
            os.ftruncate(descriptor, len(data))
        finally:
            os.close(descriptor)


def append_line(path: Path, line: str, mode: int = 0o600) -> None:
    """Appends one line durably; half a line left by a power cut is closed off first.

    Raises:
        StateDirectoryError: It cannot be written.
    """
    with _reported("append to", path) as target:
        is_new = not _refuse_irregular(target, may_exist=True)
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(target, flags, mode)
        try:
            if is_new:
                os.fchmod(descriptor, mode)  # whatever the umask
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
    with _reported("replace the link", link) as safe:
        temporary = safe.with_name(f".{link.name}.tmp")
        if os.path.lexists(safe) and not safe.is_symlink():
            raise OSError(errno.EEXIST, "something that is not a link stands there")
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
    with _reported("move", path) as safe:
        os.replace(safe, safe.with_name(target.name))
        _fsync_folder(safe.parent)


def remove(path: Path, *, sync: bool = True) -> None:
    """Removes a file; one that is not there is fine.

    Raises:
        StateDirectoryError: It cannot be removed.
    """
    with _reported("remove", path) as target:
        target.unlink(missing_ok=True)
        if sync:
            _fsync_folder(target.parent)


def remove_folder(path: Path) -> None:
    """Removes a folder with all that is in it; one that is not there is fine, and of a link only the link goes.

    Raises:
        StateDirectoryError: It cannot be removed.
    """
    with _reported("remove", path) as folder:
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
    with _reported("remove", path) as folder:
        folder.rmdir()
        _fsync_folder(folder.parent)


def owner(path: Path) -> int | None:
    """The user id of whom it belongs to; None when nothing is there.

    Raises:
        StateDirectoryError: The disk does not say.
    """
    with _reported("look at", path) as target, contextlib.suppress(FileNotFoundError):
        return target.stat().st_uid
    return None


def is_link(path: Path) -> bool:
    """Whether a symbolic link stands there.

    Raises:
        StateDirectoryError: The disk does not say.
    """
    with _reported("look at", path) as target:
        return target.is_symlink()


def link(path: Path) -> str | None:
    """Where a symbolic link points to; None when nothing is there.

    Raises:
        StateDirectoryError: It is no link, or the disk does not say.
    """
    with _reported("look at", path) as target, contextlib.suppress(FileNotFoundError):
        try:
            return str(target.readlink())
        except OSError as error:
            if error.errno == errno.EINVAL:
                raise _NotOursError(errno.EINVAL, "it is no symbolic link") from error
            raise
    return None


def names(path: Path) -> list[str]:
    """The names in a folder; none when it is not there.

    Raises:
        StateDirectoryError: It is no folder, or cannot be read.
    """
    with _reported("look into", path) as folder, contextlib.suppress(FileNotFoundError):
        return os.listdir(folder)  # noqa: PTH208 - names are wanted
    return []


def is_folder(path: Path) -> bool:
    """Whether a folder stands there, itself or by a link.

    Raises:
        StateDirectoryError: The disk does not say.
    """
    with _reported("look at", path) as target:
        return target.is_dir()


def is_there(path: Path) -> bool:
    """Whether there is such a file, a regular one.

    Raises:
        StateDirectoryError: The disk does not say.
    """
    with _reported("look at", path) as target:
        return target.is_file()


def read(path: Path, limit: int = 1 << 20) -> bytes | None:
    """The content of a regular file, or None when there is none.

    Raises:
        StateDirectoryError: It cannot be read, is no regular file, or is larger than ``limit`` bytes.
    """
    with _reported("read", path) as target:
        if not _refuse_irregular(target, may_exist=True):
            return None
        # Not to wait for a writer, should a FIFO have taken its place just now.
        descriptor = os.open(target, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:  # noqa: PTH123 - opened above, without following links
            data = _read_all(file, limit)
        if len(data) > limit:
            raise _NotOursError(errno.EFBIG, f"larger than {limit} bytes")
        return data


def read_given(path: Path, limit: int = 1 << 20) -> bytes:
    """The content of a file that the configuration names: links are followed, and what was opened is judged.

    Raises:
        OSError: It cannot be read, is no regular file, is larger than ``limit`` bytes, or, as root, lies behind a
            link of another user's.
    """
    with open(open_to_read(path), "rb") as file:  # noqa: PTH123 - opened so that a FIFO does not block
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        data = _read_all(file, limit)
    if len(data) > limit:
        raise OSError(errno.EFBIG, f"it is larger than {limit} bytes")
    return data


def _read_all(file: BinaryIO, limit: int) -> bytes:
    """The content, or one byte more than the limit; read in pieces, since read() allocates all that it is allowed."""
    read = bytearray()
    while len(read) <= limit and (piece := file.read(min(_PIECE, limit + 1 - len(read)))):
        read += piece
    return bytes(read)


def _refuse_irregular(path: Path, *, may_exist: bool) -> bool:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return False
    if not stat.S_ISREG(mode):
        kind = "a symbolic link" if stat.S_ISLNK(mode) else "not a regular file"
        raise _NotOursError(errno.ELOOP, f"it is {kind}, which is refused")
    if not may_exist:
        raise OSError(errno.EEXIST, "it exists already and is never overwritten")
    return True


def _write_all(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        written = os.write(descriptor, left)
        if written == 0:
            raise OSError(errno.ENOSPC, "nothing more could be written")
        left = left[written:]


def _fsync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
