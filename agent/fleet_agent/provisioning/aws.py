"""AWS IoT's provisioning API over one claim session: the SDK's identity client, one request at a time.

The three calls have no correlation id. So: all reply topics in one SUBSCRIBE packet (a reason code for each, and no
second small packet for TCP to delay), one request outstanding, and after anything but an answer the session is closed
for good: a late answer to it can never be taken for the answer to the next. Response objects are never logged: their
repr prints the private key.
"""

import dataclasses
import json
import os
import re
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

from fleet_agent.clock import Clock
from fleet_agent.credentials.model import KeyPair, Secret
from fleet_agent.errors import NotAllowedError, TemporaryError, UnreachableError
from fleet_agent.mailbox import Mailbox
from fleet_agent.provisioning.model import Operation, Plan, RejectedError
from fleet_agent.session.message import Upkeep
from fleet_agent.session.mqtt import (
    NOT_AUTHORIZED,
    Connected,
    ConnectFailed,
    Disconnected,
    Message,
    Session,
    Subscribed,
)
from fleet_agent.session.route import Route

CONNECT_LIMIT = 35.0  # seconds; TLS failures reach awscrt's callback after up to 30
DIAGNOSE_AFTER = 4.0  # seconds of silence before we look for the cause ourselves
ANSWER_LIMIT = 20.0  # seconds; a hook may take 5, and AWS's own agents wait 10 to 30
SUBACK_LIMIT = 10.0  # seconds

_THING_NAME = re.compile(r"[A-Za-z0-9:_-]{1,128}")  # AWS IoT's own rule

_REFUSED_PUBACK = "AWS_ERROR_MQTT_ACK_REASON_CODE_FAILURE"

_CREATE = "$aws/certificates/create/json"
_CREATE_FROM_CSR = "$aws/certificates/create-from-csr/json"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Certificate:
    """An issued certificate; ``private_key`` only from CreateKeysAndCertificate."""

    certificate_id: str
    pem: str
    token: Secret
    private_key: Secret | None


class UnusableAnswerError(UnreachableError):
    """An answer came that nothing can be done with; ``certificate_id`` when it named one, which exists then."""

    certificate_id: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class _NotPublished:
    """A request did not go out: refused (PUBACK; the SDK keeps the code to itself), or no PUBACK came."""

    identity: "IdentityClient"
    error: str


