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

from benchmarks.running import SIZE, Running, send

from support.mosquitto import Mosquitto
from support.provisioned import Device

CARD = 8e9  # bytes
CYCLES = 1000  # that its cells take
AMPLIFICATION = 4  # bytes that the card writes for each that it is given
YEAR = 365.25 * 86_400

_IMAGE = 256 << 20  # bytes
# Readings until the queue's log has its full size, and how many a second then: more than wait for a commit.
_LOG_FULL, _FAST = 20_000, 5000


@dataclasses.dataclass(frozen=True)
class Way:
    """Readings a second, and how they are committed."""

    rate: int
    synchronous: str
    commit_delay: str = "0s"


WAYS = (
    Way(1, "full"),
    Way(1, "normal"),
    Way(1, "full", "1m"),
    Way(10, "full"),
    Way(10, "normal"),
    Way(1000, "full", "1s"),
)


def measure(broker: Mosquitto, devices: list[Device], seconds: float) -> None:
    """Print bytes a reading and years of a card for each way; all at the same time."""
    print(
        f"readings of {SIZE} bytes for {seconds:.0f} s; years of a card of {CARD / 1e9:.0f} GB, {CYCLES} cycles, "
        f"write amplification {AMPLIFICATION}"
    )
    with concurrent.futures.ThreadPoolExecutor(len(WAYS)) as pool:
        found = pool.map(lambda way, device: _run(broker, device, way, seconds), WAYS, devices)
        for way, (written, what) in zip(WAYS, found, strict=True):
            years = CARD * CYCLES / AMPLIFICATION / (written * way.rate) / YEAR
            delay = f", commit_delay {way.commit_delay}" if way.commit_delay != "0s" else ""
            print(
                f"  {way.rate:5}/s, synchronous {way.synchronous + delay:26} {written:7.0f} B a reading {what}"
                f"  {years:6.1f} years",
                flush=True,
            )


def _run(broker: Mosquitto, device: Device, way: Way, seconds: float) -> tuple[float, str]:
    with _card(device.state_dir) as counter:
        queue = {"synchronous": way.synchronous, "commit_delay": way.commit_delay}
        running = Running(
            broker, device, {"queue": queue, "limits": {"publishes": 0, "bytes": "0B"}}
        )
        try:
            send(running.socket, _LOG_FULL, SIZE, _FAST)
            before = running.written() if counter is None else _sectors(counter, device)
            count = int(way.rate * seconds)
            send(running.socket, count, SIZE, way.rate)
            after = running.written() if counter is None else _sectors(counter, device)
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
    place.mkdir()
    device = _do("losetup", "--find", "--show", str(image)).strip()
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
