"""A clock that stands still until a test moves it; and one that goes, and leaps."""

from fleet_agent.clock import SystemClock

HOUR, DAY = 3600.0, 86400.0


class FakeClock:
    """Wall and monotonic time in seconds, as the test sets them."""

    def __init__(self, now: float = 1.8e9) -> None:
        self.now = now
        self.passed = 100.0
        self.synchronised: bool | None = None
        self.boot_id = "boot-1"

    def wall(self) -> float:
        """Unix time."""
        return self.now

    def monotonic(self) -> float:
        """Never steps."""
        return self.passed

    def boot(self) -> str:
        """Of the machine."""
        return self.boot_id

    def is_synchronised(self) -> bool | None:
        """Whether somebody vouches for ``wall``."""
        return self.synchronised

    def reboot(self) -> None:
        """The machine starts again; the wall clock stays as it is."""
        self.boot_id += "+"
        self.passed = 5.0

    def go(self, seconds: float) -> None:
        """Lets time pass."""
        self.now += seconds
        self.passed += seconds


class WorkingClock(FakeClock):
    """On which all that is done takes its time."""

    def monotonic(self) -> float:
        self.passed += 0.01
        return self.passed


class LeapingClock(SystemClock):
    """The machine's own, which a test has leap ahead: what takes its time goes on, and nobody waits for a limit."""

    def __init__(self) -> None:
        super().__init__()
        self._ahead = 0.0

    def wall(self) -> float:
        """Unix time."""
        return super().wall() + self._ahead

    def monotonic(self) -> float:
        """Never steps back."""
        return super().monotonic() + self._ahead

    def go(self, seconds: float) -> None:
        """Lets time pass."""
        self._ahead += seconds
