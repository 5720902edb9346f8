"""A control group of Linux, version 1 or 2, that limits CPU and memory of what is started in it. As root."""

import contextlib
import os
import shlex
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

_ROOT = Path("/sys/fs/cgroup")
_PERIOD = 100_000  # microseconds
_CONTROLLERS = ("cpu", "cpuacct", "memory")
_LIMIT = 10.0  # seconds until what is in it has ended


class CannotLimitError(Exception):
    """This machine lets no group be made; the text says why."""


class ControlGroup:
    """Limits whatever is started in it; ended and removed at the end of the block.

    Args:
        name: Of the group.
        core: Share of one core.
        memory: Megabytes, file cache included.

    Raises:
        CannotLimitError: On entry.
    """

    def __init__(self, name: str, core: float, memory: int) -> None:
        self._is_unified = (_ROOT / "cgroup.controllers").exists()
        names = ("",) if self._is_unified else _CONTROLLERS
        self._folders = {each: _ROOT / each / name for each in names}
        self._core, self._memory = core, memory

    def __enter__(self) -> Self:
        try:
            self._make()
        except OSError as error:
            self._remove()
            raise CannotLimitError(f"{error.filename}: {error.strerror}") from error
        except CannotLimitError:
            self._remove()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()
        self._remove()

    def try_out(self) -> None:
        """See that something can be started in it.

        Raises:
            CannotLimitError: It cannot.
        """
        done = subprocess.run(self.command(["true"]), check=False, capture_output=True, text=True)
        if done.returncode:
            raise CannotLimitError(done.stderr.strip() or f"sh ended with {done.returncode}")

    def command(self, words: list[str]) -> list[str]:
        """What starts a command in the group."""
        files = [str(folder / "cgroup.procs") for folder in self._folders.values()]
        enters = f'for file in {shlex.join(files)}; do echo $$ >"$file" || {{ echo "$file"; exit 1; }} >&2; done'
        return ["sh", "-c", f'{enters}; exec "$@"', "sh", *words]

    @property
    def peak(self) -> float | None:
        """The most memory that was used at a time, in MB, file cache included; None: Linux says so from 5.19 on."""
        path = self._path(
            "memory", "memory.peak" if self._is_unified else "memory.max_usage_in_bytes"
        )
        return int(path.read_text()) / (1 << 20) if path.exists() else None

    @property
    def killed(self) -> int:
        """How many processes were ended since there was no memory."""
        name = "memory.events" if self._is_unified else "memory.oom_control"
        counts = dict(line.split() for line in self._read("memory", name).splitlines())
        return int(counts.get("oom_kill", 0))

    @property
    def cpu(self) -> float:
        """Seconds of CPU so far."""
        if self._is_unified:
            counts = dict(line.split() for line in self._read("cpu", "cpu.stat").splitlines())
            return int(counts["usage_usec"]) / 1e6
        return int(self._read("cpuacct", "cpuacct.usage")) / 1e9

    def _make(self) -> None:
        if self._is_unified:
            _write(_ROOT / "cgroup.subtree_control", "+cpu +memory")
        for folder in self._folders.values():
            # cpu and cpuacct may be one and the same.
            folder.mkdir(exist_ok=True)
        quota = int(_PERIOD * self._core)
        if self._is_unified:
            _write(self._path("cpu", "cpu.max"), f"{quota} {_PERIOD}")
            _write(self._path("memory", "memory.max"), str(self._memory << 20))
        else:
            _write(self._path("cpu", "cpu.cfs_period_us"), str(_PERIOD))
            _write(self._path("cpu", "cpu.cfs_quota_us"), str(quota))
            _write(self._path("memory", "memory.limit_in_bytes"), str(self._memory << 20))

    def _path(self, controller: str, name: str) -> Path:
        return self._folders["" if self._is_unified else controller] / name

    def _read(self, controller: str, name: str) -> str:
        return self._path(controller, name).read_text()

    def _end(self) -> None:
        """Kill what is still in it: a group with processes cannot be removed."""
        over = time.monotonic() + _LIMIT
        while (left := self._processes()) and time.monotonic() < over:
            for process in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            time.sleep(0.05)

    def _processes(self) -> set[int]:
        return {
            int(line)
            for folder in self._folders.values()
            for line in (folder / "cgroup.procs").read_text().split()
        }

    def _remove(self) -> None:
        for folder in self._folders.values():
            if folder.exists():
                os.rmdir(folder)  # noqa: PTH106 - its files are no files


def _write(path: Path, value: str) -> None:
    try:
        path.write_text(value)
    except OSError as error:  # of a write, it does not name the file
        raise CannotLimitError(f"{path}: {error.strerror}") from error