class IdentityClient:
    """A claim session from connect to close.

    Args:
        route: Where AWS IoT is.
        pair: The claim.
        plan: Its template and method say which topics to be ready for.
        mailbox: Where events come in; while a request waits, nobody else's events are expected.
        clock: For the limits.
        client_id: Of a device under its own credential, ``pair``; a claim has a random one for each session.

    Raises:
        DeviceError: The claim or the CA cannot be loaded.
    """

    def __init__(
        self,
        route: Route,
        pair: KeyPair,
        plan: Plan,
        mailbox: Mailbox,
        clock: Clock,
        *,
        client_id: str | None = None,
    ) -> None:
        self._who = "claim" if client_id is None else "thing"
        self._mailbox = mailbox
        self._clock = clock
        self._create_topic = _CREATE if plan.method == "keys" else _CREATE_FROM_CSR
        self._register_topic = f"$aws/provisioning-templates/{plan.template}/provision/json"
        self._template = plan.template
        topics = (self._create_topic, self._register_topic)
        self._session = Session(
            route,
            pair,
            # A client id of its own for each try: two devices of a batch, or two tries, never evict each other.
            client_id or f"claim-{os.urandom(12).hex()}",
            mailbox,
            # QoS 0: nothing to acknowledge between two requests (each acknowledgement costs a delayed ACK of 40 ms).
            filters=[
                (f"{topic}/{way}", 0) for topic in topics for way in ("accepted", "rejected")
            ],
            # A device's own session goes on afterwards: AWS keeps it, and what comes down meanwhile comes again.
            is_thing=client_id is not None,
            upkeep=Upkeep(flow_control=False),
        )
        self._client: Any = None
        self.is_open = False

    def start(self) -> None:
        """Begin to connect and to subscribe; the caller can make its key meanwhile."""
        self._session.start(is_hasty=True)
        from awsiot import iotidentity  # 10 ms, while the handshake goes on

        self._client = iotidentity.IotIdentityClient(self._session.client)

    def wait_open(self) -> None:
        """Wait until the connection stands and every reply topic is granted.

        Raises:
            NotAllowedError: The claim's policy lacks a statement.
            DeviceError, RefusedError, TemporaryError, UnreachableError: As the diagnosis found.
        """
        self._wait_connected()
        until = self._clock.monotonic() + SUBACK_LIMIT
        while (event := self._mailbox.wait(until)) is not None:
            if isinstance(event, Disconnected) and event.session is self._session:
                raise self._ended(event)
            if isinstance(event, Subscribed) and event.session is self._session:
                self._check_granted(event)
                self.is_open = True
                return
        raise UnreachableError(
            "AWS IoT did not acknowledge the subscription to the reply topics.",
            remedy="It is tried again over a new connection.",
            code="no-answer",
        )

    def _wait_connected(self) -> None:
        started = self._clock.monotonic()
        limits = [started + DIAGNOSE_AFTER, started + CONNECT_LIMIT]
        failure: ConnectFailed | None = None
        while limits and failure is None:
            event = self._mailbox.wait(limits[0])
            if isinstance(event, Connected) and event.session is self._session:
                return
            if isinstance(event, ConnectFailed) and event.session is self._session:
                failure = event
            if event is None:
                limits.pop(0)
                if found := self._session.probe(self._clock.wall()):
                    raise found
        raise self._session.explain(failure, self._clock.wall())

    def _check_granted(self, event: Subscribed) -> None:
        for topic, code in zip(event.filters, event.reason_codes, strict=False):
            if code == NOT_AUTHORIZED:
                # accepted and rejected go together: one statement for both
                raise self._not_allowed(
                    "iot:Subscribe", f"topicfilter/{topic.rpartition('/')[0]}/*"
                )
        refused = [code for code in event.reason_codes if code >= 128]  # noqa: PLR2004 - MQTT 5: an error
        if refused:
            raise TemporaryError(
                f"AWS IoT does not grant the reply topics for now: SUBACK {refused[0]}.",
                remedy="It is tried again, slower and slower.",
                code="busy",
            )
        if event.error:
            raise UnreachableError(
                f"The subscription to the reply topics failed: {event.error}.",
                remedy="It is tried again over a new connection.",
                code="subscribe-failed",
            )

    def create_certificate(self, csr: str | None) -> Certificate:
        """CreateCertificateFromCsr, or CreateKeysAndCertificate when ``csr`` is None.

        Raises:
            RejectedError: AWS answered no.
            NotAllowedError: The claim's policy lacks a statement.
            UnreachableError: No usable answer; a certificate may have been made.
        """
        from awscrt import mqtt
        from awsiot import iotidentity

        if csr is None:
            operation = Operation.CREATE_KEYS
            published = self._client.publish_create_keys_and_certificate(
                iotidentity.CreateKeysAndCertificateRequest(), mqtt.QoS.AT_LEAST_ONCE
            )
            model = iotidentity.CreateKeysAndCertificateResponse
        else:
            operation = Operation.CREATE_FROM_CSR
            published = self._client.publish_create_certificate_from_csr(
                iotidentity.CreateCertificateFromCsrRequest(certificate_signing_request=csr),
                mqtt.QoS.AT_LEAST_ONCE,
            )
            model = iotidentity.CreateCertificateFromCsrResponse
        answer = self._answer(operation, self._create_topic, published)
        return _certificate(_parsed(model, answer, operation), operation)

    def register_thing(
        self, token: Secret, parameters: Mapping[str, str]
    ) -> tuple[str | None, dict[str, str]]:
        """RegisterThing: the thing's name (None when the template makes none) and the device configuration.

        Raises:
            RejectedError: AWS answered no.
            NotAllowedError: The claim's policy lacks a statement.
            UnreachableError: No usable answer; the thing may be registered.
        """
        from awscrt import mqtt
        from awsiot import iotidentity

        request = iotidentity.RegisterThingRequest(
            template_name=self._template,
            certificate_ownership_token=token.reveal(),
            parameters=dict(parameters),
        )
        published = self._client.publish_register_thing(request, mqtt.QoS.AT_LEAST_ONCE)
        answer = self._answer(Operation.REGISTER, self._register_topic, published)
        model = _parsed(iotidentity.RegisterThingResponse, answer, Operation.REGISTER)
        return _registration(model)

    def close(self) -> None:
        """Disconnect; nothing of this session is listened to afterwards."""
        self.is_open = False
        self._session.close()

    def _answer(self, operation: Operation, topic: str, published: "Future[Any]") -> bytes:
        """Wait for the one answer to the one request that is out."""

        def done(future: "Future[Any]") -> None:
            if error := future.exception():
                name = getattr(error, "name", type(error).__name__)
                self._mailbox.put(_NotPublished(identity=self, error=name))

        published.add_done_callback(done)
        asked = self._clock.monotonic()
        until = asked + ANSWER_LIMIT
        while (event := self._mailbox.wait(until)) is not None:
            match event:
                case Message(session=self._session, topic=answered) if (
                    answered == f"{topic}/accepted"
                ):
                    return event.payload
                case Message(session=self._session, topic=answered) if (
                    answered == f"{topic}/rejected"
                ):
                    raise _rejection(operation, event.payload)
                case Disconnected(session=self._session):
                    raise self._ended(event, topic)
                case _NotPublished(identity=identity) if identity is self:
                    raise self._not_published(event, topic)
        raise UnreachableError(
            f"No answer to {operation.value} on {topic} within {self._clock.monotonic() - asked:.0f} s.",
            remedy="It is tried again over a new connection. If it stays so: does the "
            f"{self._who}'s policy allow iot:Receive on topic/{topic}/*?",
            code="no-answer",
        )

    def _not_allowed(self, action: str, resource: str) -> NotAllowedError:
        error = NotAllowedError(self._who, action, resource)
        if self._register_topic in resource:
            error.remedy += f". Or is the template's name, {self._template}, wrong?"
        return error

    def _not_published(self, event: _NotPublished, topic: str) -> Exception:
        if event.error == _REFUSED_PUBACK:
            return self._not_allowed("iot:Publish", f"topic/{topic}")
        return UnreachableError(
            f"The request on {topic} was not acknowledged: {event.error}.",
            remedy="It is tried again over a new connection.",
            code="connection-lost",
        )

    def _ended(self, event: Disconnected, topic: str | None = None) -> Exception:
        if event.reason_code == NOT_AUTHORIZED and topic is not None:
            return self._not_allowed("iot:Publish", f"topic/{topic}")
        code = f"DISCONNECT {event.reason_code}" if event.reason_code else event.error
        return UnreachableError(
            f"The {self._who}'s connection ended before the answer came: {code}.",
            remedy="It is tried again over a new connection.",
            code="connection-lost",
        )


