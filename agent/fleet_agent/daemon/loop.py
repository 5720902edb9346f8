"""The loop of the daemon: one session as the thing, readings up, orders down.

Runs on the deciding thread: handles one event or deadline after another until the agent is asked to stop. Between
events the publisher commits what came in and sends what may go.
"""

import contextlib
import itertools
import logging
import math
from collections.abc import Callable, Iterator, Sequence

from fleet_agent.clock import Clock
from fleet_agent.config.subscriptions import Presence
from fleet_agent.daemon.endings import Ending
from fleet_agent.daemon.refusal_watch import RecoverRequested
from fleet_agent.daemon.requests import Requests
from fleet_agent.daemon.serving import Actor, Serving
from fleet_agent.daemon.start_options import StartOptions
from fleet_agent.daemon.traffic_report import TrafficReport
from fleet_agent.errors import StateDirectoryError
from fleet_agent.health import table
from fleet_agent.health.status import Health
from fleet_agent.orders.router import Orders, Receipt
from fleet_agent.orders.suspects import TIMES, Suspects
from fleet_agent.printable import printable
from fleet_agent.process.mailbox import (
    Mailbox,
    Ready,
    ReloadRequested,
    RotateRequested,
    StopRequested,
)
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
from fleet_agent.telemetry.publisher import Publisher
from fleet_agent.telemetry.queue import Queue
from fleet_agent.telemetry.reading import Source

_log = logging.getLogger(__name__)

SHOW_EVERY = 60.0  # seconds between refreshes of status.json while nothing changes
# Seconds between refreshes under traffic; a single event is shown at once, without another wake-up.
SHOW_SOON = 5.0
# Seconds for the SDK's thread to take in acknowledgements without this one, while nothing can be sent before they come:
# for each of them the two would otherwise take Python's lock from each other.
ANSWERS_PAUSE = 0.0002
# Seconds to read what local programs have already sent, at the end.
SERVE_LIMIT = 0.5
# Seconds to send what waits when the agent is asked to stop, and then to wait for acknowledgements.
FLUSH_LIMIT = 4.0
ACKNOWLEDGE_LIMIT = 1.0
TURNS = 64  # events between two commits, at most


