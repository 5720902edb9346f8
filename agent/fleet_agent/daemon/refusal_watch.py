"""Counts how long AWS IoT refuses the identity in use, and asks for recovery once it is dead (``identity.ladder``)."""

import dataclasses
import logging
import math
from pathlib import Path
from typing import TYPE_CHECKING

from fleet_agent import clock as clocks
from fleet_agent.clock import Clock, jitter
from fleet_agent.config.settings import Settings
from fleet_agent.credentials.model import Credential
from fleet_agent.credentials.store import Store
from fleet_agent.errors import AgentError
from fleet_agent.health import table
from fleet_agent.health.status import Health
from fleet_agent.identity import ladder, recovery_state
from fleet_agent.identity.ladder import Rung
from fleet_agent.process.mailbox import Mailbox
from fleet_agent.session.events import ConnectFailed
from fleet_agent.session.mqtt import Session

if TYPE_CHECKING:
    from fleet_agent.provisioning.clockwatch import ClockWatch

_log = logging.getLogger(__name__)

KEEP_EVERY = 60.0  # seconds between writes to disk while refusals are counted
CLOCK_POLL = 10.0  # seconds between looks at a clock that cannot be trusted


class RecoverRequested:
    """The event by which a dead identity asks for another certificate."""


class RefusalWatch:
    """Counts refusals of one credential in service.

    Args:
        settings: Say when it counts as dead, and whether there is a claim to ask with.
        store: Has the attempt under way.
        credential: The one in service.
        session: Its session.
        mailbox: Where the request goes.
        health: Where the problem goes.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        credential: Credential,
        session: Session,
        mailbox: Mailbox,
        health: Health,
    ) -> None:
        self._settings = settings
        self._store = store
        self._credential = credential
        self._session = session
        self._mailbox = mailbox
        self._health = health
        self._clock: Clock = health.clock
        self._state_dir = Path(settings.state_dir)
        self._clock_watch: ClockWatch | None = None
        self._error: AgentError | None = None
        # Whether the last refusal was a CONNACK.
        self._is_answered = False
        # One request a watch: carrying it out puts a credential in service under a new watch.
        self._has_asked = False
        self._known = self._kept = recovery_state.read(self._state_dir)
        self._keep_at = -math.inf
        self.due = math.inf

    # What is heard ----------------------------------------------------------------------------------------------------

    def connected(self) -> None:
        """Notes that AWS IoT accepts the identity (again)."""
        self.due = math.inf
        self._has_asked = False
        self._health.clear(table.IDENTITY_DEAD)
        if self._known.rung is Rung.IN_SERVICE:
            return
        now = self._clock.wall()
        words = f"AWS IoT accepts certificate {self._credential.certificate_id} again"
        if self._known.rung.is_dead:
            _log.info("%s", words)
        self._known = self._known.in_service(words, now)
        try:
            from fleet_agent.identity import recover

            recover.give_up_attempt(self._store, self._credential)
        except AgentError as error:
            _log.warning("%s %s", error.title, error.remedy)
        self._keep()

    def failed(self, event: ConnectFailed, error: AgentError) -> None:
        """No connection opened; ``error`` says why."""
        self._error = error
        if not ladder.refuses(event.reason_code, error):
            self.due = math.inf
            return
        self._is_answered = event.reason_code is not None
        self._count()
        if not self._known.rung.is_dead:
            self._known = self._known.at(Rung.REFUSED, error.title, self._clock.wall())
        else:
            self._report()
        self._plan()
        if self._clock.monotonic() >= self._keep_at:
            self._keep()

    def _count(self) -> None:
        now = recovery_state.stamp(self._clock)
        known = self._known
        if known.refused is None:
            spread = self._settings.provisioning.spread if self._settings.provisioning else 0.0
            self._known = dataclasses.replace(
                known,
                refused_since=now.wall,
                refused=now,
                delay=ladder.share(spread, jitter()),
            )
            return
        refused_for = ladder.counted(
            known.refused_for, recovery_state.since(known.refused, self._clock)
        )
        self._known = dataclasses.replace(known, refused_for=refused_for, refused=now)

    def _plan(self) -> None:
        self.due = self._clock.monotonic() + max(0.0, self._left())

    def _left(self) -> float:
        return ladder.left(
            self._known.refused_for,
            self._known.delay,
            self._settings.identity.dead_after,
            is_expired=self._is_expired(),
        )

    def _is_expired(self) -> bool:
        # Imported only when something is wrong.
        from fleet_agent.provisioning import clockwatch

        is_past = clockwatch.is_past(self._session.pair.certificate, self._clock.wall())
        return is_past and not clocks.is_doubtful(self._clock)

    # The verdict ------------------------------------------------------------------------------------------------------

    def act(self) -> None:
        """Decides, when enough time has passed without a connection since the last refusal."""
        self.due = math.inf
        refused = self._known.refused
        if refused is None or recovery_state.since(refused, self._clock) > ladder.LONGEST_GAP:
            return
        if not self._is_clock_believed():
            self.due = self._clock.monotonic() + CLOCK_POLL
            return
        if not self._is_answered and not self._reaches():
            return  # the network's doing, and not the certificate's
        if not self._known.rung.is_dead:
            self._count()
            if self._left() > 0:
                self._plan()
                return
        self._give_up()
        self._report()
        if self._known != self._kept:
            self._keep()

    def _is_clock_believed(self) -> bool:
        from fleet_agent.provisioning.clockwatch import ClockWatch

        self._clock_watch = self._clock_watch or ClockWatch(self._clock)
        return self._clock_watch.seconds_left() <= 0

    def _reaches(self) -> bool:
        # Its ssl costs 4 MB: only when something is wrong.
        from fleet_agent.session import probe

        return probe.reaches(self._session.route, self._session.pair, self._clock.wall())

    def _give_up(self) -> None:
        """Asks for the recovery of a dead identity, now or later, if there is a claim to ask with."""
        from fleet_agent.identity import recover

        now = self._clock.wall()
        if lacking := recover.lacks(self._settings):
            self._known = self._known.at(Rung.DEAD, lacking, now)
            return
        known = self._known
        if not known.rung.is_dead:
            known = known.at(Rung.DEAD, self._cause(), now)
        left = known.wait - recovery_state.since(known.tried, self._clock) if known.tried else 0.0
        if left <= 0 and self._costs_certificate():
            left = recover.certificate_left(known, self._clock)
            if left > 0:
                known = known.at(
                    Rung.WAITING, "a certificate is requested at most once a day", now
                )
        self._known = known
        if left > 0:
            self.due = self._clock.monotonic() + left
        elif not self._has_asked:
            self._has_asked = True
            self._mailbox.put(RecoverRequested())

    def _costs_certificate(self) -> bool:
        from fleet_agent.identity import recover

        found = recover.pending(self._store)
        return ladder.costs_certificate(found, self._credential.generation)

    def _cause(self) -> str:
        if self._is_expired():
            return "the certificate has expired"
        return self._error.title if self._error else "AWS IoT refuses it"

    # What is shown ----------------------------------------------------------------------------------------------------

    def _report(self) -> None:
        from fleet_agent.identity import recovery_problem

        problem = recovery_problem.describe(
            self._known, self._credential, self._settings, is_expired=self._is_expired()
        )
        self._health.warn(problem)
        if self._known.rung is not Rung.DEAD:
            self._health.set_activity(self._known.rung.value)

    def _keep(self) -> None:
        """Writes it to disk; a failure stops nothing."""
        self._keep_at = self._clock.monotonic() + KEEP_EVERY
        try:
            recovery_state.write(self._state_dir, self._known)
        except AgentError as error:
            _log.warning("%s %s", error.title, error.remedy)
        else:
            self._kept = self._known
