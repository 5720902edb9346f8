"""When a credential is to be replaced, decided: by its age, by the end of its life, by an attempt under way. Pure."""

from fleet_agent.config.rotation import Rotation
from fleet_agent.config.units import Share
from fleet_agent.credentials.model import Credential, Generation, Home
from fleet_agent.credentials.validity import Validity
from fleet_agent.record import record

# Where the configuration does not say: certificates that live less than this are replaced with this share left, ...
SHORT = 365 * 86400.0
SHARE = Share(0.33)
# ... others so many seconds before their end.
MARGIN = 30 * 86400.0

# Between two tries: an eighth of the life that is left, within these (seconds).
SOONEST, LATEST = 60.0, 86400.0
_PART = 8
# Seconds after the start until a rotation that was begun goes on.
BEGUN = 5.0


@record
class Due:
    """Whether a rotation is due, and ``why``, in words; ``moment`` (Unix seconds): since or from when, None: never."""

    is_due: bool
    why: str
    moment: float | None = None


def is_begun(found: Generation | None, endpoint: str, home: Home | None) -> bool:
    """Whether an attempt under way is a rotation where the device is; else it is a key made ahead, or for elsewhere."""
    # One with the key of another generation is on the ladder back.
    if found is None or found.attempt.tries == 0 or found.attempt.key_of is not None:
        return False
    attempt = found.attempt
    return (attempt.endpoint, attempt.home, attempt.origin) == (endpoint, home, "claim")


def margin(rotation: Rotation, life: float) -> float:
    """Seconds before its end in which a certificate is to be replaced; never more than half of its life."""
    before = rotation.before_expiry
    if before is None:
        before = SHARE if life < SHORT else MARGIN
    seconds = before * life if isinstance(before, Share) else before
    return min(seconds, life / 2)


def judge(rotation: Rotation, credential: Credential, dates: Validity, now: float) -> Due:
    """Whether, and from when on, a credential is to be replaced."""
    moments = {dates.not_after - margin(rotation, dates.life): "the certificate expires soon"}
    if rotation.max_age is not None and credential.proven is not None:
        moments[credential.proven + rotation.max_age] = "the certificate has reached max_age"
    moment = min(moments)
    return Due(
        is_due=now >= moment,
        why=f"{'Due:' if now >= moment else 'Not due until'} {moments[moment]}.",
        moment=moment,
    )


def patience(left: float, jitter: float) -> float:
    """Seconds until a rotation that failed is tried again: more often as the end nears.

    Args:
        left: Seconds that the certificate still lives.
        jitter: In [0, 1).
    """
    return max(SOONEST, min(LATEST, left / _PART)) * (0.75 + jitter / 2)
