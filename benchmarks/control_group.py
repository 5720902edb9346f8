"""A control group with little of a core and little memory, as a small board has it: of version 1 or 2."""

import os
from pathlib import Path
from types import TracebackType
from typing import Self

_ROOT = Path("/sys/fs/cgroup")
_PERIOD = 100_000  # microseconds
_CONTROLLERS = ("cpu", "cpuacct", "memory")


class CannotLimitError(Exception):
    """This machine lets no group be made; the text says why."""


class ControlGroup:
    """Limits whatever is started in it; removed at the end of the block, when all of that has ended.

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
            if self._is_unified:
                (_ROOT / "cgroup.subtree_control").write_text("+cpu +memory")
            for folder in self._folders.values():
                folder.mkdir()
            quota = int(_PERIOD * self._core)
            if self._is_unified:
                self._write("cpu", "cpu.max", f"{quota} {_PERIOD}")
                self._write("memory", "memory.max", str(self._memory << 20))
            else:
                self._write("cpu", "cpu.cfs_period_us", str(_PERIOD))
                self._write("cpu", "cpu.cfs_quota_us", str(quota))
                self._write("memory", "memory.limit_in_bytes", str(self._memory << 20))
        except OSError as error:
            self._remove()
            raise CannotLimitError(f"{error.filename}: {error.strerror}") from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._remove()

    def command(self, words: list[str]) -> list[str]:
        """What starts a command in the group."""
        enters = "; ".join(f"echo $$ >{each}/cgroup.procs" for each in self._folders.values())
        return ["sh", "-c", f'{enters}; exec "$@"', "sh", *words]

    @property
    def peak(self) -> float:
        """The most memory that was used at a time, in MB; file cache included."""
        name = "memory.peak" if self._is_unified else "memory.max_usage_in_bytes"
        return int(self._read("memory", name)) / (1 << 20)

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

    def _path(self, controller: str, name: str) -> Path:
        return self._folders["" if self._is_unified else controller] / name

    def _write(self, controller: str, name: str, value: str) -> None:
        self._path(controller, name).write_text(value)

    def _read(self, controller: str, name: str) -> str:
        return self._path(controller, name).read_text()

    def _remove(self) -> None:
        for folder in self._folders.values():
            if folder.exists():
                os.rmdir(folder)  # noqa: PTH106 - its files are no files
