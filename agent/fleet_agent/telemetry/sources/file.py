"""The lines of a growing file, each a reading; followed over rotation (by rename or by copy) and restart.

The file is looked at every ``POLL`` seconds. How far it was read is kept in the state directory, and moves on only when
the readings are durable: after a crash some lines are sent twice, none is lost.
"""

import codecs
import collections
import contextlib
import logging
import math
from functools import partial
from pathlib import Path

from fleet_agent.config.readings import FileSource
from fleet_agent.errors import StateDirectoryError
from fleet_agent.files.reserved import OwnFileError, Reserved
from fleet_agent.telemetry.reading import JSON, MAX_PAYLOAD, TEXT
from fleet_agent.telemetry.sources import position
from fleet_agent.telemetry.sources.command import json_problem
from fleet_agent.telemetry.sources.feed import Feed, one_line
from fleet_agent.telemetry.sources.position import Opened, Position

_log = logging.getLogger(__name__)

POLL = 1.0  # seconds between looks
SAVE_EVERY = 10.0  # seconds between writes of the position: what may repeat after a crash
RETRY = 5.0  # seconds until lines that were not stored are handed in again
QUIET = 5.0  # seconds without growth until a rotated file is done: who writes it may not know yet
# So many looks in a row that find no file are a problem; fewer are not: a rotation has such a moment.
MISSING = 3
LOG_EVERY = 60.0  # seconds between lines about a file that is truncated again and again

_CHUNK = 256 * 1024  # bytes read at a time
_MAX_WAITING = 500  # lines, and ...
_MAX_WAITING_BYTES = 4 * _CHUNK  # ... bytes that wait for the disk, until no more are read


class _Line:
    """A line that waits for the disk; ``end`` is the offset behind it."""

    __slots__ = ("end", "is_stored")

    def __init__(self, end: int) -> None:
        self.end = end
        self.is_stored = False


