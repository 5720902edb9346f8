"""What to rehearse: how many devices, when they get power, under which quota, and which part runs here. Pure."""

import dataclasses
import math
import re
from collections.abc import Sequence

from fleet_cloud.aws import times
from fleet_cloud.errors import UsageError
from fleet_cloud.fleet import spread
from fleet_cloud.rehearsal.outlook import CUT, DARK, HALF, WORDS, Rehearsed
from fleet_cloud.rehearsal.power import AT_ONCE, ROLLING, PowerOn

MOST = 100_000  # devices of one rehearsal
_POWER = {"at-once": AT_ONCE, "rolling": ROLLING}
_PREFIX = re.compile(r"[0-9A-Za-z_-]{1,64}")
_SHARD = re.compile(r"([0-9]{1,4})/([0-9]{1,4})")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scenario:
    """What to rehearse.

    Args:
        devices: Of all parts together.
        power_on: The value of the flag.
        quota: Registrations a second that the account allows.
        spread: Seconds in which devices make their first contact.
        limit: Seconds after which it ends.
        tries: Variations, of ``outlook.WORDS``.
        shard: Which part of how many parts runs here.
        prefix: What serial numbers begin with.
    """

    devices: int
    power_on: str
    quota: float
    spread: float
    limit: float
    tries: Sequence[str]
    shard: tuple[int, int]
    prefix: str

    @property
    def power(self) -> PowerOn:
        """When devices get power."""
        known = _POWER.get(self.power_on)
        return known or PowerOn(window=float(times.seconds(self.power_on) or 0))

    @property
    def effective_quota(self) -> float:
        """The quota in force."""
        return self.quota / 2 if HALF in self.tries else self.quota

    @property
    def bound(self) -> float:
        """Seconds that the quota itself needs."""
        return self.devices / self.effective_quota

    @property
    def numbers(self) -> Sequence[int]:
        """The devices that run here."""
        part, parts = self.shard
        return range(part - 1, self.devices, parts)

    @property
    def rehearsed(self) -> Rehearsed:
        """The same for a simulation."""
        return Rehearsed(
            devices=self.devices,
            quota=self.effective_quota,
            spread=self.spread,
            power=self.power,
        )

    @property
    def words(self) -> str:
        """What it is, for people."""
        window = spread.duration(round(self.spread))
        parts = [
            f"{self.devices:,} devices, power {self.power_on.replace('-', ' ')}",
            f"first contacts spread over {window}" if self.spread else "no spread",
            f"{self.effective_quota:g} registrations a second",
            *(WORDS[variation] for variation in self.tries),
        ]
        return ", ".join(parts)

    def data(self) -> dict[str, object]:
        """Returns it for the report."""
        part, parts = self.shard
        return {
            "devices": self.devices,
            "power_on": self.power_on,
            "quota": self.effective_quota,
            "spread": self.spread,
            "tries": sorted(self.tries),
            "shard": f"{part}/{parts}" if parts > 1 else None,
            "words": self.words,
        }

    def cut(self, number: int) -> tuple[float | None, float]:
        """Returns when a device loses its power, if it does, and for how many seconds."""
        if CUT not in self.tries or number % 10:
            return None, 0.0
        return self.bound / 2, DARK * self.bound


def check(scenario: Scenario) -> None:
    """Checks what was given.

    Raises:
        UsageError: It is not valid.
    """
    if not 1 <= scenario.devices <= MOST:
        raise UsageError(f"--devices {scenario.devices}", remedy=f"pass a number from 1 to {MOST}")
    if not scenario.quota > 0 or math.isinf(scenario.quota):
        raise UsageError(f"--quota {scenario.quota} is not a rate", remedy="such as --quota 10")
    if not scenario.limit > 0 or math.isinf(scenario.limit):
        raise UsageError(
            f"--max-minutes {scenario.limit / 60:g}", remedy="such as --max-minutes 60"
        )
    if scenario.power_on not in _POWER and times.seconds(scenario.power_on) is None:
        raise UsageError(
            f"--power-on {scenario.power_on!r}",
            remedy="use at-once, rolling, or a duration such as 10m",
        )
    if not _PREFIX.fullmatch(scenario.prefix):
        raise UsageError(
            f"--serial-prefix {scenario.prefix!r}", remedy="use letters, digits, _ and -"
        )
    part, parts = scenario.shard
    if not 1 <= part <= parts <= scenario.devices:
        raise UsageError(f"--shard {part}/{parts}", remedy="such as --shard 1/4 to --shard 4/4")


def shard(given: str) -> tuple[int, int]:
    """Reads ``PART/PARTS``.

    Raises:
        UsageError: It is something else.
    """
    found = _SHARD.fullmatch(given)
    if not found:
        raise UsageError(f"--shard {given!r}", remedy="write PART/PARTS, such as --shard 1/4")
    return int(found[1]), int(found[2])


def seconds(flag: str, given: str) -> float:
    """Reads a duration.

    Raises:
        UsageError: It is not a duration.
    """
    found = times.seconds(given)
    if found is None and given != "0":
        raise UsageError(f"{flag} {given!r} is not a duration", remedy="such as 10m or 1h30m")
    return float(found or 0)
