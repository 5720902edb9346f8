"""The one place that reads time.

Wall-clock seconds (Unix time) are for what is written down and for certificates; monotonic seconds are for waits, so
that a clock stepping during first boot breaks no time-out.
"""

import time
from pathlib import Path
from typing import Protocol

# A device whose clock is before this has none yet: this code did not exist then. Moved forward at each release.
BUILT = 1_793_491_200.0  # 2026-11-01T00:00:00Z

TIMESYNC = Path("/run/systemd/timesync")


class Clock(Protocol):
    """Where time comes from."""

    def wall(self) -> float:
        """Unix time in seconds."""

    def monotonic(self) -> float:
        """Seconds since some fixed moment; never steps."""


class SystemClock:
    """The machine's own clocks."""

    def wall(self) -> float:
        """Unix time in seconds."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds since some fixed moment; never steps."""
        return time.monotonic()


def is_still_unset(now: float, timesync: Path = TIMESYNC) -> bool:
    """Tell whether the clock cannot be believed yet.

    Either it stands before this release was made, or systemd-timesyncd runs here and has not synchronised yet.

    Args:
        now: Unix time in seconds.
        timesync: The folder in which systemd-timesyncd leaves ``synchronized``.
    """
    return now < BUILT or (timesync.is_dir() and not (timesync / "synchronized").exists())


def text(moment: float) -> str:
    """The moment (Unix seconds) as people and JSON read it: ``2026-11-21T09:58:00Z``."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))
