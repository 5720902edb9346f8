"""What the guest runs: the agent's commands, and a mark on the disk after each that said it was done.

inside.py START WRITER WORDS…: ``provision`` with these words, then again with ``--force``. A mark is written beside the
file system, from START on and past every cache, so that it stands in the log of the disk after what it speaks of.
"""

import json
import mmap
import os
import subprocess
import sys
from pathlib import Path

DISK = "/dev/vdb"
MARK = b"fleet-agent mark\n"
BLOCK = 4096


class Marks:
    """Writes marks one after the other, from ``start`` bytes on."""

    def __init__(self, start: int) -> None:
        self._at = start
        self._disk = os.open(DISK, os.O_WRONLY | os.O_DIRECT)

    def put(self, **said: object) -> None:
        """Write one; it has left this machine when this returns."""
        block = mmap.mmap(-1, BLOCK)  # O_DIRECT wants aligned memory
        block.write(MARK + json.dumps(said).encode())
        os.pwrite(self._disk, block, self._at)
        self._at += BLOCK


def main() -> int:
    """Run the commands; 0 when all of them did what they should."""
    start, writer, *words = sys.argv[1:]
    marks = Marks(int(start))
    agent = [sys.executable, "-m", "fleet_agent"]
    if writer != "right":
        wrong = Path(__file__).resolve().parent.with_name("wrong_agent.py")
        agent = [sys.executable, str(wrong), writer]
    for more in ([], ["--force"]):
        done = subprocess.run(
            [*agent, "provision", "--json", *words, *more],
            stdout=subprocess.PIPE,
            check=False,
        )
        if done.returncode:
            return done.returncode
        marks.put(provisioned=json.loads(done.stdout)["certificate_id"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
