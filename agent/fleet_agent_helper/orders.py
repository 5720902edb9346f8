"""The orders that were given, and what became of them: kept in root's folder, over restarts of the machine.

``KEY.order`` says that an order was begun, and is locked for as long as the process that began it lives;
``KEY.outcome`` says how it ended. A second request for an order finds the first, so each is run once.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

# So many are remembered; the oldest go first.
KEPT = 200
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_FIRST_PROCESS = Path("/proc/1/stat")
_START_TIME = 22  # the field's number: proc_pid_stat(5)


@dataclass(frozen=True)
class Outcome:
    """How an order ended: done, failed, refused, timed-out or canceled."""

    outcome: str
    reason: str = ""
    status: int | None = None
    stdout: str = ""
    stderr: str = ""


@dataclass(frozen=True)
class Begun:
    """What is known of an order that was begun."""

    name: str
    unit: str
    boot: str
    seconds: int
    reboots: bool


class Order:
    """One order's files."""

    def __init__(self, folder: Path, identifier: str) -> None:
        self._folder = folder
        self.key = hashlib.sha256(identifier.encode()).hexdigest()[:32]
        self._begun = folder / f"{self.key}.order"
        self._ended = folder / f"{self.key}.outcome"

    def begin(self, begun: Begun) -> bool:
        """Notes that it is begun, before it is; False if it was begun before. Locked until this process ends."""
        self._forget_the_oldest()
        file = self._written(asdict(begun))
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            os.link(self._temporary, self._begun)
        except FileExistsError:
            os.close(file)
            return False
        finally:
            self._temporary.unlink()
        self._sync()
        return True

    def end(self, outcome: Outcome) -> None:
        """Notes how it ended."""
        os.close(self._written(asdict(outcome)))
        os.replace(self._temporary, self._ended)
        self._sync()

    def begun(self) -> Begun | None:
        """Gives what is known of its beginning."""
        found = _read(self._begun)
        return Begun(**found) if found else None

    def outcome(self) -> Outcome | None:
        """Gives how it ended, if that is known."""
        found = _read(self._ended)
        return Outcome(**found) if found else None

    def is_locked(self) -> bool:
        """Whether the process that began it lives."""
        with self._begun.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def seconds_left(self, begun: Begun) -> float:
        """Gives how much of its time is left."""
        age = time.time() - self._begun.stat().st_mtime
        return min(max(begun.seconds - age, 0.0), begun.seconds)

    @property
    def _temporary(self) -> Path:
        return self._folder / f".{self.key}.{os.getpid()}"

    def _written(self, record: dict[str, Any]) -> int:
        file = os.open(self._temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(file, "w", encoding="utf-8", closefd=False) as stream:
            json.dump(record, stream)
        os.fsync(file)
        return file

    def _sync(self) -> None:
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        os.fsync(folder)
        os.close(folder)

    def _forget_the_oldest(self) -> None:
        found = sorted(self._folder.glob("*.order"), key=_age)
        for path in found[: -KEPT + 1]:
            # Another process may be at the same one.
            with (
                contextlib.suppress(BlockingIOError, FileNotFoundError),
                path.open("rb") as file,
            ):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.with_suffix(".outcome").unlink(missing_ok=True)
                path.unlink()


def _age(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # forgotten by another process just now
        return 0.0


def boot_id() -> str:
    """Returns the identity of this boot of the machine, also in a container that sees its host's id."""
    # Behind the name, which may hold anything: the third field comes first.
    fields = _FIRST_PROCESS.read_text().rpartition(")")[2].split()
    return f"{_BOOT_ID.read_text().strip()}.{fields[_START_TIME - 3]}"


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return found
