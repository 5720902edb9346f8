"""Back-off of topics after a refusal, or while the disk cannot be read. Pure: the caller passes the time."""

import math

from fleet_agent.record import record


@record
class Patience:
    """Seconds until a topic is tried again, doubled each time up to the longest."""

    first: float
    longest: float


POLICY = Patience(first=30.0, longest=3600.0)
OTHERS = Patience(first=1.0, longest=60.0)  # throttling, time-outs
DISK = Patience(first=1.0, longest=1.0)


class TopicBackoff:
    """Back-off by topic number."""

    def __init__(self) -> None:
        self._blocks: dict[int, tuple[float, float]] = {}  # until, and how long that was

    def until(self, number: int) -> float:
        """Returns when the topic may be tried again (monotonic seconds); ``-math.inf``: now."""
        return self._blocks[number][0] if number in self._blocks else -math.inf

    def block(self, number: int, patience: Patience, now: float) -> None:
        """Blocks the topic; of several messages refused together only the first counts."""
        until, before = self._blocks.get(number, (-math.inf, 0.0))
        if until <= now:
            seconds = min(max(before * 2, patience.first), patience.longest)
            self._blocks[number] = now + seconds, seconds

    def clear(self, number: int | None = None) -> None:
        """Ends the topic's back-off, or that of all topics."""
        if number is None:
            self._blocks.clear()
        else:
            self._blocks.pop(number, None)
