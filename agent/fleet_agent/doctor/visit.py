"""One short session: connect, hear what the broker says to each topic, and leave."""

from collections.abc import Sequence

from fleet_agent.clock import Clock
from fleet_agent.credentials.model import KeyPair
from fleet_agent.errors import AgentError
from fleet_agent.mailbox import Mailbox
from fleet_agent.session.message import Outgoing, Upkeep
from fleet_agent.session.mqtt import (
    Connected,
    ConnectFailed,
    Disconnected,
    Message,
    Published,
    Session,
    Subscribed,
)
from fleet_agent.session.route import Route

_CONNECT = 25.0  # seconds; TLS failures take awscrt long, but ``way`` has named those before
_ACK = 10.0  # seconds to a SUBACK or PUBACK
_ANSWER = 6.0  # seconds to an answer of the provisioning API
REFUSED = 128  # reason codes from here on are errors


class Visit:
    """A session under one credential; ``codes`` has the SUBACK code of each filter once open.

    A device's own keeps what AWS has queued for it: it rejoins, and acknowledges nothing that comes.

    Args:
        route: Where to.
        pair: Under which credential.
        client_id: As whom.
        filters: Topic filters with their QoS.
        is_thing: Whether it is the device's own.
        clock: For the limits.

    Raises:
        DeviceError: The credential or the CA cannot be loaded.
    """

    def __init__(
        self,
        route: Route,
        pair: KeyPair,
        client_id: str,
        filters: Sequence[tuple[str, int]],
        *,
        is_thing: bool,
        clock: Clock,
    ) -> None:
        self._clock = clock
        self._mailbox = Mailbox(clock)
        self._mailbox.stop_on_signals()
        self._wanted = len(filters)
        self._heard: list[str] = []
        self.codes: dict[str, int] = {}
        self._lost = ""
        self._session = Session(
            route,
            pair,
            client_id,
            self._mailbox,
            filters=filters,
            is_thing=is_thing,
            upkeep=Upkeep(flow_control=False),
        )

    def open(self) -> AgentError | None:
        """Connect and subscribe; why it did not connect, None when it did."""
        self._session.start()
        until = self._clock.monotonic() + _CONNECT
        failure: ConnectFailed | None = None
        while (event := self._mailbox.wait(until)) is not None:
            if isinstance(event, Connected):
                self._await_filters()
                return None
            if isinstance(event, ConnectFailed):
                failure = event
                break
        return self._session.explain(failure, self._clock.wall())

    def _await_filters(self) -> None:
        until = self._clock.monotonic() + _ACK
        while len(self.codes) < self._wanted and (event := self._mailbox.wait(until)) is not None:
            match event:
                case Subscribed(filters=names, reason_codes=codes):
                    self.codes |= dict(zip(names, codes, strict=False))
                    if not codes:
                        return
                case Disconnected():
                    self._note_loss(event)
                    return
                case _:
                    pass

    def publish(self, message: Outgoing) -> int | None:
        """The PUBACK's code; None when the connection ended instead, or nothing came."""
        self._heard.clear()
        self._session.publish(message)
        until = self._clock.monotonic() + _ACK
        while (event := self._mailbox.wait(until)) is not None:
            match event:
                case Published(topic=topic, reason_code=code) if topic == message.topic:
                    return code
                case Disconnected():
                    self._note_loss(event)
                    return None
                case Message(topic=topic):
                    self._heard.append(topic)
                case _:
                    pass
        return None

    def hears(self, topic: str) -> bool:
        """Whether something comes below a topic, since the last ``publish``."""
        until = self._clock.monotonic() + _ANSWER
        while not any(one.startswith(f"{topic}/") for one in self._heard):
            event = self._mailbox.wait(until)
            if event is None or isinstance(event, Disconnected):
                return False
            if isinstance(event, Message):
                self._heard.append(event.topic)
        return True

    def _note_loss(self, event: Disconnected) -> None:
        code = event.reason_code
        self._lost = f"DISCONNECT {code}" if code is not None else event.error

    def loss(self) -> str:
        """How the connection ended; empty while it stands."""
        return self._lost

    def close(self) -> None:
        """Leave."""
        self._session.close()
