"""How long a fleet's first contact must be spread, so that it does not hammer the account. Pure."""

import math

from fleet_cloud.errors import UsageError

# AWS's default quota of RegisterThing and CreateKeysAndCertificate over MQTT, a second for each account.
REGISTRATIONS_PER_SECOND = 10

# Devices that choose their moment at random come in bunches. benchmarks/herd: with a twentieth of room all of them are
# through in 1.06 times what the quota itself needs, at 2.2 requests a device; without, the last ones wait far longer.
ROOM = 1.05

LONGEST_SECONDS = 7 * 24 * 3600  # what the agent's configuration allows

_UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}


def window_seconds(fleet_size: int, per_second: float = REGISTRATIONS_PER_SECOND) -> int:
    """Returns the window, in seconds, within which every device picks a moment at random.

    Args:
        fleet_size: Devices that may be switched on together.
        per_second: The account's quota of registrations.

    Raises:
        UsageError: A number is not valid, or the window is longer than the agent allows.
    """
    if fleet_size < 1:
        raise UsageError(f"--fleet-size {fleet_size} is not a fleet size", remedy="pass 1 or more")
    if not per_second > 0 or math.isinf(per_second):
        raise UsageError(
            f"--quota {per_second} is not a rate",
            remedy="pass registrations per second, such as 10",
        )
    if fleet_size <= per_second:
        return 0  # all of them together fit into one second
    seconds = math.ceil(fleet_size * ROOM / per_second)
    if seconds > LONGEST_SECONDS:
        raise UsageError(
            f"{fleet_size} devices at {per_second:g} a second take {duration(seconds)}, longer than the 7d allowed",
            remedy="have the account's quota raised and pass it with --quota, or switch the devices on in batches",
        )
    return seconds


def duration(seconds: int) -> str:
    """Returns seconds as the agent's configuration has them, such as ``20m50s``."""
    parts = []
    for unit, size in _UNITS.items():
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"
