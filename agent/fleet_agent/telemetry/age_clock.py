"""How old readings are, by a clock that does not step. Pure.

Within one boot of the machine the monotonic clock is enough. Between two boots only the wall clock can do, where it is
synchronised in both; where it is not, the time that surely passed is counted, and a reading seems younger than it is.
Setting the clock thus neither ages a reading nor lets it expire.
"""

import math
from collections.abc import Collection, Iterable

from fleet_agent.clock import BUILT, Clock, is_doubtful
from fleet_agent.record import mutable

# The era of readings that an older version stored: all that is known is their wall time.
UNKNOWN = 0

_STEP = 1.0  # seconds that the wall clock may drift away from what is written down
_LAST_EVERY = 60.0  # seconds


@mutable
class Era:
    """One boot of the machine; ``offset``: from its monotonic to the wall clock, as far as that can be believed."""

    number: int
    boot: str
    offset: float | None = None
    last: float = -math.inf  # monotonic seconds: it went on at least up to then


class Ages:
    """The eras that readings come from.

    Args:
        clock: The machine's.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._eras: list[Era] = []
        self._now = Era(UNKNOWN + 1, clock.boot())
        self._is_changed = False

    def load(self, eras: Iterable[Era], used: Collection[int]) -> None:
        """Begins with what is written down; eras of which no reading is left are forgotten."""
        found = sorted(eras, key=lambda past: past.number)
        boot = self._clock.boot()
        self._eras = [past for past in found if past.number in used and past.boot != boot]
        same = [past for past in found if past.boot == boot]
        highest = found[-1].number if found else UNKNOWN
        # What is in memory while a damaged file is replaced keeps its era.
        self._now = same[-1] if same else Era(max(highest + 1, self._now.number), boot)

    @property
    def now(self) -> tuple[int, float]:
        """The era and the moment in it; what was stored earlier has a lower one."""
        return self._now.number, self._clock.monotonic()

    def age(self, era: int, moment: float) -> float:
        """Seconds since then, as far as is known: rather too few than too many."""
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
        """All eras, when what is written down of them is out of date."""
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
        """They are written down."""
        self._is_changed = False

    def left(self, era: int, moment: float, lifetime: float | None) -> float | None:
        """Seconds until what was of use for ``lifetime`` seconds is of none; None: it always is."""
        return None if lifetime is None else lifetime - self.age(era, moment)
