"""The state of one role alias: its cached credentials, who waits for new ones, when to ask AWS again. Pure."""

import contextlib
import dataclasses
import math
from collections.abc import Callable

from fleet_agent.errors import AgentError
from fleet_agent.record import mutable
from fleet_agent.session.backoff import Patience, delay
from fleet_agent.vending.formats import AwsCredentials

# SDKs refresh 15 minutes before expiry; by then newer credentials must be here.
REFRESH_BEFORE = 20 * 60.0
REFRESH_SPREAD = 5 * 60.0  # so that a fleet that started together does not refresh together
# Short-lived ones are refreshed after this part of their lifetime.
REFRESH_PART = 0.5
# Cached credentials with fewer seconds left are not handed out; the caller waits for new ones.
MIN_LIFETIME = 30.0

Result = AwsCredentials | AgentError
Waiter = Callable[[Result], None]
Cancel = Callable[[], None]  # called when the waiter has gone


@mutable
class CachedCredentials:
    """Credentials and when they expire: by the monotonic clock, and by the wall clock."""

    credentials: AwsCredentials
    until: float
    wall_until: float

    def seconds_left(self, now: float, wall: float) -> float:
        """Returns how long they stay valid; a suspend, or a clock set forward, shortens it."""
        return min(self.until - now, self.wall_until - wall)


@mutable
class AliasState:
    """What is known of one role alias; times are monotonic seconds.

    ``attempt`` numbers requests, so that a late answer is recognised.
    """

    name: str
    cached: CachedCredentials | None = None
    waiters: list[Waiter] = dataclasses.field(default_factory=list, repr=False)
    error: AgentError | None = None
    attempt: int = 0
    is_asking: bool = False
    is_wanted: bool = False  # somebody asked since the last answer
    tries: int = 0
    not_before: float = -math.inf
    refresh_at: float = math.inf

    def received(
        self, cached: CachedCredentials, now: float, wall: float, jitter: float
    ) -> list[Waiter]:
        """Caches new credentials; returns those who waited for them."""
        lifetime = cached.seconds_left(now, wall)
        early = min(lifetime * REFRESH_PART, REFRESH_BEFORE) + jitter * min(
            lifetime * REFRESH_PART / 4, REFRESH_SPREAD
        )
        self.cached, self.error, self.tries = cached, None, 0
        self.refresh_at, self.not_before = now + lifetime - early, -math.inf
        self.is_wanted = False
        return self._ended()

    def failed(self, error: AgentError, now: float, jitter: float) -> list[Waiter]:
        """Schedules the next request after a failure; returns those who waited."""
        self.error, self.tries = error, self.tries + 1
        self.not_before = now + delay(Patience.AWAITED, self.tries, jitter)
        self.refresh_at = self.not_before if self.cached else math.inf
        return self._ended()

    def cancel(self, waiter: Waiter) -> None:
        """Drops a waiter, if it is one: a program that asks and leaves again and again must not fill memory."""
        with contextlib.suppress(ValueError):
            self.waiters.remove(waiter)

    def _ended(self) -> list[Waiter]:
        self.is_asking = False
        waiters, self.waiters = self.waiters, []
        return waiters

    def is_due(self, now: float) -> bool:
        """Whether to refresh now: the credentials are old enough and in use, and no back-off is pending."""
        return (
            not self.is_asking
            and self.is_wanted
            and self.refresh_at <= now
            and self.not_before <= now
        )

    @property
    def due(self) -> float:
        """When ``is_due`` next becomes true with time alone."""
        if self.is_asking or not self.is_wanted:
            return math.inf
        return max(self.refresh_at, self.not_before)
