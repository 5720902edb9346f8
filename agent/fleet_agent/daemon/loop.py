"""The years after provisioning: one session as the thing, readings up, messages down.

Runs on the deciding thread: takes an event or a deadline at a time until the agent is asked to stop. Between events the
publisher commits what came in and sends what may go.
"""

import contextlib
import logging
from collections.abc import Sequence
from typing import Protocol

from fleet_agent.clock import Clock
from fleet_agent.config.subscriptions import Presence
from fleet_agent.errors import StateDirectoryError
from fleet_agent.health import Health, Problem
from fleet_agent.mailbox import Mailbox, Ready, ReloadRequested, RotateRequested
from fleet_agent.printable import printable
from fleet_agent.session.connectivity import Connectivity
from fleet_agent.session.events import (
    CallbackFailed,
    Connected,
    ConnectFailed,
    Disconnected,
    Message,
    Published,
    Subscribed,
)
from fleet_agent.session.message import Limits, Outgoing
from fleet_agent.session.mqtt import Session
from fleet_agent.session.subscriptions import Subscriptions
from fleet_agent.telemetry.commands.router import Commands
from fleet_agent.telemetry.orders import Orders
from fleet_agent.telemetry.publisher import Publisher
from fleet_agent.telemetry.queue import Queue
from fleet_agent.telemetry.reading import Source
from fleet_agent.telemetry.report import Report
from fleet_agent.telemetry.suspects import TIMES, Suspects

_log = logging.getLogger(__name__)

SHOW_EVERY = 60.0  # seconds between refreshes of status.json while nothing changes
# Seconds, at most, until it shows what came and went; a write for each would be too many.
SHOW_SOON = 5.0
# Seconds that are spent on sending what waits when the agent is asked to stop, and then on acknowledgements of that.
FLUSH_LIMIT = 4.0
ACKNOWLEDGE_LIMIT = 1.0
TURNS = 64  # events between two commits while they pour in

SET_ASIDE = "message-set-aside"
QUEUE_DAMAGED = "queue-damaged"


class Reload(Exception):  # noqa: N818 - nothing failed
    """Somebody asked for the configuration to be read again (SIGHUP)."""


class Rotate(Exception):  # noqa: N818 - nothing failed
    """Somebody asked for the credential to be replaced."""


class Actor(Protocol):
    """Something with deadlines."""

    @property
    def due(self) -> float:
        """When ``act`` is to be called (monotonic seconds)."""

    def act(self) -> None:
        """The deadline has passed."""