def _unusable(operation: Operation, why: str) -> UnusableAnswerError:
    return UnusableAnswerError(
        f"The answer to {operation.value} cannot be used: {why}.",
        remedy="It is asked again over a new connection.",
        code="answer-invalid",
    )


def _object(payload: bytes, operation: Operation) -> dict[str, Any]:
    try:
        value = json.loads(payload)
    except (ValueError, RecursionError):
        raise _unusable(operation, "it is no JSON") from None  # the text may hold a key
    if not isinstance(value, dict):
        raise _unusable(operation, "it is no JSON object")
    return value


def _parsed(model: Any, payload: bytes, operation: Operation) -> Any:  # noqa: ANN401 - the SDK has no types
    return model.from_payload(_object(payload, operation))


def _rejection(operation: Operation, payload: bytes) -> RejectedError:
    from awsiot import iotidentity

    model = _parsed(iotidentity.ErrorResponse, payload, operation)
    status = model.status_code
    is_number = isinstance(status, int) and not isinstance(status, bool)
    return RejectedError(
        operation,
        status if is_number else None,
        _short(model.error_code),
        _short(model.error_message),
    )


def _short(value: object) -> str:
    """Text from the network for a person's eyes: printable and not endless."""
    text = value if isinstance(value, str) else ""
    return "".join(letter if letter.isprintable() else " " for letter in text[:300]).strip()


def _certificate(model: Any, operation: Operation) -> Certificate:  # noqa: ANN401
    certificate_id = _text(model.certificate_id, "certificateId", operation)
    if not (certificate_id.isascii() and certificate_id.isalnum() and len(certificate_id) <= 128):  # noqa: PLR2004
        raise _unusable(operation, "its certificateId is no identifier")
    try:
        private_key = None
        if operation is Operation.CREATE_KEYS:
            private_key = Secret(_text(model.private_key, "privateKey", operation))
        token = _text(model.certificate_ownership_token, "certificateOwnershipToken", operation)
        return Certificate(
            certificate_id=certificate_id,
            pem=_text(model.certificate_pem, "certificatePem", operation),
            token=Secret(token),
            private_key=private_key,
        )
    except UnusableAnswerError as error:
        error.certificate_id = certificate_id
        raise


def _text(value: object, field: str, operation: Operation) -> str:
    if not isinstance(value, str) or not value:
        raise _unusable(operation, f"it has no {field}")
    if _encodable(value) != value:
        raise _unusable(operation, f"its {field} is no text")
    return value


def _encodable(text: str) -> str:
    """JSON may hold half a surrogate pair, which can be neither written nor sent nor printed."""
    return text.encode(errors="replace").decode()


def _registration(model: Any) -> tuple[str | None, dict[str, str]]:  # noqa: ANN401
    name = model.thing_name or None
    configuration = model.device_configuration or {}
    if name is not None and not (isinstance(name, str) and _THING_NAME.fullmatch(name)):
        raise _unusable(Operation.REGISTER, "its thingName is no name of a thing")
    if not isinstance(configuration, dict):
        raise _unusable(Operation.REGISTER, "its deviceConfiguration is no object")
    return name, {
        _encodable(str(key)): _encodable(str(value)) for key, value in configuration.items()
    }
