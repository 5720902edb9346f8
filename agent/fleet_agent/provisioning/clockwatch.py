"""Whether the device's clock can be believed: what one provisioning learns from it, the claim and failed handshakes.

Certificates cannot be judged by a wrong clock, on either side, so nothing is tried with one. A doubtful clock (nobody
vouches for it) is given time; a handshake that failed over dates is not repeated before the clock has changed.
"""

import base64
import binascii
import math
import re

from fleet_agent import clock
from fleet_agent.clock import Clock
from fleet_agent.errors import UnreachableError

STEP = 60.0  # a clock that was set by fewer seconds counts as unchanged
CODE = "clock"

# In a certificate's DER: SEQUENCE of two times, as UTCTime (two digits for the year) or GeneralizedTime (four).
_VALIDITY = re.compile(
    rb"\x30.(?:\x17\x0d(\d{12})|\x18\x0f(\d{14}))Z(?:\x17\x0d(\d{12})|\x18\x0f(\d{14}))Z",
    re.DOTALL,
)
_TEXT_OF_NOW = len("20261121095800")


class ClockWatch:
    """What is known against the clock.

    Args:
        source: The clock.
    """

    def __init__(self, source: Clock) -> None:
        self._clock = source
        self._first_day = clock.BUILT
        self._doubted_since: float | None = None  # monotonic seconds
        # Wall time less monotonic time, when a handshake failed over dates.
        self._offset: float | None = None

    def not_before(self, moment: float) -> None:
        """A certificate in our hands begins at ``moment`` (Unix seconds): it is later than that."""
        self._first_day = max(self._first_day, moment)

    def suspect(self) -> None:
        """A certificate looked out of date: this clock is not trusted again soon, unless it is set."""
        self._offset = self._clock.wall() - self._clock.monotonic()
        self._doubted_since = self._clock.monotonic()

    @property
    def is_doubtful(self) -> bool:
        """Whether a certificate that looks out of date may be the clock's fault."""
        return self._clock.wall() < self._first_day or clock.is_doubtful(self._clock)

    def left(self) -> float:
        """Seconds for which the clock is worth waiting for; 0 when it is to be tried with."""
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
        """Say that it is the clock that is waited for, and why."""
        now = self._clock.wall()
        if now < self._first_day:
            why = f"which cannot be right before {clock.text(self._first_day)}"
        elif self._offset is not None:
            why = "a certificate looks out of date by it, and it has not been set since"
        else:
            why = "and it has not been synchronised yet"
        return UnreachableError(
            f"Waiting for the clock: it shows {clock.text(now)}, {why}.",
            remedy="Set the clock (timedatectl set-ntp true, or timedatectl set-time); it goes on by itself then.",
            code=CODE,
        )


def looks_valid(certificate: str, now: float) -> bool:
    """A glance at a certificate's dates that takes no parser: False when they do not fit, or cannot be found.

    Args:
        certificate: PEM.
        now: Unix seconds.
    """
    found, digits = _dates(certificate), _digits(now)
    return found is not None and len(digits) == _TEXT_OF_NOW and found[0] <= digits <= found[1]


def is_past(certificate: str, now: float) -> bool:
    """Whether a certificate (PEM) has expired, by a glance; False when its dates cannot be found."""
    found, digits = _dates(certificate), _digits(now)
    return found is not None and len(digits) == _TEXT_OF_NOW and digits > found[1]


def _dates(certificate: str) -> tuple[str, str] | None:
    """The first and the last second, as ``YYYYMMDDHHMMSS``."""
    try:
        der = base64.b64decode("".join(certificate.split("-----")[2].split()))
    except (IndexError, binascii.Error, ValueError):
        return None
    found = _VALIDITY.search(der)
    if found is None:
        return None
    return _full(*found.groups()[:2]), _full(*found.groups()[2:])


def _digits(moment: float) -> str:
    return "".join(letter for letter in clock.text(moment) if letter.isdigit())


def _full(short: bytes | None, long: bytes | None) -> str:
    """``YYYYMMDDHHMMSS``; RFC 5280: a two-digit year from 50 on is of the last century."""
    if long is not None:
        return long.decode()
    text = (short or b"").decode()
    return ("19" if text[:2] >= "50" else "20") + text
