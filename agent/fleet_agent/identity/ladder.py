"""The ladder back, decided: when an identity is dead, and when another certificate may be asked for. Pure.

An identity is dead once AWS IoT has refused it for ``identity.dead_after``, or its certificate has expired. A refusal
is a CONNACK that says no to who this is, or the end of the connection in place of an answer, where the way there is
fine. Only time between two refusals counts, and never more than ``LONGEST_GAP`` of it: a device without power or
network is not refused. Then:

    in service ──refusals──▶ refused ──dead_after, or expired──▶ dead (no claim)
        ▲                                        │ claim
        │ accepted again, or the new one proven  ▼
        └──────────────────────────── asking ◀──▶ waiting for approval (403), or to ask again

What is asked with is the claim; the key is the old one, by which the cloud knows the device. A certificate is asked for
at most once in ``CERTIFICATE_EVERY``, whatever happens to the answer; what goes on with one costs none.
"""

import enum

from fleet_agent.credentials.model import Generation
from fleet_agent.errors import (
    CERTIFICATE_REFUSED,
    CONNECT_CLOSED,
    CONNECT_UNANSWERED,
    THING_CHANGED,
    AgentError,
    TemporaryError,
    UnreachableError,
)
from fleet_agent.session import backoff
from fleet_agent.session.backoff import Patience

# Seconds between two refusals that count at most: longer than the longest wait between two connects.
LONGEST_GAP = 600.0

CERTIFICATE_EVERY = 86400.0  # seconds

# Seconds until another one is asked for where the last was registered in vain: somebody has to look.
AFTER_A_REFUSED_ONE = 7 * 86400.0

# Those that are refused together are seldom the whole fleet: of its spread they take this part.
SPREAD_SHARE = 0.5

# CONNACK codes that are about who connects; 135 may be the policy, which a registration brings back.
_REFUSALS = frozenset({133, 134, 135, 138})

# Of a connection without a CONNACK. Whether the way to the endpoint is fine is looked at before the verdict.
_HANG_UPS = frozenset({CERTIFICATE_REFUSED, CONNECT_CLOSED, CONNECT_UNANSWERED})


class Rung(enum.Enum):
    """A device's rung on the ladder; the value is shown to people."""

    IN_SERVICE = "in service"
    REFUSED = "refused"
    DEAD = "dead"
    ASKING = "asking"
    APPROVAL = "waiting for approval"
    WAITING = "waiting to ask again"

    @property
    def is_dead(self) -> bool:
        """Whether the identity in use is given up, though it is tried on."""
        return self not in (Rung.IN_SERVICE, Rung.REFUSED)


def refuses(reason_code: int | None, error: AgentError) -> bool:
    """Whether a connection that did not open says that the identity is refused.

    Args:
        reason_code: CONNACK's, if there was one.
        error: What was found to be the cause.
    """
    return reason_code in _REFUSALS if reason_code is not None else error.code in _HANG_UPS


def counted(refused_for: float, gap: float) -> float:
    """Seconds of refusal, with those since the last one."""
    return refused_for + min(max(gap, 0.0), LONGEST_GAP)


def share(spread: float, jitter: float) -> float:
    """Seconds that this device waits beyond the verdict, so that those that died together do not come together."""
    return spread * SPREAD_SHARE * jitter


def left(refused_for: float, delay: float, dead_after: float, *, is_expired: bool) -> float:
    """Seconds of refusal that are missing until the identity is given up; 0 or less: it is dead.

    Args:
        refused_for: Seconds counted.
        delay: This device's share of the fleet's spread.
        dead_after: As configured.
        is_expired: Whether the certificate has, by a clock that can be believed.
    """
    return delay + (0.0 if is_expired else dead_after) - refused_for


def certificate_left(passed: float, *, was_refused: bool) -> float:
    """Seconds until a certificate may be asked for; 0 or less: now.

    Args:
        passed: Seconds since one was asked for.
        was_refused: Whether that one was registered, and is refused like the one before.
    """
    return (AFTER_A_REFUSED_ONE if was_refused else CERTIFICATE_EVERY) - max(0.0, passed)


def goes_on(pending: Generation | None, generation: int) -> bool:
    """Whether an attempt under way leads back: this identity's, or a rotation that got as far as its registration."""
    if pending is None:
        return False
    return pending.registration is not None or pending.attempt.key_of == generation


def costs_certificate(pending: Generation | None, generation: int) -> bool:
    """Whether the next try asks for a certificate."""
    return pending is None or not goes_on(pending, generation) or pending.issued is None


def wait(error: AgentError | None, tries: int, jitter: float) -> float:
    """Seconds until the next try: less and less often.

    Args:
        error: What stopped the last one; None: it was cut off.
        tries: How many there were since the identity died.
        jitter: In [0, 1).
    """
    if error is not None and error.code == THING_CHANGED:
        return AFTER_A_REFUSED_ONE
    patience = Patience.REFUSED
    if isinstance(error, TemporaryError):
        patience = Patience.BUSY
    elif isinstance(error, UnreachableError):
        patience = Patience.NETWORK
    return backoff.delay(patience, tries, jitter)
