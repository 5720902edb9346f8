"""The SQLite file below the queue: one connection, WAL, and a new file when the old one is damaged.

SQLite's errors stop here: what heals (disk full, read-only) is a ``StateDirectoryError``, and nothing was changed.
"""

import contextlib
import logging
import os
import sqlite3
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from fleet_agent import files
from fleet_agent.process import notify
from fleet_agent.telemetry.damage import (
    damaged,
    full,
    is_damage,
    refuse_irregular,
    set_aside,
    unusable,
)

_log = logging.getLogger(__name__)

_T = TypeVar("_T")

_SCHEMA = 3
# Bytes of the WAL at which it is checkpointed, and that stay on disk once it is empty. What was stored and deleted
# between two checkpoints reaches the file at most once.
_LOG = 4 << 20
# Bytes of a page of a new file. A commit writes whole pages, for one reading usually a single page.
_PAGE = 1024
_LARGE = 8 << 20  # bytes from which a mostly empty file is shrunk

# Bytes a second of the slowest card: what takes the whole of a large file is done in one piece.
_SLOWEST = 1 << 20

# Bytes of the disk that readings leave free: deleting needs some, and so do the agent's other files.
_ROOM = 4 << 20

_TABLES = """
CREATE TABLE topic(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE reading(id INTEGER PRIMARY KEY, time REAL, expires REAL, priority INTEGER, type INTEGER, payload BLOB);
"""

# Rows of an older version are kept as they are: new columns are NULL there.
_SINCE_2 = """
ALTER TABLE reading ADD COLUMN source INTEGER;
ALTER TABLE reading ADD COLUMN era INTEGER;
ALTER TABLE reading ADD COLUMN moment REAL;
ALTER TABLE reading ADD COLUMN lifetime REAL;
CREATE TABLE source(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, full INTEGER NOT NULL DEFAULT 0,
  age INTEGER NOT NULL DEFAULT 0, expired INTEGER NOT NULL DEFAULT 0, refused INTEGER NOT NULL DEFAULT 0);
INSERT INTO source(id, name) VALUES(0, '');
CREATE TABLE era(id INTEGER PRIMARY KEY, boot TEXT NOT NULL, offset REAL, last REAL NOT NULL);
"""
_SINCE_3 = """
ALTER TABLE reading ADD COLUMN sizes BLOB;
PRAGMA user_version = 3;
"""
# Schema version → the missing statements; 0: a new file.
_CHANGES = {0: _TABLES + _SINCE_2 + _SINCE_3, 1: _SINCE_2 + _SINCE_3, 2: _SINCE_3, _SCHEMA: ""}


