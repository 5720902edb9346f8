"""The years after provisioning: one session as the thing, readings up at their intervals, messages down.

Runs on the deciding thread: takes an event or a deadline at a time until the agent is asked to stop.
"""

import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from fleet_agent import log
from fleet_agent.clock import Clock
from fleet_agent.config.subscriptions import Subscription
from fleet_agent.config.telemetry import FromSystem, Telemetry
from fleet_agent.credentials.model import Credential
from fleet_agent.errors import AgentError, NotAllowedError
from fleet_agent.health import Health, Problem
from fleet_agent.log import Moment
from fleet_agent.mailbox import Mailbox
from fleet_agent.session.mqtt import (
    Connected,
    ConnectFailed,
    Disconnected,
    Message,
    Published,
    Session,
    Subscribed,
)
from fleet_agent.telemetry.publisher import Outgoing, Publisher
from fleet_agent.telemetry.reading import timed
from fleet_agent.telemetry.sources import system

_log = logging.getLogger(__name__)

SHOW_EVERY = 60.0  # seconds between refreshes of status.json while nothing changes
SHOW_SOON = (
    5.0  # seconds, at most, until it shows what came and went; a write for each would be too many
)
LOGGED_BYTES = 1024  # of a message that came down
TAKEN_OVER = 142  # DISCONNECT: another client connected under this client id

OFFLINE = "offline"
CLONED = "cloned?"
PUBLISH_REFUSED = "publish-refused"
SUBSCRIBE_REFUSED = "subscribe-refused"


