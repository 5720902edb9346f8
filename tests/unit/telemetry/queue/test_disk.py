"""A disk that is full, fails, or does not answer."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fleet_agent.config.telemetry import Queue as Bounds
from fleet_agent.errors import StateDirectoryError
from fleet_agent.telemetry.queue import Queue
from support.clock import FakeClock
from support.queues import OpenQueue, drained, forget, numbers, reading, send_all, take


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small file system")
def test_a_queue_on_a_full_disk_takes_nothing_and_can_still_be_emptied(
    tmp_path: Path, clock: FakeClock
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=12m", "none", disk], check=False
    ).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        queue = Queue(disk / "q", Bounds(), clock)
        stored: list[int] = []
        with pytest.raises(StateDirectoryError, match="the disk is full"):  # noqa: PT012 - until it is
            for number in range(100_000):
                queue.add([reading(number * 10 + n, size=1000) for n in range(10)])
                stored += range(number * 10, number * 10 + 10)
        assert len(stored) > 2000
        (disk / "others").write_bytes(b"x" * (1 << 20))  # others come near
        sent: list[int] = []
        while queue.topics:
            topic, found = take(queue, 100)
            sent += numbers(found)
            forget(queue, topic, found)
            queue.flush()
        assert sent == stored
        (disk / "others").unlink()
        queue.flush()
        queue.tidy()
        queue.add([reading(1)])
        queue.close()
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_a_queue_on_a_full_disk_takes_what_fits_into_its_file(
    open_queue: OpenQueue, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = open_queue(synchronous="normal")
    queue.add([reading(number, size=6000) for number in range(1000)])
    disk = os.statvfs(path.parent)
    full = os.statvfs_result((*disk[:3], 0, 0, *disk[5:10]))
    monkeypatch.setattr(os, "statvfs", lambda _: full)
    with pytest.raises(StateDirectoryError, match=f"{path} cannot be used: the disk is full"):
        queue.add([reading(1000)])
    send_all(queue)
    queue.add([reading(1000)])
    assert drained(queue) == {"t": [1000]}


def test_a_path_that_cannot_be_looked_up_is_reported(tmp_path: Path, clock: FakeClock) -> None:
    # Any error of the call that looks for it, such as of a failing disk; this one can be had without such.
    with pytest.raises(StateDirectoryError, match=r"cannot be used: .*name too long"):
        Queue(tmp_path / ("q" * 300), Bounds(), clock)


def test_nothing_is_stored_while_the_free_space_is_unknown(
    tmp_path: Path, clock: FakeClock
) -> None:
    folder, away = tmp_path / "state", tmp_path / "away"
    folder.mkdir()
    queue = Queue(folder / "q", Bounds(), clock)
    queue.add([reading(0)])
    folder.rename(away)
    with pytest.raises(StateDirectoryError, match=f"{folder}/q cannot be used: .*No such file"):
        queue.add([reading(1)])
    queue.tidy()
    away.rename(folder)
    queue.add([reading(2)])
    assert list(drained(queue).values()) == [[0, 2]]
    queue.close()


def test_a_failing_disk_loses_no_stored_reading(full_file: Path) -> None:
    """A process that may write no byte any more, and then may again."""
    program = """
import resource, signal, sys
from pathlib import Path
from fleet_agent.clock import SystemClock
from fleet_agent.config.telemetry import Queue as Bounds
from fleet_agent.errors import StateDirectoryError
from fleet_agent.telemetry.queue import Queue
from fleet_agent.telemetry.reading import Reading
import json
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
queue = Queue(Path(sys.argv[1]), Bounds(), SystemClock())
add = lambda n: queue.add([Reading(topic="t", payload=b"%d" % n, time=0.0)])
add(500)
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
reported = []
for number in (501, 502):
    try:
        add(number)
    except StateDirectoryError as error:
        reported.append(error.title)
found = queue.take(queue.topics[0], 1000, 1 << 20)
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
queue.give_back(queue.topics[0] if queue.topics else queue._index.names["t"], found)
places = add(503)
queue.close()
print(json.dumps([reported, len(found), places[0][1]]))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, full_file], capture_output=True, text=True, check=True
    )
    reported, found, sequence = json.loads(done.stdout)
    assert len(reported) == 2
    assert "cannot be used" in reported[0]
    assert (found, sequence) == (501, 501)
    queue = Queue(full_file, Bounds(), FakeClock())
    assert drained(queue)["t"] == [*range(501), 503]
    assert queue.replaced is None
    queue.close()
