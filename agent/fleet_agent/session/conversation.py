"""One short session that asks and waits for answers, for provisioning, the proof and the doctor.

All waiting happens here, with a limit; the caller decides what to ask and judges the answer. What came back is a value:
a code, a message, ``Unsent``, ``Ended``, or None when nothing came in time.

``release`` gives up a session that is to go on. Its new owner finds in the mailbox what it would have found had it
opened the session itself: that it is connected, and each message that was not asked for here.
"""

import dataclasses
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from typing import Any

from fleet_agent.clock import Clock
from fleet_agent.process.mailbox import Mailbox
from fleet_agent.record import record
from fleet_agent.session import packets, reasons
from fleet_agent.session.events import (
    CallbackFailed,
    Connected,
    ConnectFailed,
    Disconnected,
    Message,
    Published,
    Subscribed,
)
from fleet_agent.session.message import Outgoing
from fleet_agent.session.mqtt import Session
from fleet_agent.session.reasons import Packet

CONNECT_LIMIT = 35.0  # seconds; TLS failures reach awscrt's callback after up to 30
DIAGNOSE_AFTER = 4.0  # seconds of silence before we look for the cause ourselves
ACKNOWLEDGE_LIMIT = 10.0  # seconds to a SUBACK or PUBACK
END_LIMIT = 1.0  # seconds for the end of a connection to follow the failure that it caused

# AWS sends at most 100 messages without an acknowledgement, and QoS 0 may lose any.
KEPT_MESSAGES = 128


@record
class Ended:
    """The connection ended before the answer came; ``reason_code`` is the server's DISCONNECT's if there was one."""

    reason_code: int | None
    error: str

    def __str__(self) -> str:
        if self.reason_code is None:
            return self.error
        return reasons.words(Packet.DISCONNECT, self.reason_code)


@record
class Unsent:
    """A request did not go out, or its PUBACK was an error (``is_refused``); ``error`` is awscrt's name for it."""

    request: object = dataclasses.field(repr=False)
    error: str
    is_refused: bool = False

    def __str__(self) -> str:
        return self.error


