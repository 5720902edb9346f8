"""strace: what a program does to files or on the network, and the same program killed or failed at one of those calls.

Four traps. ``when=`` of an injection counts the calls of one name in one thread, and only those that match the paths
to watch. A kill comes before the call takes effect. ``-P`` takes paths one by one: a folder does not stand for what
is in it. ``--seccomp-bpf`` is faster and lets nothing be injected (strace 6.1).
"""

import collections
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# What changes a folder or a file; ``?``: not on every architecture.
CHANGING = (
    "openat,write,pwrite64,fsync,fdatasync,ftruncate,fchmod,?rename,renameat,renameat2,?unlink,unlinkat,?rmdir,"
    "?mkdir,mkdirat,?symlink,symlinkat,?link,linkat,?chmod,fchmodat"
)
# All that a program does to a file, looking included.
FILES = "%file,%desc"
# epoll_wait: a kill there comes after a request went out and before its answer was looked at.
NETWORK = "%network,?epoll_wait,epoll_pwait"

_LINE = re.compile(r"^(?:(\d+) +)?(\w+)\((.*?)\)? += (-?\d+)")
_UNFINISHED = re.compile(r"^(\d+) +(\w+)\((.*) <unfinished \.\.\.>$")
_LOOKS = ("sync", "stat", "read", "lseek", "ioctl", "getdents", "flock", "close", "sock", "peer")


@dataclass(frozen=True)
class Call:
    """One system call: ``count``-th of its name in its thread, its arguments as strace shows them."""

    name: str
    count: int
    arguments: str
    failed: bool
    thread: str = ""

    @property
    def changes(self) -> bool:
        """Whether a kill before it leaves something else, here or at the other end, than a kill before the next."""
        is_lookup = self.name == "openat" and "O_CREAT" not in self.arguments
        return not (self.failed or is_lookup or any(word in self.name for word in _LOOKS))

    @property
    def paths(self) -> list[str]:
        """The files it names, by path or by descriptor."""
        named = re.findall(r'"([^"]*)"', self.arguments)
        return named + re.findall(r"(?<!AT_FDCWD)<([^>]*)>", self.arguments)


@dataclass(frozen=True)
class Program:
    """A command, the calls to look at and, for those on files, the paths they must touch."""

    words: Sequence[str]
    paths: Sequence[Path]
    trace: str = CHANGING
    environment: Mapping[str, str] | None = None

    def calls(self, record: Path) -> list[Call]:
        """Runs it; what it did."""
        done = self.run(record, "-y")
        assert done.returncode == 0, (done.returncode, done.stderr)
        return list(_parsed(record.read_text()))

    def killed_at(self, name: str, count: int, record: Path) -> "subprocess.CompletedProcess[str]":
        """Runs it again, killed before that call takes effect."""
        return self.run(record, "-e", f"inject={name}:signal=SIGKILL:when={count}")

    def failed_at(
        self, name: str, count: int, error: str, record: Path
    ) -> "subprocess.CompletedProcess[str]":
        """Runs it again, that call failing and doing nothing."""
        return self.run(record, "-e", f"inject={name}:error={error}:when={count}")

    def run(self, record: Path, *more: str) -> "subprocess.CompletedProcess[str]":
        """Runs it under strace with these options."""
        strace = ["strace", "-f", "-qq", "-s", "0", "-o", str(record)]
        watched = [word for path in self.paths for word in ("-P", str(path))]
        return subprocess.run(
            [*strace, "-e", f"trace={self.trace}", *more, *watched, *self.words],
            check=False,
            timeout=100,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            env=self.environment,
        )


def was_killed(done: "subprocess.CompletedProcess[str]") -> bool:
    """Whether the kill came: strace ends as its program did."""
    return done.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL)


def _parsed(text: str) -> Iterator[Call]:
    counts: collections.Counter[tuple[str, str]] = collections.Counter()
    for line in text.splitlines():
        found = _LINE.match(line) or _UNFINISHED.match(line)
        if found:
            thread, name, arguments = (word or "" for word in found.groups()[:3])
            result = found.groups()[3] if found.re is _LINE else "0"
            counts[thread, name] += 1
            yield Call(name, counts[thread, name], arguments, int(result) < 0, thread)
