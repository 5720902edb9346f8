"""All virtual devices of this process: a thread each while it has work, sessions that stay, power comes and goes."""

import dataclasses
import heapq
import resource
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from fleet_agent.config.settings import Settings
from fleet_cloud.errors import FleetCloudError
from fleet_cloud.rehearsal.device import Device, Made, RehearsalContext
from fleet_cloud.rehearsal.journal import Journal, Life

# Stack of a thread: a walk needs a tenth of it.
_STACK_BYTES = 512 * 1024
# Who waits for the interpreter asks for it so often: hundreds at every 5 ms took all of the processor. Devices wait for
# the network all the time, and so let others in.
_SWITCH_SECONDS = 0.1
_DESCRIPTORS = 6  # of a device: socket, wake-up, and files while they are written
_SPARE_DESCRIPTORS = 256
_LOOK_SECONDS = 0.5
_END_SECONDS = 30.0  # a request under way has its answer, or none, by then
# Devices read their first contact from the disk; this one is memory.
_MEMORY_DISK = Path("/dev/shm")  # noqa: S108 - a folder of ours is made in it


@dataclasses.dataclass(frozen=True, kw_only=True)
class Start:
    """A device, when it gets power, and when it loses it for how long; seconds of the rehearsal."""

    life: Life
    settings: Settings
    power: float
    cut: float | None = None
    dark: float = 0.0


class Fleet:
    """So many devices, from power-on to the end.

    Args:
        journal: Where everything is noted.
        made: Records what was made in the cloud.
    """

    def __init__(self, journal: Journal, made: Made) -> None:
        began = time.monotonic()
        self._rehearsal = RehearsalContext(
            journal=journal, made=made, now=lambda: time.monotonic() - began, began=began
        )
        self._journal = journal
        self._devices: list[Device] = []
        self._stopping = threading.Event()

    @property
    def now(self) -> float:
        """Seconds since it began."""
        return self._rehearsal.now()

    def run(self, starts: Sequence[Start], limit: float, look: Callable[[], None]) -> None:
        """Gives each its power, until all have an identity or ``limit`` seconds are over.

        Args:
            starts: The devices.
            limit: Seconds.
            look: Called twice a second.
        """
        threading.stack_size(_STACK_BYTES)
        sys.setswitchinterval(_SWITCH_SECONDS)
        waiting = [(start.power, number, start) for number, start in enumerate(starts)]
        heapq.heapify(waiting)
        threads: list[threading.Thread] = []
        before = peak = memory()
        try:
            while self.now < limit and (waiting or any(thread.is_alive() for thread in threads)):
                while waiting and waiting[0][0] <= self.now:
                    _, _, start = heapq.heappop(waiting)
                    thread = threading.Thread(target=self._live, args=(start, limit), daemon=True)
                    thread.start()
                    threads.append(thread)
                look()
                peak = max(peak, memory())
                soonest = waiting[0][0] - self.now if waiting else _LOOK_SECONDS
                time.sleep(max(0.01, min(soonest, _LOOK_SECONDS)))
        finally:
            self._journal.memory = (peak - before) // max(1, len(starts))
            self._journal.ended = self._journal.began + self.now
            self._stopping.set()
            for device in self._devices:
                device.stop()
            for thread in threads:
                thread.join(_END_SECONDS)

    def close(self) -> None:
        """Disconnects all."""
        for device in self._devices:
            device.close()

    def _live(self, start: Start, limit: float) -> None:
        device = Device(start.settings, start.life, self._rehearsal)
        self._devices.append(device)
        start.life.powered = round(self.now, 3)
        until = limit if start.cut is None else min(limit, start.cut)
        if device.live(until) or until == limit:
            return
        start.life.cuts += 1
        self._stopping.wait(start.dark)
        if not self._stopping.is_set():
            device.live(limit)


def allow(devices: int) -> None:
    """Lets this process have as many files and connections open as it takes.

    Raises:
        FleetCloudError: The machine does not.
    """
    wanted = devices * _DESCRIPTORS + _SPARE_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= wanted or soft == resource.RLIM_INFINITY:
        return
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise FleetCloudError(
            f"{devices} devices need {wanted} open files, but a process may have {hard} on this machine",
            remedy="type: ulimit -Hn "
            + str(wanted)
            + "   as root before, or run a part on each of several machines: "
            "--shard",
            code="too-few-descriptors",
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def memory() -> int:
    """Returns the bytes of memory that this process has."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


@contextmanager
def disk() -> Iterator[Path]:
    """Gives a folder for the devices' state, gone afterwards; in memory where that is possible."""
    place = _MEMORY_DISK if _MEMORY_DISK.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="fleet-cloud-rehearsal-", dir=place) as name:
        yield Path(name)
