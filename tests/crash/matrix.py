"""The matrix: every system call of a workload, and the workload broken at each of them.

A point is a workload, a call by name and count, and what happens there: a kill, or an error in place of the call. Two
workers, each with a bench of its own, take points from one list until it is empty.
"""

import dataclasses
import random
import re
import subprocess
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Self, TypeVar

from crash.workload import Bench, Workload, bench, traced
from fleet_agent.errors import AgentError, Exit
from support.strace import FILES, NETWORK, Call, Program, was_killed

KILL = "kill"
SHORT = "short writes"  # every file cut off at ``count`` bytes
T = TypeVar("T")
Make = Callable[[Bench], Workload]

# What each kind of call can fail with; the first word that is in its name decides. Every call can be interrupted.
_ERRORS = (
    ("sync", ("EIO", "ENOSPC", "EINTR")),
    ("write", ("ENOSPC", "EIO", "EINTR")),
    ("stat", ("EIO",)),
    ("read", ("EIO", "EINTR")),
    ("getdents", ("EIO",)),
    ("close", ("EIO", "EINTR")),
    ("ioctl", ()),
    ("lseek", ()),
    ("flock", ("EINTR",)),
    ("", ("ENOSPC", "EROFS", "EIO", "EINTR")),
)
_NETWORK_ERRORS = (
    ("epoll", ("EINTR",)),
    ("send", ("EINTR", "EPIPE")),
    ("connect", ("EINTR", "EHOSTUNREACH")),
    ("", ("EINTR", "EIO")),
)
# 0: the call's failure changed nothing, or it was done again; the rest are documented.
EXPECTED = {0, 69, 73, 78}


@dataclasses.dataclass(frozen=True)
class Point:
    """Where a workload is broken, and how.

    ``where`` says what the call was about when the calls were listed; in another run it may be another.
    """

    workload: str
    is_file: bool
    name: str
    count: int
    where: str
    changes: bool
    what: str = KILL

    @property
    def trace(self) -> str:
        """The calls that strace has to look at."""
        return FILES if self.is_file else NETWORK

    def __str__(self) -> str:
        return f"{self.workload}: {self.what} at {self.name} {self.count} {self.where}".rstrip()


@dataclasses.dataclass
class Tally:
    """What became of the points. ``missed``: the call did not come that time, and nothing was broken."""

    tried: int = 0
    missed: int = 0
    failures: list[str] = dataclasses.field(default_factory=list)

    @property
    def survived(self) -> int:
        """Points after which everything held."""
        return self.tried - len(self.failures)


def listed(name: str, workload: Workload, record: Path) -> Iterator[Point]:
    """Every point of a workload at which it can be killed, one a call."""
    for trace, is_file in ((FILES, True), (NETWORK, False)):
        workload.prepare()
        calls = traced(workload, trace, of_files=is_file).calls(record)
        if not is_file:
            calls = list(_awaited(calls))
        # Two threads that call the same share a point: the first to get there is killed.
        seen = set()
        for call in calls:
            if (call.name, call.count) not in seen:
                seen.add((call.name, call.count))
                yield Point(name, is_file, call.name, call.count, _where(call), call.changes)


def _awaited(calls: Sequence[Call]) -> Iterator[Call]:
    """Without the waits that follow no request: timers, mostly, of which no two runs have the same number."""
    last: dict[str, str] = {}
    for call in calls:
        if "epoll" not in call.name or "epoll" not in last.get(call.thread, "epoll"):
            yield call
        last[call.thread] = call.name


def with_errors(points: Sequence[Point]) -> Iterator[Point]:
    """Each point once for every error that its call can fail with."""
    for point in points:
        table = _ERRORS if point.is_file else _NETWORK_ERRORS
        errors = next(errors for word, errors in table if word in point.name)
        for error in errors:
            yield dataclasses.replace(point, what=error)


def with_short_writes(name: str, workload: Workload) -> Iterator[Point]:
    """A limit on the size of every file that the workload writes, from nothing up to more than it needs."""
    for size in workload.sizes:
        yield Point(name, True, "prlimit", size, "bytes", True, SHORT)


def sample(points: Sequence[Point], size: int, seed: int) -> list[Point]:
    """As many points, chosen from the seed."""
    return random.Random(seed).sample(list(points), min(size, len(points)))


