"""A process that is killed while it uses the queue."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

from fleet_agent.telemetry.queue import Queue
from support.clock import FakeClock
from support.queues import BOUNDS, drained

_CHILD = """
import sys
import tempfile
from collections import Counter
from pathlib import Path
from fleet_agent.clock import SystemClock
from fleet_agent.config.telemetry import Queue as Bounds
from fleet_agent.telemetry.queue import Queue
from fleet_agent.telemetry.reading import Reading
queue = Queue(Path(sys.argv[1]), Bounds(synchronous="normal"), SystemClock())
number = int(sys.argv[2])
while True:
    count = 1 + number % 7
    queue.add([Reading(topic=f"t{n % 3}", payload=b"%d" % n, time=0.0) for n in range(number, number + count)])
    print("+", number, count, flush=True)
    number += count
    topic = queue.topics[0]
    found = queue.take(topic, 5, 1000)
    print("-", *(int(one.payload) for one in found), flush=True)
    for one in found:
        queue.forget(topic, [one])
    if number % 5 == 0:
        queue.flush()
"""


def test_stored_readings_survive_kill_9(path: Path, clock: FakeClock) -> None:
    stored: set[int] = set()
    sent: set[int] = set()
    chance = random.Random(int(os.environ["CRASH_SEED"]))
    start = 0
    for _ in range(12):
        child = subprocess.Popen(
            [sys.executable, "-c", _CHILD, path, str(start)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout
        lines = [child.stdout.readline() for _ in range(chance.randrange(2, 120))]
        assert all(lines), "it ended by itself"
        child.send_signal(signal.SIGKILL)
        lines += child.stdout.readlines()
        child.stdout.close()
        child.wait()
        for line in lines:
            if not line.endswith("\n"):
                continue  # killed while it wrote
            what, *words = line.split()
            if what == "+":
                first, count = map(int, words)
                stored |= set(range(first, first + count))
                start = first + count
            else:
                sent |= set(map(int, words))
        start += 10  # one more add may have happened that was not reported
        queue = Queue(path, BOUNDS, clock)
        found = drained(queue)
        queue.close()
        there = {item for each in found.values() for item in each}
        assert stored - sent <= there, sorted(stored - sent - there)
        assert all(each == sorted(each) for each in found.values())