class Loop:
    """Joins one credential in service with what goes up and what comes down.

    Args:
        serving: The credential in service; its session is closed by ``finish``.
        suspects: Messages that may end the connection.
        publisher: Sends readings up.
        queue: Where readings wait; closed by the caller.
        sources: Make readings.
        orders: Everything that comes down.
        requests: Carries out requests to the process: reload, rotate.
        mailbox: Where events come in.
        clock: For deadlines.
        health: Where problems go.
        traffic_report: Fills in the figures that the status shows.
        chores: What else has deadlines.
    """

    def __init__(  # noqa: PLR0913 - the composition of the whole loop, all named
        self,
        *,
        serving: Serving,
        suspects: Suspects,
        publisher: Publisher,
        queue: Queue,
        sources: Sequence[Source],
        orders: Orders,
        requests: Requests,
        mailbox: Mailbox,
        clock: Clock,
        health: Health,
        traffic_report: TrafficReport,
        chores: Sequence[Actor] = (),
    ) -> None:
        self._serving = serving
        self._suspects = suspects
        self._limits = Limits()
        self._publisher = publisher
        self._queue = queue
        self._sources = sources
        self._orders = orders
        self._requests = requests
        self._mailbox = mailbox
        self._clock = clock
        self._health = health
        self._traffic_report = traffic_report
        self._chores: list[Actor] = [*sources, orders, *chores]
        self._show_at = clock.monotonic() + SHOW_EVERY
        self._shown_at = -math.inf
        self._tidy_at = math.inf

    def run(self) -> Ending:
        """Runs until there is a reason to end; the caller calls ``finish`` next, whatever the ending."""
        self._show_connecting()
        try:
            while True:
                pause = self._publisher.settle()
                if self._publisher.is_full:
                    pause = pause or ANSWERS_PAUSE
                if pause:
                    self._mailbox.rest(pause)
                if self._health.is_outdated:
                    self._show_soon()
                for event in self._mailbox.burst(self._due(), TURNS):
                    if ending := self._take(event):
                        return ending
                if ending := self._act():
                    return ending
        except StopRequested:
            return Ending.STOP

    def _show_connecting(self) -> None:
        self._health.set_activity(f"connecting to {self._serving.session.route.host}")

    def finish(self) -> None:
        """Takes no more readings, and gives what is under way a moment to be acknowledged; the rest stays queued."""
        self._serve_the_rest()
        # So that senders hear of it, and positions in files are saved.
        self._publisher.settle(at_once=True)
        for source in self._sources:
            source.close()
        self._orders.close()
        self._publisher.settle(at_once=True)
        if self._is_connected and (presence := self._serving.presence):
            self._publish_presence(presence, presence.offline)
        self._drain(FLUSH_LIMIT)
        self._publisher.disconnected()
        self._drain(ACKNOWLEDGE_LIMIT)
        self._show()
        self._serving.session.close()

    def _serve_the_rest(self) -> None:
        """Reads what local programs have sent by now: closing a connection with unread data would reset it."""
        until = self._clock.monotonic() + SERVE_LIMIT
        while self._clock.monotonic() < until:
            event = self._mailbox.wait(-math.inf, although_stopping=True)
            if event is None:
                return
            self._handle_session_event(event)

    @property
    def reloaded(self) -> StartOptions | None:
        """The options for a new image of the process, where a reload has read and checked them."""
        return self._requests.reloaded

    @property
    def connected_at(self) -> float:
        """When the connection stood the last time (monotonic seconds)."""
        return self._serving.connectivity.connected_at

    @property
    def _is_connected(self) -> bool:
        return self._serving.connectivity.is_connected

    def _drain(self, seconds: float) -> None:
        """Goes on sending and receiving for so long; requests to the process are no longer carried out."""
        until = self._clock.monotonic() + seconds
        while self._is_connected and not self._publisher.is_idle(until):
            due = min(until, self._publisher.due)
            event = self._mailbox.wait(due, although_stopping=True)
            if event is None and due == until:
                return
            if event is not None:
                self._handle_session_event(event)
            self._publisher.settle(at_once=True)

    @property
    def _actors(self) -> Iterator[Actor]:
        serving = self._serving
        return itertools.chain(
            self._chores, serving.chores, (serving.subscriptions, serving.connectivity)
        )

    def _due(self) -> float:
        return min(
            self._show_at,
            self._tidy_at,
            self._publisher.due,
            *(actor.due for actor in self._actors),
        )

    def _act(self) -> Ending | None:
        now = self._clock.monotonic()
        for actor in self._actors:
            if actor.due <= now and (ending := actor.act()):
                return ending
        if now >= self._tidy_at:
            self._tidy()
        if now >= self._show_at:
            self._show()
        return None

    def _take(self, event: object) -> Ending | None:
        if isinstance(event, ReloadRequested):
            return self._requests.reload()
        if isinstance(event, RecoverRequested):
            # The identity may work again by now.
            return None if self._is_connected else self._replace(self._requests.recover)
        if (
            isinstance(event, RotateRequested)
            or self._handle_session_event(event) is Receipt.ROTATE
        ):
            return self._replace(self._requests.rotate)
        return None

    def _handle_session_event(self, event: object) -> Receipt | None:
        """Takes an event, except a request to the process, which is dropped; returns what became of a message."""
        match event:
            case Ready():
                event.act()
            case Published():
                self._published(event)
            case Message():
                return self._arrived(event)
            case Connected() | ConnectFailed() | Disconnected() | Subscribed() | CallbackFailed():
                if event.session is self._serving.session:  # not a late event of a closed one
                    self._take_session_event(event)
            case _:
                pass
        return None

    def _take_session_event(
        self, event: Connected | ConnectFailed | Disconnected | Subscribed | CallbackFailed
    ) -> None:
        match event:
            case Connected():
                self._connected(event)
            case ConnectFailed():
                self._serving.connectivity.failed(event)
            case Disconnected():
                self._disconnected(event)
            case Subscribed():
                if self._serving.subscriptions.subscribed(event):
                    self._orders.granted()
            case CallbackFailed():
                self._serving.connectivity.callback_failed(event)

    def _published(self, event: Published) -> None:
        self._publisher.published(event)
        self._show_soon()
        if self._publisher.counts.acknowledged and not self._health.traffic.readings_acknowledged:
            self._show()  # the first acknowledgement is what everybody waits to see

    # Another credential -----------------------------------------------------------------------------------------------

    def _replace(self, ask: Callable[[Serving], Serving | Ending]) -> Ending | None:
        """Replaces the credential: closes the old session, and goes on with the one that proved the new credential."""
        self._publisher.settle(at_once=True)
        # A job's update that is acknowledged is not sent again.
        self._drain(ACKNOWLEDGE_LIMIT)
        self._publisher.leave()
        self._leave()
        self._serving.session.close()
        with self._mailbox.serving(self._settle):
            found = ask(self._serving)
        if isinstance(found, Ending):
            return found
        self._serving = found
        self._show_connecting()
        return None

    def _settle(self) -> float:
        """Commits what local programs send while there is no session."""
        self._publisher.settle()
        return self._publisher.due

    # The status -------------------------------------------------------------------------------------------------------

    def _show_soon(self) -> None:
        self._show_at = min(self._show_at, self._shown_at + SHOW_SOON)

    def _tidy(self) -> None:
        """Drops what is too old, a turn at a time."""
        self._tidy_at = math.inf
        with contextlib.suppress(StateDirectoryError):  # the publisher has reported it
            if self._queue.tidy():
                self._tidy_at = self._clock.monotonic()

    def _show(self) -> None:
        self._shown_at = self._clock.monotonic()
        self._show_at = self._shown_at + SHOW_EVERY
        self._tidy()
        self._traffic_report.update(is_connected=self._is_connected)
        self._health.is_outdated = False
        if self._queue.replaced:
            name, why = self._queue.replaced
            title = f"The queue of readings was damaged ({why}) and replaced by an empty one; it is kept as {name}."
            self._health.report(table.QUEUE_DAMAGED.problem(title))
        self._health.show()

    # Down -------------------------------------------------------------------------------------------------------------

    def _arrived(self, event: Message) -> Receipt:
        self._health.traffic.messages_received += 1
        self._show_soon()
        if self._suspects.is_set_aside(event):
            self._set_aside(event)
            return Receipt.TAKEN
        if self._serving.subscriptions.has_brought(event):
            event.acknowledge()
            return Receipt.TAKEN
        if self._orders.is_logged(event.topic):
            _log.info("message on %s: %s", printable(event.topic), printable(event.payload))
        receipt = self._orders.take(event)
        if receipt is not Receipt.HELD:
            # A held message is never a suspect: set aside, it would be lost before any handler saw it.
            self._suspects.handled(event, self._clock.monotonic())
        return receipt

    def _set_aside(self, event: Message) -> None:
        event.acknowledge()
        problem = table.MESSAGE_SET_ASIDE.problem(
            f"A message on {printable(event.topic)} ({len(event.payload)} bytes) was set aside: "
            f"the connection ended {TIMES} times right after it arrived."
        )
        self._health.warn(problem)

    # The connection -----------------------------------------------------------------------------------------------

    def _connected(self, event: Connected) -> None:
        self._limits = event.limits
        self._serving.connectivity.connected(event)
        self._publisher.connected(self._serving.session, event.limits)
        self._serving.subscriptions.connected(rejoined=event.rejoined)
        if presence := self._serving.presence:
            self._publish_presence(presence, presence.online)
        self._orders.connected()
        self._show()

    def _disconnected(self, event: Disconnected) -> None:
        self._serving.connectivity.ended(event)
        self._suspects.ended(self._clock.monotonic())
        self._publisher.disconnected()
        self._leave()

    def _leave(self) -> None:
        """Handles the end of the connection: AWS sends again what is not acknowledged."""
        self._serving.subscriptions.disconnected()
        self._orders.disconnected()

    def _publish_presence(self, presence: Presence, payload: str) -> None:
        self._publisher.answer(
            Outgoing(
                topic=presence.topic,
                payload=payload.encode(),
                retain=presence.retain and self._limits.can_retain,
            )
        )
