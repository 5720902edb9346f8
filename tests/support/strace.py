"""strace: what a program does to some files, and the same program killed or failed at one of those calls."""

import collections
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

# What changes a folder or a file; ``?``: not on every architecture.
CALLS = (
    "openat,write,pwrite64,fsync,fdatasync,ftruncate,fchmod,?rename,renameat,renameat2,?unlink,unlinkat,?rmdir,"
    "?mkdir,mkdirat,?symlink,symlinkat,?link,linkat,?chmod,fchmodat"
)
_LINE = re.compile(r"^(\w+)\((.*)\) = (-?\d+)")


@dataclass(frozen=True)
class Call:
    """One system call: ``count``-th of its name, its arguments as strace shows them."""

    name: str
    count: int
    arguments: str
    failed: bool

    @property
    def changes(self) -> bool:
        """Whether a kill before it leaves another disk than a kill before the next."""
        is_lookup = self.name == "openat" and "O_CREAT" not in self.arguments
        return not (self.failed or is_lookup or "sync" in self.name)

    @property
    def paths(self) -> list[str]:
        """The files it names, by path or by descriptor."""
        return re.findall(r'"([^"]*)"', self.arguments) + re.findall(r"<([^>]*)>", self.arguments)


@dataclass(frozen=True)
class Program:
    """A Python script with its arguments, and the paths to watch."""

    words: Sequence[str]
    paths: Sequence[Path]

    def calls(self, record: Path) -> list[Call]:
        """Run it; what it did to the paths."""
        done = self._run(record, "-y")
        assert done == 0, done
        return list(_parsed(record.read_text()))

    def killed_at(self, call: Call, record: Path) -> int:
        """Run it again, killed before that call takes effect; its exit status."""
        return self._run(record, "-e", f"inject={call.name}:signal=SIGKILL:when={call.count}")

    def failed_at(self, call: Call, error: str, record: Path) -> int:
        """Run it again, that call failing; its exit status."""
        return self._run(record, "-e", f"inject={call.name}:error={error}:when={call.count}")

    def _run(self, record: Path, *more: str) -> int:
        strace = ["strace", "-qq", "-s", "0", "-o", str(record), "-e", f"trace={CALLS}", *more]
        watched = [word for path in self.paths for word in ("-P", str(path))]
        return subprocess.run(
            [*strace, *watched, sys.executable, "-I", "-S", *self.words],
            check=False,
            timeout=60,
            capture_output=True,
        ).returncode


def _parsed(text: str) -> Iterator[Call]:
    counts: collections.Counter[str] = collections.Counter()
    for line in text.splitlines():
        if found := _LINE.match(line):
            name, arguments, result = found.groups()
            counts[name] += 1
            yield Call(name, counts[name], arguments, failed=int(result) < 0)
