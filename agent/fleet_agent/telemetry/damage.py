"""What SQLite's errors mean for the queue: a disk that is full or failing heals, a damaged file does not."""

import os
import sqlite3
from pathlib import Path

from fleet_agent import files
from fleet_agent.errors import StateDamagedError, StateDirectoryError

_MASK = 0xFF  # of an extended error code
_KEPT = 2  # damaged files; a disk that damages one every day must not fill up with them

_TROUBLES = {
    sqlite3.SQLITE_FULL: (
        "enospc",
        "the disk is full",
        "Free some space (df -h) or inodes (df -i) there.",
    ),
    sqlite3.SQLITE_READONLY: (
        "erofs",
        "it is read-only",
        "Mount it writable (dmesg says why it is not).",
    ),
    sqlite3.SQLITE_IOERR: (
        "eio",
        "the disk is failing",
        "Check the disk (dmesg) and replace it, or move state_dir.",
    ),
    sqlite3.SQLITE_CANTOPEN: (
        "eacces",
        "it cannot be opened",
        "Check owner and mode of the file and its folder.",
    ),
    sqlite3.SQLITE_BUSY: (
        "ebusy",
        "another program has it open",
        "Stop that program: only the agent opens the queue.",
    ),
}


# What SQLite puts beside the file.
_BESIDE = ("-wal", "-journal")

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


def refuse_irregular(path: Path) -> None:
    """Sees to it that SQLite opens files alone: it would wait for whoever writes into a FIFO.

    Raises:
        sqlite3.Error: As of damage: something else stands there.
    """
    for suffix in ("", *_BESIDE):
        place = path.with_name(path.name + suffix)
        if os.path.lexists(place) and not place.is_file():
            raise damaged(f"{place.name} is not a regular file")


def full() -> sqlite3.Error:
    """Returns SQLite's error for a full disk."""
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    return error


def unusable(path: Path, error: Exception) -> StateDirectoryError:
    """Returns the error for a queue that cannot be used now."""
    # In a folder that may be written, so that it is not the disk.
    if (
        os.path.lexists(path)
        and os.access(path.parent, os.W_OK, effective_ids=True)
        and not os.access(path, os.R_OK | os.W_OK, effective_ids=True)
    ):
        return StateDamagedError(
            f"The queue of readings {path} cannot be used: this user may not read and write it.",
            remedy="Give it back to the agent's user: sudo fleet-agent doctor --fix",
            code="queue-eacces",
        )
    code = getattr(error, "sqlite_errorcode", 0) & _MASK
    slug, words, remedy = _TROUBLES.get(
        code, ("error", str(error), "Check the file and its file system.")
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
        for suffix in ("", *_BESIDE):
            # Not a folder that somebody made there: who knows what is in it.
            if not files.is_folder(old := file.with_name(file.name + suffix)):
                files.remove(old, sync=False)
    number = _number(older[-1]) + 1 if older else 1
    target = path.with_name(f"{path.name}.damaged-{number}")
    for suffix in (*_BESIDE, ""):  # the log first: a new file must never meet the old one's
        if os.path.lexists(place := path.with_name(path.name + suffix)):
            files.move(place, target.with_name(target.name + suffix))
    return target


def _number(path: Path) -> int:
    return int(path.name.rpartition("-")[2])
