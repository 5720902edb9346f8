"""Bytes that reach a card at a few readings a second, and how long a card lasts.

As root each agent's state lies on an ext4 of its own, on a loop device whose counter is read: with the journal, folders
and all. Else what the process dirtied is counted.
"""

import concurrent.futures
import contextlib
import dataclasses
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.running import SIZE, Running, payloads, send

from support.mosquitto import Mosquitto
from support.provisioned import Device

CARD = 8e9  # bytes
CYCLES = 1000  # that its cells take
AMPLIFICATION = 4  # bytes that the card writes for each that it is given
YEAR = 365.25 * 86_400

_IMAGE = 256 << 20  # bytes
# Readings until the queue's log has its full size, and how many a second then: more than wait for a commit.
_LOG_FULL, _FAST = 20_000, 5000
_COMMITS = 10  # that are measured at least


@dataclasses.dataclass(frozen=True)
class Way:
    """Readings a second, how they are committed, with how many seconds of delay; the aim."""

    rate: int
    synchronous: str
    delay: int = 0
    aim: str = ""

    def seconds(self, wanted: float) -> float:
        """How long it is measured."""
        return max(wanted, _COMMITS * self.delay)


WAYS = (
    Way(1, "full"),
    Way(1, "normal"),
    Way(1, "full", 60),
    Way(10, "full"),
    Way(10, "normal"),
    Way(1000, "full"),
    Way(1000, "full", 1, "  <= 1.30 of its size"),
)


def measure(broker: Mosquitto, devices: list[Device], seconds: float) -> None:
    """Print bytes a reading and years of a card for each way; all at the same time."""
    try:
        with _card(devices[0].state_dir):
            pass
    except (OSError, subprocess.CalledProcessError) as error:
        why = str(getattr(error, "stderr", None) or error).strip()
        print(f"skipped: no file system of its own can be made for the queue: {why}")
        return
    longest = max(way.seconds(seconds) for way in WAYS)
    print(
        f"readings of {SIZE} bytes for {seconds:.0f} to {longest:.0f} s; years of a card of {CARD / 1e9:.0f} GB, "
        f"{CYCLES} cycles, write amplification {AMPLIFICATION}",
        flush=True,
    )
    with concurrent.futures.ThreadPoolExecutor(len(WAYS)) as pool:
        found = pool.map(lambda way, device: _run(broker, device, way, seconds), WAYS, devices)
        for way, (written, what) in zip(WAYS, found, strict=True):
            years = CARD * CYCLES / AMPLIFICATION / (written * way.rate) / YEAR
            delay = f", commit_delay {way.delay}s" if way.delay else ""
            print(
                f"  {way.rate:5}/s, synchronous {way.synchronous + delay:26} {written:7.0f} B a reading {what}"
                f" ({written / SIZE:5.2f} of its size)  {years:6.1f} years{way.aim}",
                flush=True,
            )


def _run(broker: Mosquitto, device: Device, way: Way, seconds: float) -> tuple[float, str]:
    given = payloads(SIZE)
    with _card(device.state_dir) as counter:
        queue = {"synchronous": way.synchronous, "commit_delay": f"{way.delay}s"}
        running = Running(
            broker, device, {"queue": queue, "limits": {"publishes": 0, "bytes": "0B"}}
        )

        def written() -> int:
            return running.used.written() if counter is None else _sectors(counter, device)

        try:
            send(running.socket, _LOG_FULL, given, _FAST)
            # These are deleted with the next commit, which is not measured; of what is, the last is not deleted.
            send(running.socket, max(2, way.rate * way.delay), given, way.rate)
            before = written()
            count = int(way.rate * way.seconds(seconds))
            send(running.socket, count, given, way.rate)
            after = written()
        finally:
            running.end()
    return (after - before) / count, "dirtied" if counter is None else "on the device"


@contextlib.contextmanager
def _card(folder: Path) -> Iterator[Path | None]:
    """Have a folder on a file system of its own; its device's counters, None where that is not to be had."""
    if os.geteuid() != 0:
        yield None
        return
    image, place = folder.with_suffix(".img"), folder.with_suffix(".card")
    with image.open("wb") as file:
        file.truncate(_IMAGE)
    eager = "lazy_itable_init=0,lazy_journal_init=0"
    _do("mkfs.ext4", "-q", "-F", "-b", "4096", "-E", eager, str(image))
    device = _do("losetup", "--find", "--show", str(image)).strip()
    place.mkdir()
    try:
        _do("mount", device, str(place))
        _do("cp", "-a", str(folder), str(place / "state"))
        _do("mount", "--bind", str(place / "state"), str(folder))
        try:
            time.sleep(1)
            yield Path("/sys/block") / Path(device).name / "stat"
        finally:
            _do("umount", str(folder))
            _do("umount", str(place))
    finally:
        _do("losetup", "--detach", device)
        image.unlink()
        place.rmdir()


def _sectors(counter: Path, device: Device) -> int:
    """Bytes that the card was given so far, and all that waits to be written."""
    _do("sync", "--file-system", str(device.state_dir))
    return int(counter.read_text().split()[6]) * 512


def _do(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout
