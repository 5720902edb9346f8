"""How long to wait before trying again. Pure: the caller brings the jitter and does the waiting.

Full jitter (a random part of the whole span) keeps a fleet that failed together from coming back together. All limits
of repetition are in this table.
"""

import enum


class Patience(enum.Enum):
    """Why we wait: the first span and the longest span, in seconds."""

    NETWORK = (1.0, 300.0)  # nothing answered: a route or a name heals by itself
    BUSY = (2.0, 600.0)  # 429 and 5xx: the account's quota is 10 registrations a second
    REFUSED = (30.0, 3600.0)  # AWS said no: somebody must change something in the cloud
    SPREADING = (1.0, 4.0)  # a policy made a moment ago spreads within seconds

    @property
    def first(self) -> float:
        """The span of the first wait."""
        return self.value[0]

    @property
    def ceiling(self) -> float:
        """No span is longer."""
        return self.value[1]


# AWS takes one connect a second for each client id.
SHORTEST = 1.0


def delay(patience: Patience, tries: int, jitter: float) -> float:
    """Seconds to wait after the ``tries``-th failure in a row (from 1), with ``jitter`` in [0, 1)."""
    span = min(patience.ceiling, patience.first * 2.0 ** min(tries - 1, 30))
    return max(SHORTEST, span * jitter)
