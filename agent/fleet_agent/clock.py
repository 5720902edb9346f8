"""The one place that reads time, and draws chance for waits.

Wall-clock seconds (Unix time) are for what is written down and for certificates; monotonic seconds are for waits, so
that a clock stepping during first boot breaks no time-out.
"""

import contextlib
import math
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from fleet_agent.record import record

# A device whose clock is before this has none yet: this code did not exist then. Moved forward at each release.
BUILT = 1_793_491_200.0  # 2026-11-01T00:00:00Z

# So long after the release, a clock that is not synchronised is wrong rather than the software old.
FAR = 10 * 365.25 * 86_400.0

# Seconds that a doubtful clock is waited for; then it is tried with it all the same, for it may never be synchronised.
UNVOUCHED_LIMIT = 60.0  # time servers answer within that, or they cannot be reached from here
FAR_LIMIT = 3600.0

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

TIMESYNC = Path("/run/systemd/timesync")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@record
class Uptime:
    """A boot and the seconds in it, stored beside a wall time so that setting the clock does not age it."""

    boot: str
    monotonic: float


class Clock(Protocol):
    """The source of time."""

    def wall(self) -> float:
        """Unix time in seconds."""

    def monotonic(self) -> float:
        """Seconds since some fixed moment; never steps."""

    def boot(self) -> str:
        """The id of the boot that ``monotonic`` counts from."""

    def is_synchronised(self) -> bool | None:
        """Whether ``wall`` is synchronised; None where that cannot be known."""


class SystemClock:
    """The machine's own clocks.

    Args:
        timesync: The folder in which systemd-timesyncd leaves ``synchronized``.
    """

    def __init__(self, timesync: Path = TIMESYNC) -> None:
        self._timesync = timesync

    def wall(self) -> float:
        """Unix time in seconds."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds since some fixed moment; never steps."""
        return time.monotonic()

    def boot(self) -> str:
        """The kernel's id of this boot; where it cannot be read, one of this process's own."""
        with contextlib.suppress(OSError):
            return BOOT_ID.read_text().strip()
        return f"process {os.getpid()} at {time.time_ns()}"

    def is_synchronised(self) -> bool | None:
        """Whether systemd-timesyncd has set the clock; None where it does not run."""
        if not self._timesync.is_dir():
            return None
        return (self._timesync / "synchronized").exists()


def patience(now: float, is_synchronised: bool | None) -> float:
    """Seconds worth waiting for a better clock before anything that depends on it; 0 when it can be believed.

    Args:
        now: Unix time in seconds.
        is_synchronised: As ``Clock.is_synchronised`` says.
    """
    if now < BUILT:
        return math.inf
    if is_synchronised:
        return 0.0
    if now > BUILT + FAR:
        return FAR_LIMIT
    return 0.0 if is_synchronised is None else UNVOUCHED_LIMIT


def uptime(clock: Clock) -> Uptime:
    """Returns what to keep beside ``clock.wall()``."""
    return Uptime(boot=clock.boot(), monotonic=clock.monotonic())


def passed(wall: float, since: Uptime | None, clock: Clock) -> float:
    """Seconds since then; below 0 only where the wall clock alone is known and has stepped back.

    Within one boot the clock that never steps is used. Between two boots the wall clock does where it can be believed,
    and at least this boot has passed.

    Args:
        wall: Unix seconds.
        since: What was kept beside it; None of an older version's.
        clock: The machine's.
    """
    if since is None:
        return clock.wall() - wall
    if since.boot == clock.boot():
        return clock.monotonic() - since.monotonic
    return max(clock.monotonic(), 0.0 if is_doubtful(clock) else clock.wall() - wall)


def is_doubtful(clock: Clock) -> bool:
    """Whether a certificate that looks out of date may be the clock's fault."""
    return patience(clock.wall(), clock.is_synchronised()) > 0


def text(moment: float) -> str:
    """The moment (Unix seconds) as people and JSON read it: ``2026-11-21T09:58:00Z``."""
    # Not by gmtime: where time_t has 32 bits, as on 32-bit ARM with Debian 12, it ends in 2038; certificates end later.
    return f"{_EPOCH + timedelta(seconds=int(moment)):%Y-%m-%dT%H:%M:%SZ}"


def jitter() -> float:
    """A random number in [0, 1), without the module ``random`` and what it imports."""
    return int.from_bytes(os.urandom(6)) / 2**48