class File:
    """Follows one file.

    Args:
        settings: The source's own.
        feed: Where its lines go.
        state_dir: Where its position is kept.
        reserved: Files that it may not be, whatever links lead there.
    """

    def __init__(
        self,
        settings: FileSource,
        feed: Feed,
        state_dir: Path,
        reserved: Reserved,
    ) -> None:
        self._reserved = reserved
        self.name = feed.name
        self._path = Path(settings.path)
        self._is_json = settings.format == "json"
        self._starts_at_end = settings.start == "end"
        self._feed = feed
        self._record = state_dir / f"source-{feed.name}.json"
        self._file: Opened | None = None
        self._head = (0, 0)  # of what was read
        self._offset = 0  # of the next line
        self._stored = 0  # all before it is durable
        self._lines: collections.deque[_Line] = collections.deque()
        self._is_skipping = False  # within a line that is too long
        self._saved: Position | None = None
        self._save_at = 0.0
        self._refused = 0  # lines, ...
        self._problem = ""  # ... and what was wrong with the last one
        self._grew = 0.0  # when it was last seen to grow
        self._size = 0
        self._missed = 0
        self._log_at = -math.inf
        self.due = feed.clock.monotonic()

    def act(self) -> None:
        """Looks at the file."""
        self.due = self._feed.clock.monotonic() + POLL
        try:
            self._look()
        except OSError as error:
            self._fails(error)
        if self._feed.clock.monotonic() >= self._save_at:
            self._save()

    def close(self) -> None:
        """Saves the position and lets go of the file."""
        self._save()
        self._let_go()

    # Which file -------------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        file = self._file or self._begin()
        if self._is_waiting():
            return
        size = file.size
        if size != self._size:
            self._size, self._grew = size, self._feed.clock.monotonic()
        if size < self._offset or not file.is_of(self._position(file)):
            if not self._lines:
                self._find_again(file)
            return
        if not self._read(file) and not file.is_at(self._path):
            self._follow(file)
        if self._missed:
            self._feed_is_fine()

    def _begin(self) -> Opened:
        """Opens the file where the last run of the agent left it."""
        before = position.load(self._record, self._path)
        if before is None:
            opened = Opened(self._path)
            # One that was not there at the first look is read whole.
            return self._take(
                opened, opened.size if self._starts_at_end and not self._missed else 0
            )
        found = position.find(self._path, before, self._record.stat().st_mtime_ns)
        if found is not None:
            return self._take(found, before.offset)
        opened = Opened(self._path)
        _log.warning(
            "%s is not the file that was read last: it is read from the start", self._path
        )
        return self._take(opened, 0)

    def _find_again(self, file: Opened) -> None:
        """Handles a truncated file: the rest is in a copy, if there is one."""
        found = position.find(self._path, self._position(file))
        now = self._feed.clock.monotonic()
        if now >= self._log_at:
            self._log_at = now + LOG_EVERY
            rest = "" if found else "; the rest of the old file was not found"
            _log.info("%s was truncated%s", self._path, rest)
        if found is not None:
            self._take(found, self._stored)
        else:
            self._take(Opened(self._path), 0)

    def _follow(self, file: Opened) -> None:
        """Handles a renamed file: once it stops growing, reading continues with the next."""
        if self._lines or self._feed.clock.monotonic() - self._grew < QUIET:
            return
        if rest := file.read(self._offset, MAX_PAYLOAD):  # its last line never got its end
            self._hand_in(rest, self._offset + len(rest))
            return
        self._take(position.after(self._path, file), 0)

    def _take(self, opened: Opened, offset: int) -> Opened:
        try:
            self._reserved.refuse(opened.descriptor)
        except OSError:
            opened.close()
            raise
        self._let_go()
        self._file = opened
        self._head = opened.head(offset)
        self._offset = self._stored = offset
        self._size, self._grew = opened.size, self._feed.clock.monotonic()
        self._is_skipping = False
        self._save()
        self.due = self._feed.clock.monotonic()
        return opened

    def _let_go(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    # Lines ------------------------------------------------------------------------------------------------------------

    def _read(self, file: Opened) -> bool:
        """Hands in the next lines; whether there were any."""
        data = file.read(self._offset, _CHUNK)
        end = data.rfind(b"\n") + 1
        if end == 0:
            if len(data) <= MAX_PAYLOAD and not self._is_skipping:
                return False  # it is still being written
            self._is_skipping = self._is_skipping or bool(data)
            self._offset += len(data)
            return bool(data)
        before = self._refused
        for line in data[: end - 1].split(b"\n")[:_MAX_WAITING]:
            self._hand_in(line, self._offset + len(line) + 1)
        if self._head[1] == 0:
            self._save_at = 0.0  # known again by its beginning from now on
        self._head = file.head(self._offset)
        if self._refused == before:
            self._feed_is_fine()
        else:
            count = f"{self._refused} line{'s' if self._refused > 1 else ''}"
            self._feed.fails(
                f"{count} of {self._path} skipped; the last {self._problem}.",
                "Correct the program that writes them, or set the source's `format`.",
            )
        self.due = self._feed.clock.monotonic()
        return True

    def _hand_in(self, text: bytes, end: int) -> None:
        line = _Line(end)
        self._lines.append(line)
        if self._offset == 0:
            text = text.removeprefix(codecs.BOM_UTF8)
        self._offset = end
        text = text.strip() if self._is_json else text.removesuffix(b"\r")
        problem = self._problem_of(text)
        self._is_skipping = False
        if problem is not None:
            self._refused, self._problem = self._refused + 1, problem
        if problem is not None or not text:
            line.is_stored = True
            self._advance()
        else:
            content_type = JSON if self._is_json else TEXT
            payload = one_line(text) if self._is_json else text
            self._feed.put(payload, content_type, partial(self._line_stored, line))

    def _problem_of(self, text: bytes) -> str | None:
        if self._is_skipping or len(text) > MAX_PAYLOAD:
            return f"has more than {MAX_PAYLOAD} bytes"
        if not text:
            return None
        if self._is_json:
            problem = json_problem(text)
            return None if problem is None else f"is not a JSON value ({problem})"
        try:
            text.decode()
        except UnicodeDecodeError:
            return "is not UTF-8"
        return None

    def _line_stored(self, line: _Line, why_not: str | None) -> None:
        now = self._feed.clock.monotonic()
        if line not in self._lines:  # handed in again since
            return
        if why_not:
            self._lines.clear()
            self._offset = self._stored
            self._is_skipping = False
            self.due = now + RETRY
            return
        was_waiting = self._is_waiting()
        line.is_stored = True
        self._advance()
        if was_waiting and not self._is_waiting():
            self.due = now

    def _advance(self) -> None:
        while self._lines and self._lines[0].is_stored:
            self._stored = self._lines.popleft().end

    def _is_waiting(self) -> bool:
        return (
            len(self._lines) >= _MAX_WAITING or self._offset - self._stored >= _MAX_WAITING_BYTES
        ) and bool(self._lines)

    # What is kept and shown--------------------------------------------------------------------------------------------

    def _position(self, file: Opened) -> Position:
        head, size = self._head
        return Position(inode=file.inode, offset=self._stored, head=head, head_size=size)

    def _save(self) -> None:
        if self._file is None or (now := self._position(self._file)) == self._saved:
            return
        self._save_at = self._feed.clock.monotonic() + SAVE_EVERY
        with contextlib.suppress(StateDirectoryError):  # tried again; the queue has reported it
            position.save(self._record, self._path, now)
            self._saved = now

    def _feed_is_fine(self) -> None:
        self._missed = 0
        self._feed.works()

    def _fails(self, error: OSError) -> None:
        self._missed += 1
        if isinstance(error, OwnFileError):
            self._feed.fails(
                f"{self._path} cannot be read: {error.strerror}.",
                "Check the link and who made it (ls -l), or correct the source's `path`.",
            )
        elif not isinstance(error, FileNotFoundError):
            self._feed.fails(
                f"cannot read {self._path}: {error.strerror or error}.",
                "Allow the agent's user to read it, for example through a group."
                if isinstance(error, PermissionError)
                else "See what is there (ls -l), or correct the source's `path`.",
            )
        elif self._missed >= MISSING:
            self._feed.fails(
                f"{self._path} does not exist.",
                "Start the program that writes it, or correct the source's `path`.",
            )