class Conversation:
    """A session from ``start`` to ``close`` or ``release``.

    Args:
        session: Not started yet.
        mailbox: The session's. While a call here waits, no other events are expected in it.
        clock: For the limits.
    """

    def __init__(self, session: Session, mailbox: Mailbox, clock: Clock) -> None:
        self.session = session
        # How the connection ended the first time; a device's own session reconnects by itself.
        self.ended: Ended | None = None
        # The SUBACK code of each filter so far.
        self.codes: dict[str, int] = {}
        self._mailbox = mailbox
        self._clock = clock
        self._connected: Connected | None = None
        self._subscribe_error: str | None = None
        self._messages: list[Message] = []

    def start(self, *, sets_nodelay: bool = False) -> None:
        """Begins to connect and to subscribe; the caller can do something else meanwhile.

        Args:
            sets_nodelay: As for ``Session.start``.
        """
        self.session.start(sets_nodelay=sets_nodelay)

    def connect(self, limit: float = CONNECT_LIMIT) -> None:
        """Waits until the connection stands.

        Raises:
            AgentError: Why it does not: what the diagnosis found, or what awscrt and the broker said.
        """
        started = self._clock.monotonic()
        moments = [started + min(DIAGNOSE_AFTER, limit), started + limit]
        failure: ConnectFailed | None = None
        while moments and failure is None and self._connected is None:
            event = self._next_event(moments[0])
            if isinstance(event, ConnectFailed):
                failure = event
            if event is None:
                moments.pop(0)
                if moments:
                    self._look()
        if self._connected is None:
            from fleet_agent.session import diagnosis

            raise diagnosis.explain(self.session, failure, self._clock.wall())

    def _look(self) -> None:
        # Its ssl costs 4 MB: only when something is wrong.
        from fleet_agent.session import diagnosis

        if found := diagnosis.look(self.session, self._clock.wall()):
            raise found

    def granted(
        self, filters: Collection[str], limit: float = ACKNOWLEDGE_LIMIT
    ) -> Mapping[str, int] | Unsent | Ended | None:
        """Waits for the SUBACK code of each of these filters.

        Returns:
            All codes received so far, including these.
        """
        until = self._clock.monotonic() + limit
        while not self.codes.keys() >= set(filters):
            if self._subscribe_error is not None:
                return Unsent(request=filters, error=self._subscribe_error)
            if self.ended is not None:
                return self.ended
            if self._next_event(until) is None:
                return None
        return self.codes

    def publish(
        self, message: Outgoing, limit: float = ACKNOWLEDGE_LIMIT
    ) -> int | Unsent | Ended | None:
        """Publishes, and waits for the PUBACK's code."""
        until = self._clock.monotonic() + limit
        tag = object()
        self.session.publish(message, tag)
        failed: Unsent | None = None
        while (event := self._next_event(until)) is not None:
            match event:
                case Published(tag=mine, reason_code=int(code)) if mine is tag:
                    return code
                case Published(tag=mine) if mine is tag:
                    # The connection's end says more; it comes next, if that is why.
                    failed = Unsent(request=message, error=event.error)
                    until = self._clock.monotonic() + END_LIMIT
                case Disconnected() | CallbackFailed():
                    return self.ended
                case _:
                    pass
        return failed

    def ask(
        self, request: Callable[[], "Future[Any]"], answers: Collection[str], limit: float
    ) -> Message | Unsent | Ended | None:
        """Has the SDK publish a request, and waits for a message on one of the topics of its answers."""
        until = self._clock.monotonic() + limit

        def done(future: "Future[Any]") -> None:
            if error := future.exception():
                self._mailbox.put(_unsent(request, error))

        try:
            request().add_done_callback(done)
        except Exception as error:  # noqa: BLE001 - whatever awscrt refuses to send
            return _unsent(request, error)
        while True:
            event = self._next_event(until)
            match event:
                case None:
                    return None
                case Message(topic=topic) if topic in answers:
                    self._messages = [kept for kept in self._messages if kept is not event]
                    return event
                case Disconnected() | CallbackFailed():
                    return self.ended
                case Unsent(request=mine) if mine is request:
                    return event
                case _:
                    pass

    def receives_below(self, topic: str, limit: float) -> bool:
        """Whether a message comes on a topic below ``topic``; one that came already counts."""
        until = self._clock.monotonic() + limit
        while not any(message.topic.startswith(f"{topic}/") for message in self._messages):
            if self.ended is not None or self._next_event(until) is None:
                return False
        return True

    def wait(self, seconds: float) -> None:
        """Waits; nothing that arrives meanwhile is lost."""
        until = self._clock.monotonic() + seconds
        while self._next_event(until) is not None:
            pass

    def release(self) -> Session:
        """Gives up the session, which goes on."""
        if self._connected is not None:
            self._mailbox.put(self._connected)
        for message in self._messages:
            self._mailbox.put(message)
        return self.session

    def close(self) -> None:
        """Disconnects; later events of this session are ignored."""
        self.session.close()

    def _next_event(self, until: float) -> object | None:
        """Takes and records the next event of this session; None once ``until`` has passed."""
        while (event := self._mailbox.wait(until)) is not None:
            match event:
                case Unsent():
                    return event
                case (
                    CallbackFailed()
                    | Connected()
                    | ConnectFailed()
                    | Disconnected()
                    | Subscribed()
                    | Published()
                    | Message()
                ) if event.session is self.session:
                    self._note(event)
                    return event
                case _:
                    pass
        return None

    def _note(self, event: object) -> None:
        match event:
            case Connected():
                self._connected = event
            case Disconnected():
                end = Ended(reason_code=event.reason_code, error=event.error)
                self._connected, self.ended = None, self.ended or end
                self._messages.clear()  # AWS sends them again
            case CallbackFailed():
                # Its event is lost, so the connection counts as lost, too.
                self.ended = self.ended or Ended(reason_code=None, error=str(event.error))
            case Subscribed():
                self.codes |= dict(zip(event.filters, event.reason_codes, strict=False))
                self._subscribe_error = event.error if event.no_answer is not None else None
            case Message() if len(self._messages) < KEPT_MESSAGES:
                self._messages.append(event)
            case _:
                pass


def _unsent(request: object, error: BaseException) -> Unsent:
    name = str(getattr(error, "name", type(error).__name__))
    return Unsent(request=request, error=name, is_refused=packets.is_refusal(error))
