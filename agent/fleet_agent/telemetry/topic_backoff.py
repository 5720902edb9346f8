"""Topics that are left alone for a while, after a refusal or while the disk cannot be read. Pure: the time comes in."""

import math

from fleet_agent.record import record


@record
class Patience:
    """Seconds until a topic is tried again; doubled each time, up to the longest."""

    first: float
    longest: float


POLICY = Patience(first=30.0, longest=3600.0)
OTHERS = Patience(first=1.0, longest=60.0)  # throttling, time-outs
DISK = Patience(first=1.0, longest=1.0)


class Blocks:
    """By the topics' numbers."""

    def __init__(self) -> None:
        self._blocks: dict[int, tuple[float, float]] = {}  # until, and how long that was

    def until(self, number: int) -> float:
        """When the topic may be tried again (monotonic seconds); ``-math.inf``: it is not blocked."""
        return self._blocks[number][0] if number in self._blocks else -math.inf

    def block(self, number: int, patience: Patience, now: float) -> None:
        """Leaves it alone; of many messages that are refused together the first one counts."""
        until, before = self._blocks.get(number, (-math.inf, 0.0))
        if until <= now:
            seconds = min(max(before * 2, patience.first), patience.longest)
            self._blocks[number] = now + seconds, seconds

    def clear(self, number: int | None = None) -> None:
        """It is well again, or all may be."""
        if number is None:
            self._blocks.clear()
        else:
            self._blocks.pop(number, None)
