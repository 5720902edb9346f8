"""A pytest plugin that runs mutants: tests are collected once, and every mutant gets a fork of the process.

In it the broken function's code takes the place of the whole one's, the tests that reach the line run until one fails,
and the process ends. The first fork breaks nothing: it finds out which test reaches which line, and how long it takes.
"""

import contextlib
import gc
import importlib
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import types
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Self, cast

import coverage
import pytest
from _pytest.runner import runtestprotocol

from mutants.mutations import Mutant

_GIGABYTE = 2**30
# Seconds of a processor: a test that takes longer would take them for each mutant that survives, and is left out.
_LONGEST = 2.0
KILLED, SURVIVED, TIMED_OUT, UNREACHED = "killed", "survived", "timed out", "unreached"
NOTICED = frozenset({KILLED, TIMED_OUT})
# The trial, not the test.
BROKE_DOWN = "broke down"
_CONTROL = ""
# Mutants between two trials with nothing broken.
_CONTROLLED = 200


class Reached(NamedTuple):
    """What the tests do with nothing broken."""

    # By file and line: the tests that run it. By test: how long it takes, and of that on a processor.
    by_line: dict[str, dict[int, list[str]]]
    seconds: dict[str, tuple[float, float]]


class Trials:
    """The plugin. ``outcomes`` has what became of each mutant; ``keep`` is given them now and then, and in the end."""

    def __init__(
        self,
        mutants: Sequence[Mutant],
        files: dict[str, Path],
        workers: int,
        keep: Callable[[dict[str, str]], None],
    ) -> None:
        self.outcomes: dict[str, str] = {}
        self.failed: list[str] = []
        self._mutants = mutants
        self._files = files
        self._workers = workers
        self._keep = keep

    def pytest_configure(self) -> None:
        """Has examples chosen alike each time, and none made smaller: that it fails is all we ask."""
        # pytest wants to be the first to import it.
        from hypothesis import Phase, settings

        phases = (Phase.explicit, Phase.generate)
        settings.register_profile("mutants", phases=phases, derandomize=True, database=None)
        settings.load_profile("mutants")

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Instead of the tests."""
        items = {
            item.nodeid: item
            for item in session.items
            if "sandbox" not in cast("pytest.Function", item).fixturenames
        }
        reached = self._reached(list(items.values()))
        if self.failed:
            return True
        # Out of the collector's sight afterwards.
        functions = _functions(self._files.values())
        gc.freeze()
        waiting = []
        for mutant in self._mutants:
            tests = self._tests(mutant, reached)
            if not tests:
                self.outcomes[mutant.key] = UNREACHED
                continue
            chosen = [(items[test], reached.seconds[test]) for test in tests]
            run = _Broken(mutant, self._files[mutant.file], functions, chosen)
            waiting.append((mutant, run))
        if not waiting:
            return True
        self._try(waiting)
        return True

    def _try(self, waiting: Sequence[tuple[Mutant, "_Broken"]]) -> None:
        # The one with most tests, with nothing broken: were it killed, the others would have died of the same.
        most, run = max(waiting, key=lambda each: len(each[1].items))
        whole = run.with_nothing_broken()
        with _Pool(self._workers) as pool:
            # The last part has none, and sees that all is well after them.
            for first in range(0, len(waiting) + _CONTROLLED, _CONTROLLED):
                pool.start(_CONTROL, whole)
                for mutant, run in waiting[first : first + _CONTROLLED]:
                    pool.start(mutant.key, run)
                outcomes = pool.finish()
                if outcomes.pop(_CONTROL) != SURVIVED:
                    self.failed = [f"tests of {most.function} where they run alone"]
                    self.outcomes = {}
                    return
                self.outcomes |= outcomes
                self._keep(self.outcomes)
                done = min(first + _CONTROLLED, len(waiting))
                print(f"{done} of {len(waiting)}", file=sys.stderr, flush=True)

    def _tests(self, mutant: Mutant, reached: Reached) -> list[str]:
        lines = reached.by_line.get(mutant.file, {})
        found = {
            test
            for line in mutant.lines
            for test in lines.get(line, ())
            if reached.seconds[test][1] <= _LONGEST
        }

        return sorted(found, key=lambda test: reached.seconds[test][1])

    def _reached(self, items: list[pytest.Item]) -> Reached:
        with tempfile.TemporaryDirectory() as folder:
            answer = Path(folder) / "reached"
            pid = _fork(lambda: answer.write_text(json.dumps(self._measure(items))) and 0)
            os.waitpid(pid, 0)
            failed, by_line, seconds, modules = json.loads(answer.read_text())
        self.failed = failed
        _import_once(modules)
        numbered = {
            file: {int(line): tests for line, tests in lines.items()}
            for file, lines in by_line.items()
        }
        return Reached(numbered, seconds)

    def _measure(self, items: list[pytest.Item]) -> tuple[object, ...]:
        failed, seconds = [], {}
        cover = coverage.Coverage(
            data_file=None, include=[str(path) for path in self._files.values()]
        )
        cover.start()
        with _own_folder(items[0].config):
            for item, following in _with_following(items):
                cover.switch_context(item.nodeid)
                began, worked = time.monotonic(), time.process_time()
                if not _passes(item, following):
                    failed.append(item.nodeid)
                seconds[item.nodeid] = time.monotonic() - began, time.process_time() - worked
        cover.stop()
        data = cover.get_data()
        by_line = {name: data.contexts_by_lineno(str(path)) for name, path in self._files.items()}
        return failed, by_line, seconds, list(sys.modules)


class _Broken:
    """Runs tests with one function broken; 1 when one of them failed."""

    def __init__(
        self,
        mutant: Mutant,
        path: Path,
        functions: dict[tuple[str, str], list[types.FunctionType]],
        items: Sequence[tuple[pytest.Item, tuple[float, float]]],
    ) -> None:
        self.items = items
        self._mutant = mutant
        self._path = path
        self._functions = functions

    def with_nothing_broken(self) -> "_Broken":
        """For comparison."""
        whole = self._mutant._replace(code=self._mutant.original)
        return _Broken(whole, self._path, self._functions, self.items)

    def __call__(self) -> int:
        name = self._mutant.function
        code = _code_named(compile(self._mutant.code, str(self._path), "exec"), name)
        for function in self._functions[str(self._path), name]:
            function.__code__ = code
        items = [item for item, _ in self.items]
        with _own_folder(items[0].config):
            for (item, following), (_, seconds) in zip(
                _with_following(items), self.items, strict=True
            ):
                _limit(*seconds)
                if not _passes(item, following):
                    return 1
        return 0


def _limit(passed: float, worked: float) -> None:
    """Has the process killed when a test takes much longer than it does with nothing broken."""
    signal.setitimer(signal.ITIMER_REAL, 15 + 10 * passed)
    signal.setitimer(signal.ITIMER_PROF, 2 + 5 * worked)


class _Pool:
    """How many processes at once."""

    def __init__(self, size: int) -> None:
        self.outcomes: dict[str, str] = {}
        self._size = size
        self._running: dict[int, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for pid in list(self._running):
            os.killpg(pid, signal.SIGKILL)

    def start(self, key: str, run: Callable[[], int]) -> None:
        """Begins when there is a place."""
        while len(self._running) >= self._size:
            self._collect()
        self._running[_fork(run)] = key

    def finish(self) -> dict[str, str]:
        """What became of all."""
        while self._running:
            self._collect()
        return self.outcomes

    def _collect(self) -> None:
        pid, status = os.wait()
        # Its children too, whatever it left.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        ended = {0: SURVIVED, 1: KILLED}
        outcome = TIMED_OUT if os.WIFSIGNALED(status) else ended.get(os.WEXITSTATUS(status))
        self.outcomes[self._running.pop(pid)] = outcome or BROKE_DOWN


def _fork(run: Callable[[], int]) -> int:
    pid = os.fork()
    if pid:
        return pid
    status = 3
    try:
        os.setsid()
        with Path(os.devnull).open("r+b") as nothing:
            for descriptor in range(3):
                os.dup2(nothing.fileno(), descriptor)
        resource.setrlimit(resource.RLIMIT_DATA, (2 * _GIGABYTE, 2 * _GIGABYTE))
        status = run()
    finally:
        os._exit(status)


@contextlib.contextmanager
def _own_folder(config: pytest.Config) -> Iterator[None]:
    """Lets the tests of this process write where nobody else does, and nothing stay."""
    folder = Path(tempfile.mkdtemp(prefix="mutant"))
    config._tmp_path_factory._basetemp = folder  # type: ignore[attr-defined]
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _with_following(
    items: Sequence[pytest.Item],
) -> Iterator[tuple[pytest.Item, pytest.Item | None]]:
    # What all tests share needs no end: the process has one.
    last = next((each for each in items[0].session.items if each is not items[-1]), None)
    return zip(items, [*items[1:], last], strict=True)


def _passes(item: pytest.Item, following: pytest.Item | None) -> bool:
    reports = runtestprotocol(item, log=False, nextitem=following)
    return not any(report.failed for report in reports)


def _functions(paths: Iterable[Path]) -> dict[tuple[str, str], list[types.FunctionType]]:
    files = {str(path) for path in paths}
    found: dict[tuple[str, str], list[types.FunctionType]] = {}
    for each in gc.get_objects():
        if isinstance(each, types.FunctionType) and each.__code__.co_filename in files:
            code = each.__code__
            found.setdefault((code.co_filename, code.co_qualname), []).append(each)
    return found


def _code_named(code: types.CodeType, name: str) -> types.CodeType:
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            if constant.co_qualname == name:
                return constant
            if name.startswith(f"{constant.co_qualname}."):
                return _code_named(constant, name)
    raise LookupError(name)


def _import_once(modules: Sequence[str]) -> None:
    """Loads what tests load while they run, lest every fork does it again."""
    for name in modules:
        with contextlib.suppress(Exception):
            importlib.import_module(name)


def import_all(root: Path, paths: Sequence[Path]) -> None:
    """Has every module loaded before there are forks."""
    for path in paths:
        importlib.import_module(
            ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
        )
