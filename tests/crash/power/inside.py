"""What the guest runs: the agent's commands, and a mark on the disk after each that said it was done.

inside.py START WRITER WORDS…: ``provision`` with these words, then again with ``--force``, then the queue is filled and
orders are carried out. A mark is written beside the file system, from START on and past every cache, so that it stands
in the log of the disk after what it speaks of.
"""

import json
import mmap
import os
import subprocess
import sys
from pathlib import Path

CRASH = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(CRASH.parent))

from crash import give_orders  # noqa: E402
from crash.fill_queue import fill  # noqa: E402
from crash.wrong_agent import WRITERS  # noqa: E402

DISK = "/dev/vdb"
MARK = b"fleet-agent mark\n"
BLOCK = 4096


class Marks:
    """Writes marks one after the other, from ``start`` bytes on."""

    def __init__(self, start: int) -> None:
        self._at = start
        self._disk = os.open(DISK, os.O_WRONLY | os.O_DIRECT)

    def put(self, **said: object) -> None:
        """Writes one; it has left this machine when this returns."""
        block = mmap.mmap(-1, BLOCK)  # O_DIRECT wants aligned memory
        block.write(MARK + json.dumps(said).encode())
        os.pwrite(self._disk, block, self._at)
        self._at += BLOCK


def main() -> int:
    """Runs the commands; 0 when all of them did what they should."""
    start, writer, *words = sys.argv[1:]
    marks = Marks(int(start))
    agent = [sys.executable, "-m", "fleet_agent"]
    if writer in WRITERS:
        agent = [sys.executable, str(CRASH / "wrong_agent.py"), writer]
    for more in ([], ["--force"]):
        done = subprocess.run(
            [*agent, "provision", "--json", *words, *more],
            stdout=subprocess.PIPE,
            check=False,
        )
        if done.returncode:
            return done.returncode
        marks.put(provisioned=json.loads(done.stdout)["certificate_id"])
    state_dir = Path(words[words.index("--state-dir") + 1])
    for run in ("1", "2"):
        fill(state_dir, run, lambda *said: marks.put(reading=" ".join(said)), writer)
    _take_orders(state_dir, marks, writer)
    return 0


def _take_orders(state_dir: Path, marks: Marks, writer: str) -> None:
    """Carries some out; after each change of what the cloud has, and of what was done, all of it is a mark."""
    if writer in WRITERS:
        WRITERS[writer]()
    # The cloud is not part of this machine: nothing of it is on its disk.
    folder = Path("/run/cloud")
    give_orders.prepare(folder)

    last: dict[str, str] = {}

    def mark() -> None:
        found = {path.name: path.read_text() for path in folder.iterdir()}
        if found != last:
            last.clear()
            last.update(found)
            marks.put(cloud=found)

    mark()
    give_orders.give(state_dir, give_orders.Cloud(folder, mark), writer)


if __name__ == "__main__":
    sys.exit(main())