def break_at(point: Point, workload: Workload, record: Path) -> tuple[bool, str | None]:
    """Break the workload there and look: whether it was hit, and what did not hold."""
    workload.prepare()
    program = traced(workload, point.trace, of_files=point.is_file)
    try:
        if point.what == SHORT:
            done = _limited(program, point.count)
            was_hit = done.returncode != 0
            assert "Traceback" not in done.stderr, done.stderr[-1500:]
            assert done.returncode in (0, Exit.CANNOT_WRITE), f"exit status {done.returncode}"
        elif point.what == KILL:
            done = program.killed_at(point.name, point.count, record)
            was_hit = was_killed(done)
        else:
            done = program.failed_at(point.name, point.count, point.what, record)
            was_hit = "(INJECTED)" in record.read_text()
            assert "Traceback" not in done.stderr, done.stderr[-1500:]
            assert done.returncode in EXPECTED, f"exit status {done.returncode}: {done.stderr}"
        workload.look(done.stdout)
        workload.heal()
    except (AssertionError, AgentError) as error:
        line = traceback.extract_tb(error.__traceback__)[-1].line
        return True, f"{type(error).__name__}: {error} ({line})"
    return was_hit, None


def _limited(program: Program, size: int) -> "subprocess.CompletedProcess[str]":
    """Runs it with no file growing beyond so many bytes: a write that would is short, and the next one fails."""
    return subprocess.run(
        ["prlimit", f"--fsize={size}", *program.words],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
        env=program.environment,
    )


class Matrix:
    """Lists and breaks, with ``workers`` benches in a temporary folder; a context manager.

    Args:
        makers: Workloads by name.
        workers: How many at once.
        tell: Is told of every failure at once.
    """

    def __init__(
        self, makers: Mapping[str, Make], workers: int, tell: Callable[[str], None]
    ) -> None:
        self._makers = makers
        self._tell = tell
        self._workers = workers
        self._stack = ExitStack()
        self._made: list[dict[str, Workload]] = []
        self._folders: list[Path] = []

    def __enter__(self) -> Self:
        for _ in range(self._workers):
            temporary = tempfile.TemporaryDirectory(prefix="crash-")
            folder = Path(self._stack.enter_context(temporary))
            its_bench = self._stack.enter_context(bench(folder))
            self._folders.append(folder)
            self._made.append({name: make(its_bench) for name, make in self._makers.items()})
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def points(self) -> list[Point]:
        """Every point of every workload."""
        found: dict[str, list[Point]] = {}

        def find(name: str, worker: int) -> None:
            workload = self._made[worker][name]
            found[name] = list(listed(name, workload, self._folders[worker] / "record"))

        self._share(list(self._makers), find)
        return [point for name in self._makers for point in found[name]]

    def sizes(self) -> list[Point]:
        """Every limit on the size of files, of every workload."""
        made = self._made[0]
        return [point for name in made for point in with_short_writes(name, made[name])]

    def run(self, points: Sequence[Point]) -> dict[str, Tally]:
        """Break at each; a tally for each workload."""
        tallies = {name: Tally() for name in self._makers}
        lock = threading.Lock()

        def one(point: Point, worker: int) -> None:
            record = self._folders[worker] / "record"
            was_hit, failure = break_at(point, self._made[worker][point.workload], record)
            with lock:
                tally = tallies[point.workload]
                tally.tried += was_hit
                tally.missed += not was_hit
                if failure:
                    tally.failures.append(f"{point}\n    {failure}")
                    self._tell(tally.failures[-1])

        self._share(points, one)
        return tallies

    def _share(self, items: Sequence[T], work: Callable[[T, int], None]) -> None:
        """Has the workers do it for every item."""
        queue: SimpleQueue[T] = SimpleQueue()
        for item in items:
            queue.put(item)
        errors: list[BaseException] = []

        def take(worker: int) -> None:
            try:
                while not errors:
                    work(queue.get_nowait(), worker)
            except Empty:
                return
            except BaseException as error:  # noqa: BLE001 - told by the thread that waits
                errors.append(error)

        threads = [
            threading.Thread(target=take, args=(number,)) for number in range(self._workers)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]


def _where(call: Call) -> str:
    """The file or the kind of socket it was about, without the folders above the state directory."""
    path = call.paths[-1] if call.paths else ""
    return re.sub(r"^/.*/(state|claim)(?=/|$)", r"\1", path)
