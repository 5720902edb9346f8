"""A follower in a process of its own, killed at any moment while the file grows and is rotated."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from fleet_agent.config.readings import FileSource
from fleet_agent.telemetry.sources import file as files
from fleet_agent.telemetry.sources.file import File
from support.reserved import NOTHING_OWN
from support.sources import Bench

KILLS = 6
LIMIT = 60.0  # seconds


def follow(folder: Path) -> None:
    """In the child: what is stored is written to ``stored`` before the source hears of it."""
    files.POLL, files.QUIET, files.SAVE_EVERY = 0.005, 0.1, 0.01
    bench = Bench(folder)
    settings = FileSource(path=str(folder / "x.log"), name="x")
    bench.sources = [File(settings, bench.feed("x"), bench.state_dir, NOTHING_OWN)]
    done = os.open(folder / "stored", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    sys.stdout.write("following\n")
    sys.stdout.flush()
    while True:
        bench.turn(lambda: bench.intake.waiting)
        os.write(done, b"".join(reading.payload + b"\n" for reading, _ in bench.intake.waiting))
        bench.intake.commit()


def rotate(log: Path, by_copy: bool) -> None:
    old = log.with_name("x.log.1")
    if old.exists():
        old.rename(log.with_name("x.log.2"))
    if by_copy:
        shutil.copy(log, old)
        os.truncate(log, 0)
    else:
        log.rename(old)
        log.touch()


def test_no_line_is_lost_and_their_order_is_kept(tmp_path: Path) -> None:
    log, stored = tmp_path / "x.log", tmp_path / "stored"
    log.touch()
    count = 0
    seen: list[int] = []
    for kill in range(KILLS):
        argv = [sys.executable, __file__, str(tmp_path)]
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        with subprocess.Popen(argv, stdout=subprocess.PIPE, env=env) as process:
            assert process.stdout is not None
            assert process.stdout.readline()
            for _ in range(3):
                with log.open("a") as file:
                    file.writelines(f"{number}\n" for number in range(count, count + 300))
                count += 300
                time.sleep(random.uniform(0, 0.2))
            if kill == KILLS - 1:
                break_at = time.monotonic() + LIMIT
                while not seen or seen[-1] != count - 1:
                    assert time.monotonic() < break_at
                    time.sleep(0.02)
                    seen = [int(line) for line in stored.read_text().split()]
            process.send_signal(signal.SIGKILL)
        # A file is rotated at most once between two starts, as when the agent is away for less than a day.
        rotate(log, by_copy=kill % 2 == 1)
    first_times = list(dict.fromkeys(seen))
    assert first_times == list(range(count))


if __name__ == "__main__":
    follow(Path(sys.argv[1]))
