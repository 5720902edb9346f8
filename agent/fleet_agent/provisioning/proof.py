"""Proves a new credential by using it: a session as the thing, and one reading that AWS acknowledges.

A connect alone proves little: AWS may end an untrusted client a moment after a good CONNACK. Policies made a moment ago
spread slowly, so a refusal is not the last word at once.
"""

from collections.abc import Callable

from fleet_agent.clock import Clock
from fleet_agent.credentials.model import Credential, KeyPair
from fleet_agent.errors import AgentError, NotAllowedError, TemporaryError, UnreachableError
from fleet_agent.mailbox import Mailbox
from fleet_agent.session.message import Outgoing
from fleet_agent.session.mqtt import (
    NOT_AUTHORIZED,
    Connected,
    ConnectFailed,
    Disconnected,
    Published,
    Session,
)
from fleet_agent.session.route import Route

CONNECT_LIMIT = 35.0  # seconds, as for the claim's session
TOPIC_LIMIT = 60.0  # seconds that a refused topic may still be a policy on its way
END_LIMIT = 1.0  # seconds for the end of a connection to be told after what failed with it
TOPIC_POLL = 3.0  # seconds between tries of a refused topic


class Proof:
    """Opens a session with a candidate credential and publishes a reading.

    Args:
        route: Where AWS IoT is.
        mailbox: Where events come in.
        clock: For the limits.
        topic: The topic of the reading, once there is a thing.
        reading: Gives the payload: a real reading, since it will be seen.
        tell_waiting: Hears why the proof waits, and for how many seconds.
    """

    def __init__(
        self,
        route: Route,
        mailbox: Mailbox,
        clock: Clock,
        topic: Callable[[Credential], str],
        reading: Callable[[], bytes],
        tell_waiting: Callable[[AgentError, float], None],
    ) -> None:
        self._route = route
        self._mailbox = mailbox
        self._clock = clock
        self._topic = topic
        self._reading = reading
        self._tell_waiting = tell_waiting

    def prove(self, credential: Credential, pair: KeyPair) -> NotAllowedError | None:
        """Return when the identity is proven.

        Returns:
            None; or, when the connection stands but the topic stays refused, what the policy lacks.

        Raises:
            DeviceError, RefusedError, TemporaryError, UnreachableError: It is not proven.
        """
        topic = self._topic(credential)
        session = Session(self._route, pair, credential.client_id, self._mailbox, is_thing=True)
        session.start(is_hasty=True)
        try:
            return self._publish_one(session, topic)
        finally:
            session.close()

    def _publish_one(self, session: Session, topic: str) -> NotAllowedError | None:
        refused = NotAllowedError("thing", "iot:Publish", f"topic/{topic}")
        now = self._clock.monotonic()
        until, patient_until = now + CONNECT_LIMIT, now + TOPIC_LIMIT
        lost = ""
        while (event := self._mailbox.wait(until)) is not None:
            match event:
                case ConnectFailed(session=failed) if failed is session:
                    raise session.explain(event, self._clock.wall())
                case Connected(session=opened) if opened is session:
                    session.publish(Outgoing(topic=topic, payload=self._reading()))
                    until = patient_until + CONNECT_LIMIT
                    lost = "no answer in time"
                case Published(session=used, reason_code=0 | 16) if used is session:
                    return None
                case Published(session=used, reason_code=code) if (
                    used is session and code == NOT_AUTHORIZED
                ):
                    if self._clock.monotonic() + TOPIC_POLL > patient_until:
                        return refused
                    self._tell_waiting(refused, TOPIC_POLL)
                    self._mailbox.sleep(TOPIC_POLL)
                    session.publish(Outgoing(topic=topic, payload=self._reading()))
                case Published(session=used, reason_code=int()) if used is session:
                    raise self._busy(event)
                case Published(session=used) if used is session:
                    # The connection's end says more; it comes next, if that is why.
                    lost = event.error
                    until = self._clock.monotonic() + END_LIMIT
                case Disconnected(session=ended) if ended is session:
                    raise self._ended(event, refused)
        raise _lost(lost) if lost else session.explain(None, self._clock.wall())

    def _ended(self, event: Disconnected, refused: NotAllowedError) -> Exception:
        if event.reason_code == NOT_AUTHORIZED:
            return refused
        return _lost(f"DISCONNECT {event.reason_code}" if event.reason_code else event.error)

    def _busy(self, event: Published) -> TemporaryError:
        return TemporaryError(
            f"AWS IoT does not take the new identity's first reading on {event.topic}: PUBACK {event.reason_code}.",
            remedy="It is tried again, slower and slower; 144 means that the topic is none that AWS IoT takes.",
            code="busy",
        )


def _lost(why: str) -> UnreachableError:
    return UnreachableError(
        f"The new identity's first reading was not acknowledged: {why}.",
        remedy="It is tried again.",
        code="connection-lost",
    )
