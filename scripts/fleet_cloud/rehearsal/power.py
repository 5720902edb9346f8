"""When devices get power: all at once, street by street, or at random moments of a while. Pure."""

import dataclasses

STREETS = 20  # that a rolling start goes through
BOOT = 5.0  # seconds over which devices of one make differ in booting


@dataclasses.dataclass(frozen=True, kw_only=True)
class PowerOn:
    """Power for ``streets`` parts of the fleet, one by one; in each at random moments of ``window`` seconds."""

    window: float = 0.0
    streets: int = 1

    def moment(self, number: int, bound: float, jitter: float) -> float:
        """Returns at which second a device gets power.

        Args:
            number: The device's, from 0.
            bound: Seconds in which all streets get it.
            jitter: In [0, 1).
        """
        return bound * (number % self.streets) / self.streets + self.window * jitter


AT_ONCE = PowerOn()
BOOTING = PowerOn(window=BOOT)
ROLLING = PowerOn(window=BOOT, streets=STREETS)


@dataclasses.dataclass(frozen=True)
class Cut:
    """A part of the fleet, every ``of``-th device from ``first``, has no power for so many seconds."""

    at: float
    seconds: float
    first: int = 0
    of: int = 1
