"""The device itself: uptime, load, cpu, memory, disk, temperature, network traffic; from /proc, /sys and statvfs.

What cannot be read here (a container without /sys, ``ProcSubset=pid`` in the unit) is left out of the reading.
"""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from fleet_agent.config.readings import SystemSource
from fleet_agent.telemetry.reading import Value, timed
from fleet_agent.telemetry.sources.feed import Feed

# Columns of the first line of /proc/stat, after its name: what no processor was busy with, and how many count.
_IDLE, _WAITING, _COLUMNS = 3, 4, 8


class Cpu:
    """The load of all processors between two samples."""

    def __init__(self) -> None:
        self._before: tuple[int, int] | None = None

    def look(self, stat: str) -> dict[str, Value]:
        """``cpu_percent`` since the last look, of 100 for all processors; nothing the first time.

        Args:
            stat: The content of /proc/stat.
        """
        # Later columns, of guests, are counted in the first ones already.
        ticks = [int(word) for word in stat.split(None, 1 + _COLUMNS)[1 : 1 + _COLUMNS]]
        total, idle = sum(ticks), ticks[_IDLE] + ticks[_WAITING]
        before, self._before = self._before, (total, idle)
        if before is None or total <= before[0]:
            return {}
        idle_part = (idle - before[1]) / (total - before[0])
        return {"cpu_percent": round(100 * min(1.0, max(0.0, 1 - idle_part)), 1)}


class System:
    """Reads the device at an interval."""

    def __init__(self, settings: SystemSource, feed: Feed, disk: Path) -> None:
        self.name = feed.name
        self._interval = settings.interval
        self._feed = feed
        self._disk = disk
        self._cpu = Cpu()
        self.due = feed.clock.monotonic()

    def act(self) -> None:
        """Takes a reading. After a suspend or a stall: the next one from now, no burst of the missed ones."""
        self.due = max(self.due + self._interval, self._feed.clock.monotonic())
        values = read(self._disk, cpu=self._cpu)
        self._feed.put(timed(self._feed.clock.wall(), values))

    def close(self) -> None:
        """Does nothing: there is nothing to release."""


def read(disk: Path, root: Path = Path("/"), cpu: Cpu | None = None) -> dict[str, Value]:
    """Takes a reading.

    Args:
        disk: A path on the file system to report on.
        root: Where proc and sys are; a test's own tree.
        cpu: Has seen the last reading, for ``cpu_percent``.

    Returns:
        ``uptime_s``, ``load_1m``, ``cpu_percent``, ``memory_total_bytes``, ``memory_available_bytes``,
        ``disk_total_bytes``, ``disk_available_bytes``, ``temperature_c``, ``network_received_bytes``,
        ``network_sent_bytes``: those that can be read.
    """
    parts: tuple[Callable[[], dict[str, Value]], ...] = (
        lambda: {"uptime_s": float((root / "proc/uptime").read_text().split()[0])},
        lambda: {"load_1m": float((root / "proc/loadavg").read_text().split()[0])},
        lambda: cpu.look((root / "proc/stat").read_text()) if cpu else {},
        lambda: _memory((root / "proc/meminfo").read_text()),
        lambda: _disk(disk),
        lambda: _temperature(root / "sys/class/thermal"),
        lambda: _network((root / "proc/net/dev").read_text(), root / "sys/class/net"),
    )
    values: dict[str, Value] = {}
    for part in parts:
        try:
            values |= part()
        except (OSError, ValueError, IndexError, KeyError):
            continue
    return values


def _memory(meminfo: str) -> dict[str, Value]:
    kilobytes = {
        name: int(rest.split()[0])
        for name, _, rest in (line.partition(":") for line in meminfo.splitlines())
    }
    return {
        "memory_total_bytes": kilobytes["MemTotal"] * 1024,
        "memory_available_bytes": kilobytes["MemAvailable"] * 1024,
    }


def _disk(path: Path) -> dict[str, Value]:
    space = os.statvfs(path)
    return {
        "disk_total_bytes": space.f_blocks * space.f_frsize,
        "disk_available_bytes": space.f_bavail * space.f_frsize,
    }


def _temperature(zones: Path) -> dict[str, Value]:
    """The hottest zone: what throttles a board. The files hold thousandths of a degree Celsius."""
    found = []
    for path in zones.glob("thermal_zone*/temp"):
        with contextlib.suppress(OSError, ValueError):  # a radio that is off gives ENODATA
            found.append(int(path.read_text()) / 1000)
    return {"temperature_c": round(max(found), 1)} if found else {}


def _network(dev: str, interfaces: Path) -> dict[str, Value]:
    """Traffic since the start, of what has hardware behind it; of all but the loopback where nothing has.

    Bridges and tunnels carry again what an interface with hardware carries.
    """
    traffic = {}
    for line in dev.splitlines()[2:]:
        name, _, columns = line.partition(":")
        received, sent = (int(columns.split()[index]) for index in (0, 8))
        traffic[name.strip()] = received, sent
    traffic.pop("lo", None)
    real = [name for name in traffic if (interfaces / name / "device").exists()]
    counted = [traffic[name] for name in real or traffic]
    if not counted:
        return {}
    return {
        "network_received_bytes": sum(received for received, _ in counted),
        "network_sent_bytes": sum(sent for _, sent in counted),
    }
