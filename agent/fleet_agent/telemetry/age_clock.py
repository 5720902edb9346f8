"""How old readings are, by a clock that does not step. Pure.

Within one boot of the machine the monotonic clock suffices. Across boots the wall clock is used where it was
synchronised in both; otherwise only the time that certainly passed counts, and a reading seems younger than it is. So
setting the clock neither ages a reading nor makes it expire.
"""

import math
from collections.abc import Collection, Iterable

from fleet_agent.clock import BUILT, Clock, is_doubtful
from fleet_agent.record import mutable

# The era of readings stored by an older version, of which only the wall time is known.
UNKNOWN = 0

_STEP = 1.0  # seconds that the wall clock may drift from the recorded offset
_LAST_EVERY = 60.0  # seconds


@mutable
class Era:
    """One boot of the machine; ``offset``: from its monotonic to the wall clock, if that was synchronised."""

    number: int
    boot: str
    offset: float | None = None
    last: float = -math.inf  # monotonic seconds: it lasted at least until then


class AgeClock:
    """The age of readings, by the era they were stored in.

    Args:
        clock: The machine's.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._eras: list[Era] = []
        self._now = Era(UNKNOWN + 1, clock.boot())
        self._is_changed = False

    def load(self, eras: Iterable[Era], used: Collection[int]) -> None:
        """Loads the recorded eras; those without readings are dropped."""
        found = sorted(eras, key=lambda past: past.number)
        boot = self._clock.boot()
        self._eras = [past for past in found if past.number in used and past.boot != boot]
        same = [past for past in found if past.boot == boot]
        highest = found[-1].number if found else UNKNOWN
        # Readings in memory keep their era while a damaged file is replaced.
        self._now = same[-1] if same else Era(max(highest + 1, self._now.number), boot)

    @property
    def now(self) -> tuple[int, float]:
        """The current era and the moment in it; whatever was stored earlier compares lower."""
        return self._now.number, self._clock.monotonic()

    def age(self, era: int, moment: float) -> float:
        """Returns the seconds since then, or fewer if they are not known exactly."""
        monotonic = self._clock.monotonic()
        if era == self._now.number:
            return monotonic - moment
        wall = None if is_doubtful(self._clock) else self._clock.wall()
        if era == UNKNOWN:
            return max(0.0, wall - moment) if wall is not None and moment >= BUILT else 0.0
        passed = monotonic  # since the beginning of the era that follows
        for past in reversed(self._eras):
            is_it = past.number == era
            since = moment if is_it else 0.0
            surely = max(0.0, past.last - since) + passed
            by_wall = 0.0
            if wall is not None and past.offset is not None:
                by_wall = wall - (since + past.offset)
            passed = max(surely, by_wall)
            if is_it:
                return passed
        return 0.0

    def changed(self) -> list[Era] | None:
        """Returns all eras if their record is out of date, else None."""
        monotonic = self._clock.monotonic()
        before = self._now.offset
        offset = before if is_doubtful(self._clock) else self._clock.wall() - monotonic
        is_step = offset is not None and (before is None or abs(offset - before) > _STEP)
        if not (self._is_changed or is_step or monotonic - self._now.last >= _LAST_EVERY):
            return None
        self._is_changed = True
        self._now.offset, self._now.last = offset, monotonic
        return [*self._eras, self._now]

    def written(self) -> None:
        """Notes that the eras are recorded."""
        self._is_changed = False

    def left(self, era: int, moment: float, lifetime: float | None) -> float | None:
        """Returns the seconds until a reading with this lifetime expires; None: never."""
        return None if lifetime is None else lifetime - self.age(era, moment)
