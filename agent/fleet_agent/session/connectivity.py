"""Reports the connection's problems: why there is none, that it ends again and again, what the server lacks.

They clear by themselves: ``offline`` with the next connection, the others once a connection has lasted for ``CALM``. A
single reconnect is no problem; the third within an hour is.
"""

import collections
import logging
import math
from collections.abc import Callable
from typing import Protocol

from fleet_agent import clock as clocks
from fleet_agent.clock import Clock
from fleet_agent.errors import AgentError
from fleet_agent.health import table
from fleet_agent.health.status import Health
from fleet_agent.printable import printable
from fleet_agent.process import log
from fleet_agent.process.log import Moment
from fleet_agent.record import record
from fleet_agent.session import reasons
from fleet_agent.session.backoff import DIAGNOSE_AGAIN
from fleet_agent.session.events import (
    CallbackFailed,
    Cause,
    Connected,
    ConnectFailed,
    Disconnected,
)
from fleet_agent.session.message import Limits
from fleet_agent.session.mqtt import Session
from fleet_agent.session.reasons import TAKEN_OVER, Packet

_log = logging.getLogger(__name__)

CALM = 600.0  # seconds; longer than the longest wait between two connects of a clone
WINDOW = 3600.0  # seconds within which endings are counted
OFTEN = 3  # so many endings are a problem

_REASON_STRING = 200  # characters of the server's own words that are shown

# How a connection ended without a reason code, in better words than awscrt's.
_WITHOUT_REASON = {
    Cause.HANG_UP: "the server, which closed it without a reason",
    Cause.LATE: "a timeout: the server did not answer a ping",
}


def _explain(session: Session, failure: ConnectFailed, now: float) -> AgentError:
    # Its ssl costs 4 MB: only when something is wrong.
    from fleet_agent.session import diagnosis

    return diagnosis.explain(session, failure, now)


class Watcher(Protocol):
    """Receives each connect and each failure."""

    def connected(self) -> None:
        """A connection stands."""

    def failed(self, event: ConnectFailed, error: AgentError) -> None:
        """No connection opened; ``error`` is the diagnosed cause, which may be some minutes old."""


@record
class _Look:
    """The diagnosed cause of a failure, good until ``until`` (monotonic seconds)."""

    failure: tuple[int | None, str]
    until: float
    error: AgentError


class Connectivity:
    """Follows the session's connection; its deadline is when the connection has been calm for long enough.

    Args:
        session: The session.
        clock: Times are its seconds.
        health: Where problems go.
        on_stable: Called when a connection has lasted for ``CALM``.
        explain: Diagnoses a failed connect, which may take seconds; gets the time in Unix seconds.
        watcher: Also receives each connect and failure.
    """

    def __init__(
        self,
        session: Session,
        clock: Clock,
        health: Health,
        on_stable: Callable[[], None],
        explain: Callable[[Session, ConnectFailed, float], AgentError] = _explain,
        watcher: Watcher | None = None,
    ) -> None:
        self._session = session
        self._clock = clock
        self._health = health
        self._on_stable = on_stable
        self._explain = explain
        self._watcher = watcher
        self._endings: collections.deque[tuple[float, float]] = collections.deque()
        self._looked: _Look | None = None
        self.is_connected = False
        self.connected_at = 0.0
        self.due = math.inf

    def connected(self, event: Connected) -> None:
        """Handles a new connection."""
        self.is_connected = True
        self._looked = None
        self.connected_at = self._clock.monotonic()
        self.due = self.connected_at + CALM
        self._health.clear(table.OFFLINE)
        self._health.set_activity(f"connected as {self._session.client_id}", is_connected=True)
        _log.info(
            "connected to %s as %s",
            self._session.route.host,
            self._session.client_id,
            extra=log.fields(Moment.CONNECTED),
        )
        self._show_limits(event.limits)
        if self._watcher is not None:
            self._watcher.connected()

    def failed(self, event: ConnectFailed) -> None:
        """No connection opened; the same failure is diagnosed only once in a while."""
        now = self._clock.monotonic()
        failure = (event.reason_code, event.error)
        looked = self._looked
        if looked is None or failure != looked.failure or now >= looked.until:
            error = self._explain(self._session, event, self._clock.wall())
            self._looked = looked = _Look(failure=failure, until=now + DIAGNOSE_AGAIN, error=error)
            self._health.warn(table.OFFLINE.problem(error.title, error.remedy))
            self._health.set_activity("waiting to connect")
        if self._watcher is not None:
            self._watcher.failed(event, looked.error)

    def ended(self, event: Disconnected) -> None:
        """Counts an ended connection; awscrt opens another one."""
        self.is_connected = False
        self.due = math.inf
        words, remedy = _ending(event)
        _log.info("connection ended: %s", words)
        self._health.set_activity("reconnecting")
        if event.reason_code == TAKEN_OVER:
            title = f"Another client connected as {self._session.client_id}."
            self._health.warn(table.MAYBE_CLONED.problem(title, remedy))
        elif event.cause is not Cause.OURS:
            self._count(words, remedy)

    def callback_failed(self, event: CallbackFailed) -> None:
        """A callback's event is lost: reconnects, since AWS sends it again then."""
        _log.error("%s failed, connecting again", event.name, exc_info=event.error)
        self._session.reconnect()

    def act(self) -> None:
        """Clears the problems of a connection that has lasted for a while."""
        self.due = math.inf
        self._endings.clear()
        for kind in (table.UNSTABLE, table.MAYBE_CLONED):
            self._health.clear(kind)
        self._on_stable()

    def _count(self, words: str, remedy: str) -> None:
        now = self._clock.monotonic()
        self._endings.append((now, self._clock.wall()))
        while self._endings[0][0] < now - WINDOW:
            self._endings.popleft()
        if len(self._endings) < OFTEN:
            return
        since = clocks.text(self._endings[0][1])
        title = f"The connection ended {len(self._endings)} times since {since}, last by {words}."
        self._health.warn(table.UNSTABLE.problem(title, remedy))

    def _show_limits(self, limits: Limits) -> None:
        """Reports what the server grants less of than was asked for."""
        wanted = self._session.upkeep
        if limits.qos < 1:
            title = f"{self._session.route.host} does not accept messages with QoS 1, so readings wait in the queue."
            self._health.warn(table.QOS_MISSING.problem(title))
        else:
            self._health.clear(table.QOS_MISSING)
        found = []
        if not limits.can_retain and wanted.will is not None and wanted.will.retain:
            found.append("does not keep retained messages (connection.presence.retain)")
        if limits.expiry is not None and limits.expiry < wanted.expiry:
            found.append(
                f"keeps messages for an offline device for {limits.expiry} s, not for the "
                f"{wanted.expiry} s of connection.expiry"
            )
        if found:
            title = f"{self._session.route.host} {'; it '.join(found)}."
            self._health.warn(table.SERVER_LIMITS.problem(title))
        else:
            self._health.clear(table.SERVER_LIMITS)


def _ending(event: Disconnected) -> tuple[str, str]:
    """Describes how the connection ended, and what to do about it."""
    if event.reason_code is not None:
        words = reasons.words(Packet.DISCONNECT, event.reason_code)
        reason = reasons.reason(Packet.DISCONNECT, event.reason_code)
        if event.reason_string:
            words += f' ("{printable(event.reason_string, _REASON_STRING)}")'
        return f"{words}: {reason.cause}", reason.remedy
    return _WITHOUT_REASON.get(event.cause, event.error), table.UNSTABLE.remedy
