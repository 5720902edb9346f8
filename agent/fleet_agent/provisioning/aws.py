"""AWS IoT's provisioning API over one claim session: the SDK's identity client, one request at a time.

The three calls have no correlation id. So: all reply topics in one SUBSCRIBE packet (a reason code for each, and no
second small packet for TCP to delay), one request outstanding, and after anything but an answer the session is closed
for good: a late answer to it can never be taken for the answer to the next. Response objects are never logged: their
repr prints the private key.
"""

import os
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

from fleet_agent.clock import Clock
from fleet_agent.credentials.model import KeyPair, Secret
from fleet_agent.errors import AgentError, NotAllowedError, TemporaryError, UnreachableError
from fleet_agent.process.mailbox import Mailbox
from fleet_agent.provisioning import answers
from fleet_agent.provisioning.answers import Certificate
from fleet_agent.provisioning.model import Operation, Plan
from fleet_agent.session import reasons
from fleet_agent.session.conversation import Conversation, Ended, Unsent
from fleet_agent.session.events import Message
from fleet_agent.session.message import Upkeep
from fleet_agent.session.mqtt import Session
from fleet_agent.session.reasons import NOT_AUTHORIZED, Packet
from fleet_agent.session.route import Route

ANSWER_LIMIT = 20.0  # seconds; a hook may take 5, and AWS's own agents wait 10 to 30

CREATE_KEYS = "$aws/certificates/create/json"
_CREATE_FROM_CSR = "$aws/certificates/create-from-csr/json"


def operations(template: str, method: str) -> tuple[str, str]:
    """The topics of the requests: for a certificate, and RegisterThing."""
    create = CREATE_KEYS if method == "keys" else _CREATE_FROM_CSR
    return create, f"$aws/provisioning-templates/{template}/provision/json"


def replies(topic: str) -> tuple[str, str]:
    """The topics of the answers to a request: accepted, and rejected."""
    return f"{topic}/accepted", f"{topic}/rejected"


def claim_client_id() -> str:
    """A client id of its own for each session: two devices of a batch, or two tries, never evict each other."""
    return f"claim-{os.urandom(12).hex()}"