class TelemetryLoop:
    """Joins one session with what goes up and what comes down.

    Args:
        session: As the thing; started here, closed by the caller.
        credential: Fills the topics.
        telemetry: What to send.
        subscriptions: What to listen to.
        mailbox: Where everything comes in.
        clock: For intervals and reading times.
        health: Where problems go.
        disk: A path on the file system that readings report on.
    """

    def __init__(  # noqa: PLR0913 - the composition of the whole loop, all named
        self,
        *,
        session: Session,
        credential: Credential,
        telemetry: Telemetry,
        subscriptions: Sequence[Subscription],
        mailbox: Mailbox,
        clock: Clock,
        health: Health,
        disk: Path,
    ) -> None:
        self._session = session
        self._certificate = f"certificate {credential.certificate_id}"
        self._topic = credential.topic(telemetry.topic, "system")
        self._intervals = [
            source.system.interval
            for source in telemetry.sources
            if isinstance(source, FromSystem)
        ]
        self._logs = any(item.log for item in subscriptions)
        self._mailbox = mailbox
        self._clock = clock
        self._health = health
        self._disk = disk
        self._publisher = Publisher(session)
        self._is_diagnosed = False
        self._show_at = clock.monotonic() + SHOW_EVERY

    def run(self) -> None:
        """Go on until the mailbox raises ``StopRequested``."""
        now = self._clock.monotonic()
        due: list[tuple[float, float, Callable[[], None]]] = [
            (now, interval, self._read) for interval in self._intervals
        ]
        self._session.start()
        self._health.doing(f"connecting to {self._session.route.host}")
        while True:
            due.sort(key=lambda item: item[0])
            moment, interval, act = due[0] if due else (self._show_at, SHOW_EVERY, self._show)
            if self._clock.monotonic() >= self._show_at:
                self._show()
            elif self._clock.monotonic() >= moment:
                act()
                # After a suspend or a stall: the next one from now, no burst of the missed ones.
                due[0] = (max(moment + interval, self._clock.monotonic()), interval, act)
            elif (event := self._mailbox.wait(min(moment, self._show_at))) is not None:
                self._take(event)

    def _take(self, event: object) -> None:
        match event:
            case Connected():
                self._connected()
            case ConnectFailed():
                self._connect_failed(event)
            case Disconnected():
                self._disconnected(event)
            case Subscribed():
                self._subscribed(event)
            case Published():
                self._published(event)
            case Message():
                self._arrived(event)
            case _:
                pass

    # Up -------------------------------------------------------------------------------------------------------------

    def _read(self) -> None:
        payload = timed(self._clock.wall(), system.read(self._disk))
        self._publisher.put(Outgoing(topic=self._topic, payload=payload))

    def _published(self, event: Published) -> None:
        self._publisher.published(event)
        self._show_soon()
        refused = self._publisher.refused_topic
        if refused is not None:
            self._raise(
                PUBLISH_REFUSED, NotAllowedError("thing", "iot:Publish", f"topic/{refused}")
            )
        elif event.reason_code is not None:
            self._health.clear_problem(PUBLISH_REFUSED)
        if self._publisher.acknowledged and not self._health.traffic.readings_acknowledged:
            self._show()  # that AWS has the first one is what everybody waits to read in the status

    def _show_soon(self) -> None:
        self._show_at = min(self._show_at, self._clock.monotonic() + SHOW_SOON)

    def _show(self) -> None:
        self._show_at = self._clock.monotonic() + SHOW_EVERY
        traffic = self._health.traffic
        traffic.readings_acknowledged = self._publisher.acknowledged
        traffic.readings_waiting = self._publisher.waiting
        traffic.readings_dropped = self._publisher.dropped
        self._health.show()

    # Down -------------------------------------------------------------------------------------------------------------

    def _subscribed(self, event: Subscribed) -> None:
        refused = [
            name
            for name, code in zip(event.filters, event.reason_codes, strict=False)
            if code >= 128  # noqa: PLR2004 - MQTT 5: an error
        ]
        if refused:
            self._raise(
                SUBSCRIBE_REFUSED,
                NotAllowedError("thing", "iot:Subscribe", f"topicfilter/{refused[0]}"),
            )
        elif not event.error:
            self._health.clear_problem(SUBSCRIBE_REFUSED)
            _log.info("subscribed to %s", ", ".join(event.filters))

    def _arrived(self, event: Message) -> None:
        self._health.traffic.messages_received += 1
        self._show_soon()
        if self._logs:
            _log.info("message on %s: %s", event.topic, printable(event.payload))

    # The connection -----------------------------------------------------------------------------------------------

    def _connected(self) -> None:
        self._is_diagnosed = False
        self._health.clear_problem(OFFLINE)
        self._health.doing(f"connected as {self._session.client_id}, {self._certificate}")
        _log.info(
            "connected to %s as %s",
            self._session.route.host,
            self._session.client_id,
            extra=log.fields(Moment.CONNECTED),
        )
        self._publisher.connected()
        self._show()

    def _connect_failed(self, event: ConnectFailed) -> None:
        if self._is_diagnosed:
            return
        self._is_diagnosed = True  # once an outage: looking for the cause takes seconds
        error = event.session.explain(event, self._clock.wall())
        self._raise(OFFLINE, error)
        self._health.doing("waiting to connect")

    def _disconnected(self, event: Disconnected) -> None:
        self._publisher.disconnected()
        code = f"DISCONNECT {event.reason_code}" if event.reason_code else event.error
        _log.info("connection ended: %s", code)
        self._health.doing("reconnecting")
        if event.reason_code == TAKEN_OVER:
            self._health.raise_problem(
                Problem(
                    code=CLONED,
                    title=f"Another client connected as {self._session.client_id}.",
                    remedy="Two devices with one identity? Provision one of them anew: fleet-agent provision --force",
                )
            )

    def _raise(self, code: str, error: AgentError) -> None:
        _log.warning(
            "%s %s",
            error.title,
            error.remedy,
            extra=log.fields(Moment.PROBLEM, problem=code),
        )
        self._health.raise_problem(Problem(code=code, title=error.title, remedy=error.remedy))


def printable(payload: bytes) -> str:
    """A payload from the network for a log: one line, no control characters, bounded."""
    text = payload[:LOGGED_BYTES].decode(errors="replace")
    more = f" … ({len(payload)} bytes)" if len(payload) > LOGGED_BYTES else ""
    return json.dumps(text, ensure_ascii=False)[1:-1].replace('\\"', '"') + more
