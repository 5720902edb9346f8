"""One role alias: the credentials that are kept for it, who waits for others, and when to ask again. Pure."""

import contextlib
import dataclasses
import math
from collections.abc import Callable

from fleet_agent.errors import AgentError
from fleet_agent.record import mutable
from fleet_agent.session.backoff import Patience, delay
from fleet_agent.vending.formats import AwsCredentials

# SDKs ask for others 15 minutes before the end; what they get then shall be worth it.
REFRESH_BEFORE = 20 * 60.0
REFRESH_SPREAD = 5 * 60.0  # a fleet that began together does not ask together
# Short ones are renewed at this part of their life.
REFRESH_PART = 0.5
# Seconds that credentials must be good for still, or others are waited for.
SPARE = 30.0

Vended = AwsCredentials | AgentError
Waiter = Callable[[Vended], None]
Forget = Callable[[], None]  # who waited has gone


@mutable
class Kept:
    """Credentials and until when they are good: by a clock that does not step, and by the wall's."""

    credentials: AwsCredentials
    until: float
    wall_until: float

    def left(self, now: float, wall: float) -> float:
        """Seconds that they are good for; a machine that slept, or a clock put forward, shortens them."""
        return min(self.until - now, self.wall_until - wall)


@mutable
class Alias:
    """What is known of one; times are monotonic seconds.

    ``attempt`` numbers requests, so that a late answer is recognised; ``limit`` is when the one under way is given up.
    """

    name: str
    kept: Kept | None = None
    waiters: list[Waiter] = dataclasses.field(default_factory=list, repr=False)
    error: AgentError | None = None
    attempt: int = 0
    is_asking: bool = False
    is_wanted: bool = False  # somebody asked since the last answer
    tries: int = 0
    not_before: float = -math.inf
    refresh_at: float = math.inf

    def took(self, kept: Kept, now: float, wall: float, jitter: float) -> list[Waiter]:
        """Others came: keep them, and give who waited for them."""
        lifetime = kept.left(now, wall)
        early = min(lifetime * REFRESH_PART, REFRESH_BEFORE) + jitter * min(
            lifetime * REFRESH_PART / 4, REFRESH_SPREAD
        )
        self.kept, self.error, self.tries = kept, None, 0
        self.refresh_at, self.not_before = now + lifetime - early, -math.inf
        self.is_wanted = False
        return self._ended()

    def failed(self, error: AgentError, now: float, jitter: float) -> list[Waiter]:
        """None came: when to ask again, and who is to hear of it."""
        self.error, self.tries = error, self.tries + 1
        self.not_before = now + delay(Patience.AWAITED, self.tries, jitter)
        self.refresh_at = self.not_before if self.kept else math.inf
        return self._ended()

    def forget(self, waiter: Waiter) -> None:
        """It waits no more, if it did: whoever asks and goes, again and again, is not to be kept until the answer."""
        with contextlib.suppress(ValueError):
            self.waiters.remove(waiter)

    def _ended(self) -> list[Waiter]:
        self.is_asking = False
        waiters, self.waiters = self.waiters, []
        return waiters

    def is_due(self, now: float) -> bool:
        """Whether the credentials are to be renewed now: old enough, used, and AWS has had its rest."""
        return (
            not self.is_asking
            and self.is_wanted
            and self.refresh_at <= now
            and self.not_before <= now
        )

    @property
    def due(self) -> float:
        """When ``is_due`` may become true by itself."""
        if self.is_asking or not self.is_wanted:
            return math.inf
        return max(self.refresh_at, self.not_before)
