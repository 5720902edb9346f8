"""Workload: the telemetry queue. What was acknowledged to its sender is there until AWS has it, in order."""

import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from crash.fill_queue import open_queue
from crash.workload import Bench
from fleet_agent.telemetry.queue import NAME
from support.agent import environment

FILL = Path(__file__).with_name("fill_queue.py")


class Readings:
    """Readings stored and sent by a program of its own, which says what it did."""

    sizes = range(0, 120_000, 3989)

    def __init__(self, bench: Bench, writer: str | None = None) -> None:
        self._folder = bench.folder / "queue"
        self._folder.mkdir(exist_ok=True)
        self._state_dir = self._folder / "state"
        self._writer = writer or "right"
        self._said: list[str] = []

    def prepare(self) -> None:
        """No queue yet."""
        shutil.rmtree(self._state_dir, ignore_errors=True)
        self._said = []

    def program(self) -> tuple[Sequence[str], Sequence[Path]]:
        """The program, and what SQLite makes."""
        names = (NAME, f"{NAME}-wal", f"{NAME}-shm", f"{NAME}-journal", f".{NAME}.tmp")
        return self._words("1"), [self._state_dir, *(self._state_dir / name for name in names)]

    def environment(self) -> dict[str, str]:
        """With this checkout's agent."""
        return environment({"PYTHONPATH": ":".join(sys.path)})

    def look(self, said: str) -> None:
        """Nothing acknowledged is missing, and each topic is in order."""
        self._said += said.splitlines()
        if self._state_dir.exists():
            look_at_readings(self._state_dir, self._said)

    def heal(self) -> None:
        """The program runs to its end beside what is there."""
        done = subprocess.run(
            self._words("2"),
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        self.look(done.stdout)

    def _words(self, run: str) -> list[str]:
        return [sys.executable, str(FILL), str(self._state_dir), run, self._writer]


def look_at_readings(state_dir: Path, said: Iterable[str]) -> None:
    """Opens the queue: it has what was said to be stored and not said to be sent, in order, and was never damaged.

    Args:
        state_dir: Where it lies.
        said: Lines of ``stored TOPIC PAYLOAD`` and ``sent TOPIC PAYLOAD``.
    """
    words = [line.split() for line in said]
    sent = {(topic, payload) for what, topic, payload in words if what == "sent"}
    wanted = {(topic, payload) for what, topic, payload in words if what == "stored"} - sent
    queue = open_queue(state_dir)
    try:
        assert queue.replaced is None, "the queue was damaged"
        found = {}
        for topic in queue.topics:
            stored = [each.payload.decode() for each in queue.take(topic, 10_000, 1 << 30)]
            assert stored == sorted(stored), f"out of order: {stored}"
            found[topic.name] = stored
    finally:
        queue.close()
    missing = [(topic, each) for topic, each in sorted(wanted) if each not in found.get(topic, ())]
    assert not missing, f"acknowledged and lost: {missing}"
