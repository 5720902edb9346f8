"""How long to wait before trying again. Pure: the caller brings the jitter and does the waiting.

Full jitter (a random part of the whole span) keeps a fleet that failed together from coming back together. All limits
of repetition are in this table.
"""

import enum
import math

# Seconds between two diagnoses of the same failure: each takes seconds itself.
DIAGNOSE_AGAIN = 300.0


class Patience(enum.Enum):
    """Why a retry waits, with the first and the longest span in seconds."""

    NETWORK = (1.0, 300.0)  # nothing answered: a route or a name heals by itself
    BUSY = (2.0, 600.0)  # 429 and 5xx: the account's quota is 10 registrations a second
    REFUSED = (30.0, 3600.0)  # AWS said no: somebody must change something in the cloud
    # Another server answers, or the CA's file is another's: either may change.
    UNTRUSTED = (5.0, 300.0)
    # A program waits for AWS credentials, but all devices of an account share a hundred requests a second.
    AWAITED = (1.0, 60.0)
    SPREADING = (1.0, 4.0)  # a policy made a moment ago spreads within seconds

    @property
    def first(self) -> float:
        """The span of the first wait."""
        return self.value[0]

    @property
    def needs_person(self) -> bool:
        """Whether a person must change something before a retry can succeed."""
        return self in (Patience.REFUSED, Patience.UNTRUSTED)

    @property
    def ceiling(self) -> float:
        """No span is longer."""
        return self.value[1]


# AWS takes one connect a second for each client id.
CONNECT_INTERVAL = 1.0


def delay(patience: Patience, tries: int, jitter: float) -> float:
    """Seconds to wait after the ``tries``-th failure in a row (from 1), with ``jitter`` in [0, 1)."""
    span = min(patience.ceiling, patience.first * 2.0 ** min(tries - 1, 30))
    return max(CONNECT_INTERVAL, span * jitter)


# AWS's default quota of registrations a second; devices that choose at random come in bunches and need room.
REGISTRATIONS = 10
ROOM = 1.05


def window(fleet_size: int) -> float:
    """The window, in seconds, in which so many devices that are switched on together choose their moments."""
    return 0 if fleet_size <= REGISTRATIONS else math.ceil(fleet_size * ROOM / REGISTRATIONS)


# A device that missed its moment for lack of power draws another within so many times its delay.
LATE_SPAN = 2.0


def first_contact(window: float, planned: float | None, now: float, jitter: float) -> float:
    """The moment (Unix seconds) of a first contact, so that a fleet switched on together does not come together.

    A moment still ahead is kept: power cuts on the way neither bunch the fleet nor send a device to the back of the
    queue. One that passed while there was no power is drawn again in a window that grows with how long ago it was:
    those who missed it together must not come together either.

    Args:
        window: The fleet's window, in seconds.
        planned: What an earlier start drew; None at the first, or when the clock could not be believed.
        now: Unix seconds.
        jitter: In [0, 1).
    """
    # The clock has stepped back, or the window is another.
    if planned is None or planned > now + window:
        return now + window * jitter
    if planned > now:
        return planned
    return now + min(window, LATE_SPAN * (now - planned)) * jitter
