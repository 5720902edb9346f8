"""Proves a new credential by using it: a session as the thing, and one message that AWS acknowledges.

A connect alone proves little: AWS may end an untrusted client a moment after a good CONNACK. New policies take seconds
to spread, so an early refusal is not final. The session that proved the credential stays open: it is the device's own
from then on.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence

from fleet_agent.clock import Clock
from fleet_agent.credentials.model import Credential, KeyPair
from fleet_agent.errors import (
    AgentError,
    DeviceError,
    NotAllowedError,
    TemporaryError,
    UnreachableError,
)
from fleet_agent.process.mailbox import Mailbox
from fleet_agent.record import record
from fleet_agent.session import reasons
from fleet_agent.session.conversation import Conversation, Ended, Unsent
from fleet_agent.session.message import Outgoing
from fleet_agent.session.mqtt import Session
from fleet_agent.session.reasons import NOT_AUTHORIZED, Packet
from fleet_agent.topics import template

# Seconds for which a refused topic may only mean that its policy has not spread yet.
TOPIC_LIMIT = 60.0
TOPIC_POLL = 3.0  # seconds between tries of a refused topic
PUBACK_LIMIT = 35.0  # seconds; awscrt gives up after 30


@record
class ProofMessage:
    """A message that this device will publish anyway, once it is in service.

    Args:
        topic: A template.
        source: What ``{source}`` in it stands for.
        payload: Makes the payload when it is published; a real one, since subscribers see it.
        retain: Whether AWS is to retain it.
    """

    topic: str
    source: str = ""
    payload: Callable[[], bytes]
    retain: bool = False


@record
class Trial:
    """How a new credential is proven: with the first message whose topic can be filled in.

    ``subscription`` is for a device that publishes nothing: the template of a filter that it will ask for anyway.
    """

    messages: Sequence[ProofMessage] = ()
    subscription: str | None = None


@record
class Proven:
    """The open session that proved a credential; ``refused``: a topic that its policy lacks all the same."""

    session: Session
    how: str
    refused: NotAllowedError | None = None


class Proof:
    """Opens a session with a candidate credential and has AWS acknowledge something.

    Args:
        open_session: Makes the device's own session, as it will be in service.
        mailbox: Where events come in.
        clock: For the limits.
        trial: What is published or subscribed to.
        parameters: Template parameters by name, for the topics.
    """

    def __init__(
        self,
        open_session: Callable[[Credential, KeyPair], Session],
        mailbox: Mailbox,
        clock: Clock,
        trial: Trial,
        parameters: Callable[[str], str | None],
    ) -> None:
        self._open_session = open_session
        self._mailbox = mailbox
        self._clock = clock
        self._trial = trial
        self._parameters = parameters

    def prove(
        self,
        credential: Credential,
        pair: KeyPair,
        report_waiting: Callable[[AgentError, float], None],
    ) -> Proven:
        """Proves the identity; the session belongs to the caller then.

        Args:
            credential: Registered a moment ago.
            pair: Its certificate and key.
            report_waiting: Called with why the proof waits, and for how many seconds.

        Raises:
            DeviceError, RefusedError, TemporaryError, UnreachableError: It is not proven; the session is closed.
        """
        session = self._open_session(credential, pair)
        conversation = Conversation(session, self._mailbox, self._clock)
        conversation.start(sets_nodelay=True)
        try:
            conversation.connect()
            message = next(self._filled(credential), None)
            if message is None:
                how, refused = self._subscribe(conversation, credential), None
            else:
                how, refused = self._publish(conversation, message, report_waiting)
        except BaseException:
            conversation.close()
            raise
        how = f"a session as {credential.client_id}{how}"
        return Proven(session=conversation.release(), how=how, refused=refused)

    def _filled(self, credential: Credential) -> Iterator[Outgoing]:
        for message in self._trial.messages:
            try:
                name = template.fill(
                    message.topic, credential.topic_values, message.source, self._parameters
                )
            except DeviceError:  # who publishes there reports it
                continue
            yield Outgoing(topic=name, payload=message.payload(), retain=message.retain)

    def _publish(
        self,
        conversation: Conversation,
        message: Outgoing,
        report_waiting: Callable[[AgentError, float], None],
    ) -> tuple[str, NotAllowedError | None]:
        endpoint = conversation.session.route.host
        resource = f"topic/{message.topic}"
        refused = NotAllowedError("thing", "iot:Publish", resource, endpoint=endpoint)
        patient_until = self._clock.monotonic() + TOPIC_LIMIT
        while True:
            match conversation.publish(message, PUBACK_LIMIT):
                case int(code) if code in reasons.PUBLISHED:
                    return "", None
                case int(code) if code == NOT_AUTHORIZED:
                    if self._clock.monotonic() + TOPIC_POLL > patient_until:
                        return ", its telemetry topic refused", refused
                    report_waiting(refused, TOPIC_POLL)
                    conversation.wait(TOPIC_POLL)
                case int(code):
                    raise _busy(message.topic, code)
                case Ended(reason_code=code) if code == NOT_AUTHORIZED:
                    raise refused
                case (Ended() | Unsent() | None) as nothing:
                    raise _lost(nothing)

    def _subscribe(self, conversation: Conversation, credential: Credential) -> str:
        """Proves a device that publishes nothing: any answer to a subscription, even a refusal, is a round trip."""
        quiet = f"$aws/things/{credential.client_id}/shadow/get/accepted"
        if self._trial.subscription is not None:
            with contextlib.suppress(DeviceError):  # who subscribes in service reports it
                quiet = template.fill(
                    self._trial.subscription, credential.topic_values, "", self._parameters
                )
        conversation.session.subscribe([(quiet, 1)])
        match conversation.granted([quiet]):
            case (Ended() | Unsent() | None) as nothing:
                raise _lost(nothing)
            case _:
                return ", which does not publish anything yet"


def _busy(name: str, code: int) -> TemporaryError:
    return TemporaryError(
        f"AWS IoT does not accept the new identity's first reading on {name}: {reasons.words(Packet.PUBACK, code)}.",
        remedy="The agent tries again, less and less often; 144 means that AWS IoT does not accept such a topic.",
        code="server-busy",
    )


def _lost(nothing: Ended | Unsent | None) -> UnreachableError:
    why = "no answer in time" if nothing is None else str(nothing)
    return UnreachableError(
        f"The new identity's first reading was not acknowledged: {why}.",
        remedy="The agent tries again.",
        code="connection-lost",
    )
