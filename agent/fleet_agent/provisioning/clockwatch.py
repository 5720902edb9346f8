"""Whether the device's clock can be trusted, by the clock itself, the claim's dates and failed handshakes.

Neither side can judge certificates by a wrong clock, so nothing is tried with one. A doubtful clock (nothing vouches
for it) is given time; a handshake that failed over dates is not repeated before the clock has changed.
"""

import math

from fleet_agent import clock
from fleet_agent.clock import Clock
from fleet_agent.credentials.validity import Validity, glance
from fleet_agent.errors import UnreachableError

STEP = 60.0  # a clock that was set by fewer seconds counts as unchanged
CODE = "clock"


class ClockWatch:
    """Collects the evidence against the clock during one provisioning.

    Args:
        source: The clock.
    """

    def __init__(self, source: Clock) -> None:
        self._clock = source
        self._first_day = clock.BUILT
        self._begins = ""
        self._doubted_since: float | None = None  # monotonic seconds
        # Wall time less monotonic time, when a handshake failed over dates.
        self._offset: float | None = None

    def suspect(self) -> None:
        """A certificate looked out of date: the clock is not trusted for a while, unless it is set."""
        self._offset = self._clock.wall() - self._clock.monotonic()
        self._doubted_since = self._clock.monotonic()

    def has_expired(self, dates: Validity, file: str) -> bool:
        """Whether a certificate of ours, in ``file``, is past its end, by a clock that can be believed.

        Raises:
            UnreachableError: Its dates do not fit the clock, and the clock is to blame.
        """
        if dates.not_before > self._first_day:
            self._first_day = dates.not_before
            self._begins = f", when the certificate in {file} becomes valid"
        now = self._clock.wall()
        if dates.not_before <= now <= dates.not_after:
            return False
        if now < dates.not_before:
            raise self.error()
        if self.is_doubtful:
            self.suspect()
            raise self.error()
        return True

    @property
    def is_doubtful(self) -> bool:
        """Whether a certificate that looks out of date may be the clock's fault."""
        return self._clock.wall() < self._first_day or clock.is_doubtful(self._clock)

    def seconds_left(self) -> float:
        """Seconds to wait for a better clock; 0: go on with this one."""
        now, passed = self._clock.wall(), self._clock.monotonic()
        if now < self._first_day:
            return math.inf
        is_synchronised = self._clock.is_synchronised()
        limit = clock.patience(now, is_synchronised)
        if self._offset is not None:
            if is_synchronised or abs(now - passed - self._offset) > STEP:
                self._offset = None
            else:
                limit = max(limit, clock.FAR_LIMIT)
        if limit == 0.0:
            self._doubted_since = None
            return 0.0
        if self._doubted_since is None:
            self._doubted_since = passed
        return max(0.0, limit - (passed - self._doubted_since))

    def error(self) -> UnreachableError:
        """Returns the error that names the clock as the reason to wait, and why."""
        now = self._clock.wall()
        if now < self._first_day:
            why = f"which cannot be right before {clock.text(self._first_day)}{self._begins}"
        elif self._offset is not None:
            why = "by which a certificate is not valid, and it has not been set since"
        else:
            why = "and it has not been synchronised yet"
        return UnreachableError(
            f"Waiting for the clock: it shows {clock.text(now)}, {why}.",
            remedy="Set the clock (timedatectl set-ntp true, or timedatectl set-time); the agent then continues by "
            "itself.",
            code=CODE,
        )


def looks_valid(certificate: str, now: float) -> bool:
    """Reads a certificate's dates without a parser: False when they do not fit, or cannot be found.

    Args:
        certificate: PEM.
        now: Unix seconds.
    """
    found = glance(certificate)
    return found is not None and found.not_before <= now <= found.not_after


def is_past(certificate: str, now: float) -> bool:
    """Whether a certificate (PEM) has expired, by a glance; False when its dates cannot be found."""
    found = glance(certificate)
    return found is not None and now > found.not_after
