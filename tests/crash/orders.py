"""Workload: orders. Each is carried out once for each time it was given, or its outcome says why not."""

import collections
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from crash.give_orders import MESSAGES, STEPS, prepare
from crash.workload import Bench
from fleet_agent.orders.handler_registry import FOLDER
from support.agent import environment

GIVE = Path(__file__).with_name("give_orders.py")


class Orders:
    """Messages and a job of two steps, taken by a program of its own from a cloud on disk."""

    # What it works with besides would be cut off, too.
    sizes = range(0)

    def __init__(self, bench: Bench, writer: str | None = None) -> None:
        self._folder = bench.folder / "orders"
        self._state_dir = self._folder / "state"
        self._cloud = self._folder / "cloud"
        self._writer = writer or "right"

    def prepare(self) -> None:
        """Nothing was taken yet."""
        shutil.rmtree(self._folder, ignore_errors=True)
        prepare(self._cloud)

    def program(self) -> tuple[Sequence[str], Sequence[Path]]:
        """The program, and all that it keeps."""
        orders = self._state_dir / FOLDER
        note = orders / "note-63c6bb53"
        numbers = range(1, len(MESSAGES) + STEPS + 1)
        names = [
            "ids",
            *(
                f"{number:012}{end}"
                for number in numbers
                for end in (".json", ".begun.json", ".ended.json")
            ),
        ]
        files = [note / name for name in names] + [orders / "job.json"]
        files += [path.with_name(f".{path.name}.tmp") for path in files]
        return self._words(self._writer), [self._state_dir, orders, note, *files]

    def environment(self) -> dict[str, str]:
        """With this checkout's agent."""
        return environment({"PYTHONPATH": ":".join(sys.path)})

    def look(self, _said: str) -> None:
        """Nothing was done twice."""
        _look_twice(self._cloud)

    def heal(self) -> None:
        """It comes to its end; what was not done has an outcome that says so."""
        come_to_an_end(self._state_dir, self._cloud)
        reported = (self._cloud / "told").read_text().splitlines()
        stopped = [
            line for line in reported if line.startswith("answer ") and line.endswith(" stopped")
        ]
        missing = [name for name in MESSAGES if name not in _done(self._cloud)]
        assert len(missing) <= len(stopped), f"lost: {missing}, {reported}"

    def _words(self, writer: str) -> list[str]:
        return _words(self._state_dir, self._cloud, writer)


def come_to_an_end(state_dir: Path, cloud: Path) -> None:
    """Has the agent go on: everything is answered, the job is over, nothing is done twice and nothing left.

    Raises:
        AssertionError: It is not so.
    """
    done = subprocess.run(
        _words(state_dir, cloud, "right"),
        env=environment({"PYTHONPATH": ":".join(sys.path)}),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    _look_twice(cloud)
    reported = (cloud / "told").read_text().splitlines()
    answered = {line.split()[1] for line in reported if line.startswith("answer ")}
    assert answered == {*MESSAGES}, f"not all were answered: {reported}"
    (job,) = [line for line in reported if line.startswith("job ")]
    steps = [name for name in _done(cloud) if name.startswith("job:")]
    # A step that had ended, and whose end was not noted, is one of which nothing is known.
    is_interrupted = job.startswith("job FAILED the agent ended while")
    is_whole = job.startswith("job SUCCEEDED") and len(steps) == STEPS
    assert is_whole or is_interrupted, f"{job}, {steps}"
    left = [path.name for path in (state_dir / FOLDER).rglob("*.json")]
    assert not left, f"not forgotten: {left}"


def _look_twice(cloud: Path) -> None:
    twice = [name for name, times in _done(cloud).items() if times > 1]
    assert not twice, f"done twice: {twice}"


def _done(cloud: Path) -> collections.Counter[str]:
    path = cloud / "done"
    return collections.Counter(path.read_text().split() if path.exists() else ())


def _words(state_dir: Path, cloud: Path, writer: str) -> list[str]:
    return [sys.executable, str(GIVE), str(state_dir), str(cloud), writer]
