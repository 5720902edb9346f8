"""What SQLite's errors mean for the queue: a disk that is full or failing heals, a damaged file does not."""

import sqlite3
from pathlib import Path

from fleet_agent import files
from fleet_agent.errors import StateDirectoryError

_MASK = 0xFF  # of an extended error code
_KEPT = 2  # damaged files; a disk that damages one every day must not fill up with them

_TROUBLES = {
    sqlite3.SQLITE_FULL: (
        "enospc",
        "the disk is full",
        "Free some space there (df -h).",
    ),
    sqlite3.SQLITE_READONLY: (
        "erofs",
        "it is read-only",
        "Mount it writable (dmesg says why it is not).",
    ),
    sqlite3.SQLITE_IOERR: (
        "eio",
        "the disk fails",
        "Look at the disk (dmesg) and replace it, or move state_dir.",
    ),
    sqlite3.SQLITE_CANTOPEN: (
        "eacces",
        "it cannot be opened",
        "Look at owner and mode of the file and its folder.",
    ),
    sqlite3.SQLITE_BUSY: (
        "ebusy",
        "another program has it open",
        "Stop that program: only the agent opens the queue.",
    ),
}


_DAMAGE = (
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_FORMAT,
    # From the agent's statements: a table or column is missing, ...
    sqlite3.SQLITE_ERROR,
    # ... or a table disagrees with an index, as names are unique.
    sqlite3.SQLITE_CONSTRAINT,
)
# Python's own message about text; it has no code.
_NO_TEXT = "Could not decode to UTF-8"


def is_damage(error: Exception, *, is_writable: bool = True) -> bool:
    """Whether the file is damaged, or not a database at all; ``is_writable``: the file system allows writing."""
    if isinstance(error, UnicodeDecodeError):  # in SQLite's own message
        return True
    code = getattr(error, "sqlite_errorcode", 0)
    if code == sqlite3.SQLITE_READONLY:
        # The file's header claims it.
        return is_writable
    return code & _MASK in _DAMAGE or str(error).startswith(_NO_TEXT)


def damaged(words: str) -> sqlite3.Error:
    """Returns the error for a file that SQLite can read but whose content is inconsistent."""
    error = sqlite3.DatabaseError(words)
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error


def full() -> sqlite3.Error:
    """Returns SQLite's error for a full disk."""
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    return error


def unusable(path: Path, error: Exception) -> StateDirectoryError:
    """Returns the error for a queue that cannot be used now."""
    code = getattr(error, "sqlite_errorcode", 0) & _MASK
    slug, words, remedy = _TROUBLES.get(
        code, ("error", str(error), "Look at the file and its file system.")
    )
    return StateDirectoryError(
        f"The queue of readings {path} cannot be used: {words}.",
        remedy=remedy,
        code=f"queue-{slug}",
    )


def set_aside(path: Path) -> Path:
    """Renames a damaged file, with its WAL, and keeps it for analysis.

    Returns:
        The new name.

    Raises:
        StateDirectoryError: It cannot be renamed.
    """
    older = sorted(path.parent.glob(f"{path.name}.damaged-*[0-9]"), key=_number)
    for file in older[: len(older) - _KEPT + 1]:
        for suffix in ("", "-wal"):
            files.remove(file.with_name(file.name + suffix), sync=False)
    number = _number(older[-1]) + 1 if older else 1
    target = path.with_name(f"{path.name}.damaged-{number}")
    log = path.with_name(path.name + "-wal")
    if log.exists():  # first: a new file must never meet the old one's log
        files.move(log, target.with_name(target.name + "-wal"))
    files.move(path, target)
    return target


def _number(path: Path) -> int:
    return int(path.name.rpartition("-")[2])
