"""Asks for a rotation before the certificate in use expires, and again, more often as the end nears."""

import math
from collections.abc import Callable

from fleet_agent import clock as clocks
from fleet_agent.clock import Clock
from fleet_agent.config.settings import Settings
from fleet_agent.credentials.model import Credential
from fleet_agent.credentials.store import Store
from fleet_agent.credentials.validity import Validity, glance
from fleet_agent.errors import StateDirectoryError
from fleet_agent.health import table
from fleet_agent.health.status import Health
from fleet_agent.identity import due

LOOK = 3600.0  # seconds between looks at the wall clock, which may step
_OFFLINE = 60.0  # seconds between looks for a connection
# Part of the margin that is spread: devices provisioned on the same day must not ask at the same moment.
_SPREAD = 0.1


class Renewal:
    """Asks for a rotation in time, for each credential that is put in service.

    Args:
        settings: Say when, and which credential a rotation asks with.
        store: Has an attempt under way.
        ask: Asks for a rotation.
        clock: Deadlines are its monotonic seconds.
        health: Where a certificate that nothing can replace is reported.
        jitter: A random number in [0, 1).
    """

    def __init__(
        self,
        *,
        settings: Settings,
        store: Store,
        ask: Callable[[], None],
        clock: Clock,
        health: Health,
        jitter: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._store = store
        self._ask = ask
        self._clock = clock
        self._health = health
        self._jitter = jitter
        self._credential: Credential | None = None
        self._dates: Validity | None = None
        self._is_connected: Callable[[], bool] = bool
        self._is_begun = False
        self._later = 0.0  # seconds: this device's share of the spread
        self._not_before = 0.0  # monotonic seconds: the next try
        self.due = math.inf

    def serve(
        self, credential: Credential, certificate: str, is_connected: Callable[[], bool]
    ) -> None:
        """Watches this credential from now on; the same one again was not replaced.

        Args:
            credential: In service.
            certificate: Its PEM.
            is_connected: Whether its session is open: without one a rotation fails, and the clock may be wrong.
        """
        self._is_connected = is_connected
        self._is_begun = self._look_for_begun(credential)
        now = self._clock.monotonic()
        dates = self._dates = glance(certificate)
        if dates is None:
            self.due = math.inf
            return
        if self._credential and self._credential.certificate_id == credential.certificate_id:
            left = dates.not_after - self._clock.wall()
            self._not_before = now + due.patience(left, self._jitter())
        else:
            self._health.clear(table.CERTIFICATE_EXPIRES)
            margin = due.margin(self._settings.rotation, dates.life)
            self._later = margin * _SPREAD * self._jitter()
            self._not_before = now + (due.BEGUN if self._is_begun else 0.0)
        self._credential = credential
        self.due = self._next(now)

    def act(self) -> None:
        """Asks for a rotation if it is time."""
        now = self._clock.monotonic()
        if self._credential is None or self._dates is None:
            self.due = math.inf
        elif now < self._not_before or self._seconds_left() > 0:
            self.due = self._next(now)
        elif not (self._is_begun or self._has_means()):
            self._report(self._dates)
            self.due = now + LOOK
        elif not self._is_connected():
            self.due = now + _OFFLINE
        else:
            # The rotation's result comes by ``serve``; this is for one that never ends.
            self._not_before = now + due.LATEST
            self.due = self._next(now)
            self._ask()

    def _next(self, now: float) -> float:
        return now + min(LOOK, max(self._not_before - now, self._seconds_left()))

    def _seconds_left(self) -> float:
        """Seconds until a rotation is due."""
        if self._credential is None or self._dates is None:
            return math.inf
        if self._is_begun:
            return 0.0
        now = self._clock.wall()
        found = due.judge(self._settings.rotation, self._credential, self._dates, now)
        return math.inf if found.moment is None else found.moment + self._later - now

    def _look_for_begun(self, credential: Credential) -> bool:
        try:
            found = self._store.pending()
        except StateDirectoryError:  # damaged: a rotation says so
            return False
        if self._settings.move.allowed:
            from fleet_agent.identity import move

            if move.begun(self._settings, found):
                return True
        where = self._settings.endpoint, credential.home
        return self._has_means() and due.is_begun(found, *where)

    def _has_means(self) -> bool:
        settings = self._settings
        asks_alone = settings.rotation.credential == "own"
        return settings.provisioning is not None and (asks_alone or settings.claim is not None)

    def _report(self, dates: Validity) -> None:
        title = f"The certificate in use expires on {clocks.text(dates.not_after)}, and nothing will replace it."
        self._health.report(table.CERTIFICATE_EXPIRES.problem(title))
