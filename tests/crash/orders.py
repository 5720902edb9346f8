"""Workload: orders. Each is carried out once for each time it was given, or its outcome says why not."""

import collections
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from crash.workload import Bench
from fleet_agent.orders.roster import FOLDER
from support.agent import environment

GIVE = Path(__file__).with_name("give_orders.py")
MESSAGES = ("0", "1", "2", "3")
STEPS = 2
JOB = {
    "version": "1.0",
    "steps": [{"action": {"name": "s", "type": "runHandler", "input": {"handler": "note"}}}]
    * STEPS,
}


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
        self._cloud.mkdir(parents=True)
        (self._cloud / "sent").write_text("".join(f"{name}\n" for name in MESSAGES))
        job = {"status": "QUEUED", "version": 1, "document": JOB}
        (self._cloud / "job.json").write_text(json.dumps(job))

    def program(self) -> tuple[Sequence[str], Sequence[Path]]:
        """The program, and all that it keeps."""
        orders = self._state_dir / FOLDER
        note = orders / "note-63c6bb53"
        numbers = range(1, len(MESSAGES) + STEPS + 1)
        names = [
            "ids",
            *(
                f"{one:012}{end}"
                for one in numbers
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
        twice = [name for name, times in self._done().items() if times > 1]
        assert not twice, f"done twice: {twice}"

    def heal(self) -> None:
        """It comes to its end; what was not done has an outcome that says so."""
        done = subprocess.run(
            self._words("right"),
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        self.look("")
        told = (self._cloud / "told").read_text().splitlines()
        answers = [line for line in told if line.startswith("answer ")]
        assert len(answers) >= len(MESSAGES), f"not all were answered: {told}"
        missing = [name for name in MESSAGES if name not in self._done()]
        assert len(missing) <= answers.count("answer stopped"), f"lost: {missing}, {told}"
        (job,) = [line for line in told if line.startswith("job ")]
        steps = [name for name in self._done() if name.startswith("job:")]
        # A step that had ended, and whose end was not noted, is one of which nothing is known.
        is_interrupted = job.startswith("job FAILED the agent ended while")
        is_whole = job.startswith("job SUCCEEDED") and len(steps) == STEPS
        assert is_whole or is_interrupted, f"{job}, {steps}"
        left = [path.name for path in (self._state_dir / FOLDER).rglob("*.json")]
        assert not left, f"not forgotten: {left}"

    def _done(self) -> collections.Counter[str]:
        path = self._cloud / "done"
        return collections.Counter(path.read_text().split() if path.exists() else ())

    def _words(self, writer: str) -> list[str]:
        return [sys.executable, str(GIVE), str(self._state_dir), str(self._cloud), writer]