class ProvisioningClient:
    """A client of the provisioning API, from connect to close.

    Args:
        route: Where AWS IoT is.
        pair: The claim.
        plan: Its template and method say which topics to be ready for.
        mailbox: Where events come in; while a request waits, no other events are expected.
        clock: For the limits.
        client_id: For a device under its own credential; None: under the claim, with a random id for each session.
        make_session: Makes the session.

    Raises:
        DeviceError: The claim or the CA cannot be loaded.
    """

    def __init__(  # noqa: PLR0913 - of a session, and who makes it
        self,
        route: Route,
        pair: KeyPair,
        plan: Plan,
        mailbox: Mailbox,
        clock: Clock,
        *,
        client_id: str | None = None,
        make_session: Callable[..., Session] = Session,
    ) -> None:
        self._who = "claim" if client_id is None else "thing"
        self._template = plan.template
        topics = self._create_topic, self._register_topic = operations(plan.template, plan.method)
        self._filters = [name for topic in topics for name in replies(topic)]
        session = make_session(
            route,
            pair,
            client_id or claim_client_id(),
            mailbox,
            # QoS 0: nothing to acknowledge between two requests (each acknowledgement costs a delayed ACK of 40 ms).
            filters=[(name, 0) for name in self._filters],
            # A device's own session goes on afterwards: AWS keeps it, and what comes down meanwhile comes again.
            is_thing=client_id is not None,
            upkeep=Upkeep(flow_control=False),
        )
        self._clock = clock
        self._conversation = Conversation(session, mailbox, clock)
        self._client: Any = None
        self.is_open = False

    def start(self) -> None:
        """Begins to connect and to subscribe; the caller can make its key meanwhile."""
        self._conversation.start(sets_nodelay=True)
        from awsiot import iotidentity  # 10 ms, while the handshake goes on

        self._client = iotidentity.IotIdentityClient(self._conversation.session.client)

    def wait_open(self) -> None:
        """Waits until the connection stands and every reply topic is granted.

        Raises:
            NotAllowedError: The claim's policy lacks a statement.
            DeviceError, RefusedError, TemporaryError, UnreachableError: As the diagnosis found.
        """
        self._conversation.connect()
        match self._conversation.granted(self._filters):
            case Ended() as ended:
                raise self._ended(ended)
            case Unsent() as unsent:
                raise UnreachableError(
                    f"The subscription to the reply topics failed: {unsent.error}.",
                    remedy="The agent tries again over a new connection.",
                    code="subscribe-failed",
                )
            case None:
                raise UnreachableError(
                    "AWS IoT did not acknowledge the subscription to the reply topics.",
                    remedy="The agent tries again over a new connection.",
                    code="answer-missing",
                )
            case codes:
                self._check_granted(codes)
        self.is_open = True

    def _check_granted(self, codes: Mapping[str, int]) -> None:
        refused = None
        for topic, code in codes.items():
            if code == NOT_AUTHORIZED:
                # accepted and rejected go together: one statement for both
                raise self._not_allowed(
                    "iot:Subscribe", f"topicfilter/{topic.rpartition('/')[0]}/*"
                )
            if reasons.reason(Packet.SUBACK, code).is_failure:
                words = reasons.words(Packet.SUBACK, code)
                refused = f"For now, AWS IoT does not grant the reply topics: {words}."
        if refused is not None:
            raise TemporaryError(
                refused,
                remedy="The agent tries again, less and less often.",
                code="server-busy",
            )

    def create_certificate(self, csr: str | None) -> Certificate:
        """CreateCertificateFromCsr, or CreateKeysAndCertificate when ``csr`` is None.

        Raises:
            RejectedError: AWS answered no.
            NotAllowedError: The claim's policy lacks a statement.
            UnreachableError: No usable answer; a certificate may have been made.
        """
        from awsiot import iotidentity

        request: Any
        if csr is None:
            operation = Operation.CREATE_KEYS
            publish = self._client.publish_create_keys_and_certificate
            request = iotidentity.CreateKeysAndCertificateRequest()
            model = iotidentity.CreateKeysAndCertificateResponse
        else:
            operation = Operation.CREATE_FROM_CSR
            publish = self._client.publish_create_certificate_from_csr
            request = iotidentity.CreateCertificateFromCsrRequest(certificate_signing_request=csr)
            model = iotidentity.CreateCertificateFromCsrResponse
        answer = self._ask(operation, self._create_topic, publish, request)
        return answers.certificate(answers.parsed(model, answer, operation), operation)

    def register_thing(
        self, ownership_token: Secret, parameters: Mapping[str, str]
    ) -> tuple[str | None, dict[str, str]]:
        """RegisterThing: the thing's name (None when the template makes none) and the device configuration.

        Raises:
            RejectedError: AWS answered no.
            NotAllowedError: The claim's policy lacks a statement.
            UnreachableError: No usable answer; the thing may be registered.
        """
        from awsiot import iotidentity

        request = iotidentity.RegisterThingRequest(
            template_name=self._template,
            certificate_ownership_token=ownership_token.reveal(),
            parameters=dict(parameters),
        )
        answer = self._ask(
            Operation.REGISTER, self._register_topic, self._client.publish_register_thing, request
        )
        model = answers.parsed(iotidentity.RegisterThingResponse, answer, Operation.REGISTER)
        return answers.registration(model)

    def close(self) -> None:
        """Disconnects; later events of this session are ignored."""
        self.is_open = False
        self._conversation.close()

    def _ask(
        self,
        operation: Operation,
        topic: str,
        publish: "Callable[[Any, Any], Future[Any]]",
        request: object,
    ) -> bytes:
        """Sends one request and waits for its answer."""
        from awscrt import mqtt

        accepted, rejected = replies(topic)
        asked = self._clock.monotonic()
        answer = self._conversation.ask(
            lambda: publish(request, mqtt.QoS.AT_LEAST_ONCE), (accepted, rejected), ANSWER_LIMIT
        )
        match answer:
            case Message() if answer.topic == accepted:
                return answer.payload
            case Message():
                raise answers.rejection(operation, answer.payload)
            case Ended():
                raise self._ended(answer, topic)
            case Unsent():
                raise self._unsent(answer, topic)
            case None:
                raise UnreachableError(
                    f"No answer to {operation.value} on {topic} within {self._clock.monotonic() - asked:.0f} s.",
                    remedy="The agent tries again over a new connection. If that does not help: does the "
                    f"{self._who}'s policy allow iot:Receive on topic/{topic}/*?",
                    code="answer-missing",
                )

    def _not_allowed(self, action: str, resource: str) -> NotAllowedError:
        endpoint = self._conversation.session.route.host
        error = NotAllowedError(self._who, action, resource, endpoint=endpoint, is_pattern=True)
        if self._register_topic in resource:
            error.remedy += f". Or is the template's name, {self._template}, wrong?"
        return error

    def _unsent(self, unsent: Unsent, topic: str) -> AgentError:
        # The SDK keeps the PUBACK's code to itself.
        if unsent.is_refused:
            return self._not_allowed("iot:Publish", f"topic/{topic}")
        return UnreachableError(
            f"The request on {topic} was not acknowledged: {unsent.error}.",
            remedy="The agent tries again over a new connection.",
            code="connection-lost",
        )

    def _ended(self, ended: Ended, topic: str | None = None) -> AgentError:
        if ended.reason_code == NOT_AUTHORIZED and topic is not None:
            return self._not_allowed("iot:Publish", f"topic/{topic}")
        return UnreachableError(
            f"The {self._who}'s connection ended before the answer arrived: {ended}.",
            remedy="The agent tries again over a new connection.",
            code="connection-lost",
        )
