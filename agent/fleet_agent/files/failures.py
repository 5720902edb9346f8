"""What fails about a file, as an error that says what was done to which file, and what to type."""

import contextlib
import errno
import stat
from collections.abc import Iterator
from pathlib import Path

from fleet_agent import pasted
from fleet_agent.errors import STATE_DAMAGED, StateDamagedError, StateDirectoryError
from fleet_agent.files.pinned import pinned

# Something else than the agent puts there stands at the end of the path, or on the way.
_IN_THE_WAY = (errno.ENOTDIR, errno.ELOOP, errno.EISDIR)
_FORBIDDEN = (errno.EACCES, errno.EPERM)
_OPEN_UP = (
    "Run as its owner. If it was restored from a backup, or its owner or mode was changed: "
    "sudo fleet-agent doctor --fix"
)

_REMEDIES = {
    errno.ENOSPC: "Free some space (df -h) or inodes (df -i) on that file system, then start again.",
    errno.EDQUOT: "Raise the disk quota or free some space, then start again.",
    errno.EFBIG: "Raise the file size limit (ulimit -f; in a unit LimitFSIZE=), then start again.",
    errno.EROFS: "Mount it writable, or choose another place with --state-dir or state_dir.",
    errno.EACCES: "Run as the folder's owner, or choose another place with --state-dir or state_dir.",
    errno.EPERM: "Run as the folder's owner, or choose another place with --state-dir or state_dir.",
    errno.EEXIST: "See what is there (ls -ld), or choose another place with --state-dir or state_dir.",
    errno.EIO: "The disk is failing (journalctl -k): replace it, or choose another place with --state-dir.",
}


class NotOursError(OSError):
    """What stands there is nothing that the agent has written: a link, a folder, a file of another size."""


@contextlib.contextmanager
def reported(action: str, path: Path, *, reads: bool = False) -> Iterator[Path]:
    """Gives the path to use for it, and turns what fails into an error that says what was done to which file.

    Args:
        action: In words.
        path: What it is done to.
        reads: It is only looked at: whoever may not, may not be the owner.
    """
    try:
        with pinned(path) as safe:
            yield safe
    except OSError as error:
        title = f"Cannot {action} {path}: {error.strerror or error}."
        if isinstance(error, NotOursError) or error.errno in _IN_THE_WAY:
            raise StateDamagedError(
                title, remedy=out_of_the_way(path), code=STATE_DAMAGED
            ) from error
        code = f"state-{errno.errorcode.get(error.errno or 0, 'error').lower()}"
        remedy = _REMEDIES.get(error.errno or 0, "Check the folder's owner, mode and file system.")
        if error.errno in _FORBIDDEN and reads:
            raise StateDamagedError(title, remedy=_OPEN_UP, code=code) from error
        if error.errno == errno.EEXIST:
            raise StateDamagedError(title, remedy=remedy, code=code) from error
        raise StateDirectoryError(title, remedy=remedy, code=code) from error


def out_of_the_way(path: Path) -> str:
    """What to type where something stands that the agent has not put there, at the end of a path or on the way."""
    wrong = next((part for part in reversed(path.parents) if not part.is_dir()), path)
    # Elsewhere than beside the agent's lock it may be the system's own, such as /dev/null.
    is_ours = wrong.name == "lock" or any((at / "lock").is_file() for at in wrong.parents[:3])
    move = f"then: {move_aside(wrong)}; or" if is_ours else "and"
    return (
        f"See what is there (ls -ld), {move} choose another place with --state-dir or state_dir."
    )


def move_aside(path: Path) -> str:
    """The command that takes something from its place."""
    return pasted.command("mv", path, path.with_name(f"{path.name}.aside"))


def refuse_irregular(path: Path, *, may_exist: bool) -> bool:
    """Whether a file stands there.

    Raises:
        OSError: Something else does, or a file that may not.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return False
    if not stat.S_ISREG(mode):
        kind = "a symbolic link" if stat.S_ISLNK(mode) else "not a regular file"
        raise NotOursError(errno.ELOOP, f"it is {kind}, which is not allowed")
    if not may_exist:
        raise OSError(errno.EEXIST, "it already exists and is never overwritten")
    return True
