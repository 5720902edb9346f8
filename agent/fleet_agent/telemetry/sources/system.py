"""The device itself: uptime, load, memory, disk, temperature, from /proc, /sys and statvfs.

What cannot be read here (a container without /sys, ``ProcSubset=pid`` in the unit) is left out of the reading.
"""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from fleet_agent.telemetry.reading import Value


def read(disk: Path, root: Path = Path("/")) -> dict[str, Value]:
    """Take a reading.

    Args:
        disk: A path on the file system to report on.
        root: Where proc and sys are; a test's own tree.

    Returns:
        ``uptime_s``, ``load_1m``, ``memory_total_bytes``, ``memory_available_bytes``, ``disk_total_bytes``,
        ``disk_available_bytes``, ``temperature_c``: those that can be read.
    """
    parts: tuple[Callable[[], dict[str, Value]], ...] = (
        lambda: {"uptime_s": float((root / "proc/uptime").read_text().split()[0])},
        lambda: {"load_1m": float((root / "proc/loadavg").read_text().split()[0])},
        lambda: _memory((root / "proc/meminfo").read_text()),
        lambda: _disk(disk),
        lambda: _temperature(root / "sys/class/thermal"),
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