class TelemetryLoop:
    """Joins one session with what goes up and what comes down.

    Args:
        session: As the thing; started here, closed by the caller.
        subscriptions: What comes down on it.
        publisher: The way up.
        queue: Where readings wait; closed by the caller.
        sources: Make readings.
        commands: Handle what comes down.
        orders: Look at what comes down before them.
        presence: What to say on connecting and on stopping: topic filled in; None: nothing.
        mailbox: Where everything comes in.
        clock: For deadlines.
        health: Where problems go.
        report: Fills in what the status shows.
        chores: What else has deadlines.
    """

    def __init__(  # noqa: PLR0913 - the composition of the whole loop, all named
        self,
        *,
        session: Session,
        subscriptions: Subscriptions,
        publisher: Publisher,
        queue: Queue,
        sources: Sequence[Source],
        commands: Commands,
        orders: Orders,
        presence: Presence | None,
        mailbox: Mailbox,
        clock: Clock,
        health: Health,
        report: Report,
        chores: Sequence[Actor] = (),
    ) -> None:
        self._session = session
        self._subscriptions = subscriptions
        self._suspects = Suspects()
        self._connectivity = Connectivity(session, clock, health, self._calmed)
        self._limits = Limits()
        self._publisher = publisher
        self._queue = queue
        self._sources = sources
        self._commands = commands
        self._orders = orders
        self._presence = presence
        self._mailbox = mailbox
        self._clock = clock
        self._health = health
        self._report = report
        self._actors: list[Actor] = [
            *sources,
            commands,
            subscriptions,
            self._connectivity,
            *chores,
        ]
        self._show_at = clock.monotonic() + SHOW_EVERY

    def run(self) -> None:
        """Go on until somebody asks to stop.

        Raises:
            StopRequested: The agent is to end; ``finish`` comes next.
            Reload: The configuration is to be read again; ``finish`` comes next.
            Rotate: The credential is to be replaced; ``finish`` comes next.
        """
        self._session.start()
        self._health.doing(f"connecting to {self._session.route.host}")
        while True:
            self._publisher.settle()
            for event in self._mailbox.burst(self._due(), TURNS):
                self._take(event)
            self._act()

    def finish(self) -> None:
        """Take no more readings, and give what is under way a moment to be acknowledged. What is not stays queued."""
        # So that senders hear of it, and positions in files are saved.
        self._publisher.settle(at_once=True)
        for source in self._sources:
            source.close()
        self._commands.close()
        self._publisher.settle(at_once=True)
        if self._connectivity.is_connected and self._presence:
            self._say(self._presence.offline)
        self._drain(FLUSH_LIMIT)
        self._publisher.disconnected()
        self._drain(ACKNOWLEDGE_LIMIT)
        self._show()

    def _drain(self, seconds: float) -> None:
        until = self._clock.monotonic() + seconds
        while self._connectivity.is_connected and not self._publisher.is_idle(until):
            due = min(until, self._publisher.due)
            event = self._mailbox.wait(due, although_stopping=True)
            if event is None and due == until:
                return
            if event is not None:
                with contextlib.suppress(Reload, Rotate):  # it ends anyway
                    self._take(event)
            self._publisher.settle(at_once=True)

    def _due(self) -> float:
        return min(self._show_at, self._publisher.due, *(actor.due for actor in self._actors))

    def _act(self) -> None:
        now = self._clock.monotonic()
        for actor in self._actors:
            if actor.due <= now:
                actor.act()
        if now >= self._show_at:
            self._show()

    def _take(self, event: object) -> None:
        match event:
            case Ready():
                event.act()
            case Published():
                self._publisher.published(event)
                self._show_soon()
                if (
                    self._publisher.counts.acknowledged
                    and not self._health.traffic.readings_acknowledged
                ):
                    self._show()  # that AWS has the first one is what everybody waits to read
            case Message():
                self._arrived(event)
            case Connected() | ConnectFailed() | Disconnected() | Subscribed() | CallbackFailed():
                if event.session is self._session:  # not late news of one that is closed
                    self._hear(event)
            case ReloadRequested() | RotateRequested():
                raise Reload if isinstance(event, ReloadRequested) else Rotate
            case _:
                pass

    def _hear(
        self, event: Connected | ConnectFailed | Disconnected | Subscribed | CallbackFailed
    ) -> None:
        match event:
            case Connected():
                self._connected(event)
            case ConnectFailed():
                self._connectivity.failed(event)
            case Disconnected():
                self._disconnected(event)
            case Subscribed():
                self._subscriptions.subscribed(event)
            case CallbackFailed():
                self._connectivity.callback_failed(event)

    # The status -------------------------------------------------------------------------------------------------------

    def _show_soon(self) -> None:
        self._show_at = min(self._show_at, self._clock.monotonic() + SHOW_SOON)

    def _show(self) -> None:
        self._show_at = self._clock.monotonic() + SHOW_EVERY
        with contextlib.suppress(StateDirectoryError):  # the publisher told of it
            self._queue.tidy()
        self._report.update(is_connected=self._connectivity.is_connected)
        if self._queue.replaced:
            name, why = self._queue.replaced
            self._health.raise_problem(
                Problem(
                    code=QUEUE_DAMAGED,
                    title=f"The queue of readings was damaged ({why}), and begun anew; it is {name} now.",
                    remedy="Look at the disk (dmesg). `sqlite3 FILE .recover` may find readings. Remove it, restart.",
                )
            )
        self._health.show()

    # Down -------------------------------------------------------------------------------------------------------------

    def _arrived(self, event: Message) -> None:
        self._health.traffic.messages_received += 1
        self._show_soon()
        if self._suspects.is_set_aside(event):
            self._set_aside(event)
            return
        if self._commands.is_logged(event.topic):
            _log.info("message on %s: %s", printable(event.topic), printable(event.payload))
        self._suspects.handled(event, self._clock.monotonic())
        if self._orders.take(event):
            event.acknowledge()
        else:
            self._commands.take(event)
        if self._orders.is_ordered:
            self._orders.is_ordered = False
            raise Rotate

    def _set_aside(self, event: Message) -> None:
        event.acknowledge()
        problem = Problem(
            code=SET_ASIDE,
            title=f"A message on {printable(event.topic)} ({len(event.payload)} bytes) was set aside: "
            f"{TIMES} times the connection ended right after it came.",
            remedy="Look at what sent it, and at its response topic; sent again later it is a new one.",
        )
        if self._health.raise_problem(problem):
            _log.warning("%s %s", problem.title, problem.remedy)

    # The connection -----------------------------------------------------------------------------------------------

    def _connected(self, event: Connected) -> None:
        self._limits = event.limits
        self._connectivity.connected(event)
        self._publisher.connected(self._session)
        self._subscriptions.connected(rejoined=event.rejoined)
        if self._presence:
            self._say(self._presence.online)
        self._orders.connected()
        self._show()

    def _disconnected(self, event: Disconnected) -> None:
        self._connectivity.ended(event)
        self._suspects.ended(self._clock.monotonic())
        self._publisher.disconnected()
        self._subscriptions.disconnected()
        self._commands.disconnected()

    def _calmed(self) -> None:
        self._suspects.calmed()
        self._health.clear_problem(SET_ASIDE)

    def _say(self, payload: str) -> None:
        if self._presence:
            self._publisher.answer(
                Outgoing(
                    topic=self._presence.topic,
                    payload=payload.encode(),
                    retain=self._presence.retain and self._limits.can_retain,
                )
            )