class Database:
    """The file.

    Args:
        path: Its folder exists.
        look: Called with the file open, after every opening: reads what is in it, and so finds damage.

    Raises:
        StateDirectoryError: It can be neither opened nor replaced.
    """

    def __init__(self, path: Path, look: Callable[["Database"], None]) -> None:
        self._path = path
        self._log = path.with_name(f"{path.name}-wal")
        self._look = look
        self._synchronous = ""
        self._connection: sqlite3.Connection | None = None
        self._is_at: list[os.stat_result] = []  # of what is open: the file, and its log
        # The new name of a damaged file, and what was wrong.
        self.replaced: tuple[Path, str] | None = None
        self._guarded(self._ensure_open)

    def write(self, change: Callable[[], None], synchronous: str) -> None:
        """Makes a change in one transaction; if the file turns out to be damaged, in a new file.

        Args:
            change: Calls ``execute`` and ``execute_many``; may run twice.
            synchronous: ``full``: it survives a power cut; ``normal``: it survives a crash of the agent.

        Raises:
            StateDirectoryError: Nothing was changed.
        """
        self._guarded(lambda: self._commit(change, synchronous))

    def read(
        self,
        statement: str,
        values: Sequence[object],
        take: Callable[[sqlite3.Cursor], _T],
    ) -> _T | None:
        """Returns what ``take``, which may run twice, makes of the rows; None if the file turned out to be damaged.

        Raises:
            StateDirectoryError: They cannot be read.
        """
        found: list[_T] = []
        replaced = self.replaced

        def act() -> None:
            rows = self.execute(statement, values)
            if self.replaced is replaced:
                found.append(take(rows))

        self._guarded(act)
        return found[0] if found else None

    def execute(self, statement: str, values: Sequence[object] = ()) -> sqlite3.Cursor:
        """Executes a statement, within a change or a look."""
        return self._connected.execute(statement, values)

    def execute_many(self, statement: str, rows: Sequence[Sequence[object]]) -> None:
        """Executes a statement for many rows, within a change or a look."""
        self._connected.executemany(statement, rows)

    def ensure_room(self) -> None:
        """Ensures that the disk has room for more readings, and that the file still has its name.

        Raises:
            StateDirectoryError: The disk is nearly full, or cannot be asked.
        """
        try:
            disk = os.statvfs(self._path.parent)
            if self._connection and not self._is_there():
                self._put_back(self._connection)
        except OSError as error:
            raise unusable(self._path, error) from error
        room = disk.f_bavail * disk.f_frsize
        if room < _ROOM and room + self._unused() < _ROOM:
            raise unusable(self._path, full())

    def _is_there(self) -> bool:
        found = self._found()
        return len(found) == len(self._is_at) and all(map(os.path.samestat, found, self._is_at))

    def _found(self) -> list[os.stat_result]:
        with contextlib.suppress(FileNotFoundError):
            return [self._path.stat(), self._log.stat()]
        return []

    def _put_back(self, connection: sqlite3.Connection) -> None:
        """Restores the file's name: it was removed or replaced, and what is open would be lost with this process."""
        copy = self._path.with_name(f".{self._path.name}.tmp")
        files.remove(copy)
        files.write(copy, b"", 0o600)
        try:
            with self._patience(), contextlib.closing(sqlite3.connect(copy)) as target:
                connection.backup(target)
        except sqlite3.Error as error:
            files.remove(copy)
            raise unusable(self._path, error) from error
        kept = None
        if self._path.exists() and not os.path.samestat(self._path.stat(), self._is_at[0]):
            kept = set_aside(self._path)
        # SQLite removes the WAL by its name, so this comes before the new file takes it.
        self.close()
        files.remove(self._log)
        files.move(copy, self._path)
        self._connection = self._connect()
        more = f"; the file found in its place is now {kept}" if kept else ""
        _log.warning("%s was removed or replaced: restored%s", self._path, more)

    def _unused(self) -> int:
        """Returns the bytes of the file that are unused."""
        ((pages,),) = self.read("PRAGMA freelist_count", (), list) or ((0,),)
        ((size,),) = self.read("PRAGMA page_size", (), list) or ((0,),)
        return int(pages * size)

    @property
    def is_large(self) -> bool:
        """Whether it is large enough to be worth shrinking."""
        return self._size > _LARGE

    def _patience(self) -> contextlib.AbstractContextManager[None]:
        """Keeps the watchdog waiting meanwhile."""
        return notify.long_work(self._size / _SLOWEST if self.is_large else 0.0)

    @property
    def _size(self) -> int:
        with contextlib.suppress(OSError):
            return self._path.stat().st_size
        return 0

    def shrink(self) -> None:
        """Gives disk space back after a backlog, if the file is mostly empty; a failure does no harm."""
        with contextlib.suppress(sqlite3.Error):
            if 2 * self._unused() > self._size:
                with self._patience():
                    self.execute("VACUUM")
                    self.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Closes the file."""
        with contextlib.suppress(sqlite3.Error):
            if self._connection:
                self._connection.close()
        self._connection = None

    def _guarded(self, act: Callable[[], None]) -> None:
        damage = self._damage(act)
        if damage is None:
            return
        # A disk that fails to read a page of the schema looks like damage, too: only what persists is damage.
        self.close()
        damage = self._damage(self._check) or self._damage(act)
        if damage is None:
            return
        self.close()
        self.replaced = set_aside(self._path), str(damage)
        _log.error("the queue %s: %s: now %s", self._path, damage, self.replaced[0])
        try:
            act()
        except (sqlite3.Error, OSError) as error:
            raise unusable(self._path, error) from error

    def _check(self) -> None:
        """Looks for damage that shows only on deletion: what AWS has would otherwise be sent again for ever."""
        with self._patience():
            ((found,),) = self.execute("PRAGMA quick_check(1)").fetchall()
        if found != "ok":
            raise damaged(found)

    def _damage(self, act: Callable[[], None]) -> Exception | None:
        """Runs ``act``; returns the error if the file is damaged."""
        try:
            act()
        except (sqlite3.Error, UnicodeDecodeError) as error:
            if not is_damage(error, is_writable=os.access(self._path, os.W_OK)):
                raise unusable(self._path, error) from error
            # A statement left open in some variable would keep the file locked against reopening.
            traceback.clear_frames(error.__traceback__)
            return error
        except OSError as error:
            raise unusable(self._path, error) from error
        return None

    def _commit(self, change: Callable[[], None], synchronous: str) -> None:
        if synchronous != self._synchronous:
            self.execute(f"PRAGMA synchronous = {synchronous}")
            self._synchronous = synchronous
        try:
            self.execute("BEGIN IMMEDIATE")
            change()
            self.execute("COMMIT")
        except sqlite3.Error:
            with contextlib.suppress(sqlite3.Error):
                self.execute("ROLLBACK")
            raise

    def _ensure_open(self) -> None:
        self.execute("SELECT 1")

    @property
    def _connected(self) -> sqlite3.Connection:
        """The connection, opened if there is none: at first, after damage, and after a failure to open."""
        if self._connection is None:
            connection = self._connect()
            self._connection = connection
            try:
                with self._patience():
                    self._look(self)
            except (sqlite3.Error, UnicodeDecodeError):
                self.close()
                raise
        return self._connection

    def _connect(self) -> sqlite3.Connection:
        refuse_irregular(self._path)
        if not self._path.exists():
            files.write(self._path, b"", 0o600)
        self._synchronous = ""
        connection = sqlite3.connect(self._path, isolation_level=None, timeout=0)
        try:
            self._set_up(connection)
            self._is_at = self._found()
        except (sqlite3.Error, UnicodeDecodeError, OSError):
            connection.close()
            raise
        return connection

    def _set_up(self, connection: sqlite3.Connection) -> None:
        connection.execute(f"PRAGMA page_size = {_PAGE}")
        (page,) = connection.execute("PRAGMA page_size").fetchone()
        for pragma in (
            # The only connection: no shared memory, and another program that opens the file gets an error.
            "locking_mode = EXCLUSIVE",
            "journal_mode = WAL",
            f"wal_autocheckpoint = {_LOG // page}",
            f"journal_size_limit = {_LOG}",
            "temp_store = MEMORY",
            "cache_size = -512",  # KiB
        ):
            connection.execute(f"PRAGMA {pragma}")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version not in _CHANGES:
            raise damaged(f"made by another version, {version}")
        if version != _SCHEMA:
            connection.executescript(f"BEGIN; {_CHANGES[version]} COMMIT;")
