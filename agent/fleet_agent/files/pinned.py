"""Opens the path to a file so that no less trusted user can replace it while root uses it.

Root that reads, writes or deletes below a folder which another user may write follows no link there: each folder on
the way is opened from the one before it, and the last one is held while the file is used. Links that only root can have
made are followed, wherever they lead. For everybody else a path is a path.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from fleet_agent.process.starved import ensure_proc

_MOST_LINKS = 40  # as the kernel does
_LOOK = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


@contextlib.contextmanager
def pinned(path: Path) -> Iterator[Path]:
    """Gives the path to use for a file while the block lasts: as it stands, or through a folder that is held open.

    Raises:
        OSError: A link on the way is somebody else's, or a folder is missing.
    """
    if os.geteuid() != 0:
        yield path
        return
    try:
        folder, is_roots = _open_folder(path.parent)
    except FileNotFoundError:
        yield path  # whatever is done to it fails in the same way
        return
    try:
        yield path if is_roots else Path(_held(folder)) / path.name
    finally:
        os.close(folder)


def open_to_read(path: Path) -> int:
    """Opens what the configuration names: links are followed, for root those that only root can have made.

    Raises:
        OSError: It is not there, may not be read, or a link on the way is another user's.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
    if os.geteuid() != 0:
        return os.open(path, flags)
    held, _ = _open_folder(path)
    try:
        return os.open(_held(held), flags)
    finally:
        os.close(held)


def _held(descriptor: int) -> str:
    ensure_proc()
    return f"/proc/self/fd/{descriptor}"


def foreign_part(path: Path) -> Path | None:
    """The first part of a path that a user other than root could exchange; None: root alone can.

    Raises:
        OSError: It cannot be looked at.
    """
    whole = Path(os.path.realpath(path))
    for part in (*reversed(whole.parents), whole):
        found = part.lstat()
        if found.st_uid != 0:
            return part
        is_folder = stat.S_ISDIR(found.st_mode)
        if others_may_write(found) and not (is_folder and found.st_mode & stat.S_ISVTX):
            return part
    return None


def others_may_write(found: os.stat_result) -> bool:
    """Whether a user other than root may write there, by owner and mode."""
    writers = found.st_mode & _OTHERS_WRITE
    if found.st_gid == 0:
        writers &= ~stat.S_IWGRP
    return found.st_uid != 0 or bool(writers)


def _open_folder(folder: Path) -> tuple[int, bool]:
    """The folder (or file), opened to hold it, and whether all of the way to it is root's alone."""
    # The current directory may be gone, and `..` means what the kernel takes it for.
    parts = _parts(str(folder) if folder.is_absolute() else f"{os.getcwd()}/{folder}")  # noqa: PTH109
    here, is_roots, links = os.open("/", _LOOK | os.O_DIRECTORY), True, 0
    try:
        while parts:
            name = parts.pop()
            there = os.open(name, _LOOK, dir_fd=here)
            is_roots = is_roots and _is_fixed(os.fstat(here), os.fstat(there))
            if not stat.S_ISLNK(os.fstat(there).st_mode):
                os.close(here)
                here = there
                continue
            os.close(there)
            links += 1
            target = _read_link(here, name, links)
            if target.startswith("/"):
                os.close(here)
                here = os.open("/", _LOOK | os.O_DIRECTORY)
            parts += _parts(target)
        is_roots = is_roots and not others_may_write(os.fstat(here))
    except BaseException:
        os.close(here)
        raise
    return here, is_roots


def _is_fixed(folder: os.stat_result, entry: os.stat_result) -> bool:
    """Whether root alone can put something else in an entry's place."""
    is_sticky_own = bool(folder.st_mode & stat.S_ISVTX) and entry.st_uid == folder.st_uid == 0
    return is_sticky_own or not others_may_write(folder)


def _read_link(folder: int, name: str, links: int) -> str:
    """Returns the target of a link that only root could have made."""
    if not _is_fixed(os.fstat(folder), os.lstat(name, dir_fd=folder)):
        raise OSError(errno.ELOOP, f"{name} in its path is another user's symbolic link")
    if links > _MOST_LINKS:
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    return os.readlink(name, dir_fd=folder)


def _parts(path: str) -> list[str]:
    """The names in a path, the first one last."""
    return [name for name in reversed(path.split("/")) if name not in ("", ".")]
