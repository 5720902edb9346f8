"""A plain MQTT 5 client over mTLS that keeps all it receives: every wait limited, nothing tried again by itself."""

import json
import queue
import threading
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from awscrt import io, mqtt5

SECONDS = 20.0
_NEVER_MS = 3_600_000
_HTTPS_PORT = 443
_REFUSED = 128  # MQTT 5: from here on a reason code is a refusal
_PROPERTIES = (
    "retain",
    "payload_format_indicator",
    "message_expiry_interval_sec",
    "response_topic",
    "correlation_data",
    "subscription_identifiers",
    "content_type",
    "user_properties",
)


class RefusedError(Exception):
    """There was no connection: the CONNACK's code, or None where there was no CONNACK."""

    def __init__(self, code: int | None, said: str) -> None:
        super().__init__(f"CONNACK {code}" if code is not None else f"closed: {said}")
        self.code = code

    @property
    def answer(self) -> str:
        """The answer, as facts have it."""
        return "closed" if self.code is None else f"CONNACK {self.code}"


@dataclass(frozen=True)
class Server:
    """The server that devices connect to; without a CA file the system's store is trusted."""

    host: str
    port: int
    ca_file: Path | None


@dataclass(frozen=True)
class Identity:
    """A certificate and its key, as files."""

    certificate: Path
    key: Path


@dataclass(frozen=True)
class Message:
    """One that arrived; ``properties`` are the names of those that it had."""

    topic: str
    payload: bytes
    qos: int
    properties: tuple[str, ...] = ()
    expiry: int | None = None

    @property
    def document(self) -> dict[str, Any]:
        """Its payload, as a JSON object; empty where it is none."""
        try:
            found = json.loads(self.payload)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}


@dataclass(frozen=True)
class Reply:
    """The answer to one request of the provisioning or the Jobs API."""

    suffix: str
    document: dict[str, Any] = field(repr=False)
    qos: int

    @property
    def answer(self) -> str:
        """The answer, as facts have it: ``accepted``, or what it was refused with."""
        if self.suffix == "accepted":
            return self.suffix
        document = self.document
        found = (document.get("statusCode"), document.get("errorCode"), document.get("code"))
        return " ".join(str(part) for part in found if part is not None) or "rejected"


class Session:
    """One connection, open within ``with``; ``options`` are those of the CONNECT.

    Raises:
        RefusedError: there was no connection.
    """

    def __init__(self, server: Server, identity: Identity, client_id: str, **options: Any) -> None:  # noqa: ANN401
        self.messages: queue.Queue[Message] = queue.Queue()
        self.ended: Future[str] = Future()
        self.connack: Any = None
        self._up: Future[Any] = Future()
        self._stopped = threading.Event()
        self._client = mqtt5.Client(
            mqtt5.ClientOptions(
                host_name=server.host,
                port=server.port,
                tls_ctx=_tls(server, identity),
                connect_options=mqtt5.ConnectPacket(client_id=client_id, **options),
                min_reconnect_delay_ms=_NEVER_MS,
                max_reconnect_delay_ms=_NEVER_MS,
                offline_queue_behavior=mqtt5.ClientOperationQueueBehaviorType.FAIL_ALL_ON_DISCONNECT,
                on_publish_callback_fn=self._received,
                on_lifecycle_event_connection_success_fn=self._connected,
                on_lifecycle_event_connection_failure_fn=self._refused,
                on_lifecycle_event_disconnection_fn=self._disconnected,
                on_lifecycle_event_stopped_fn=lambda _: self._stopped.set(),
            )
        )

    def __enter__(self) -> Self:
        self._client.start()
        try:
            self.connack = self._up.result(SECONDS)
        except TimeoutError as error:
            self._stop()
            raise RefusedError(None, "no answer") from error
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def publish(self, topic: str, payload: object, qos: int = 1) -> int | None:
        """Publishes JSON, or bytes as they are; gives the PUBACK's code, None at QoS 0."""
        done = self.publish_later(topic, payload, qos).result(SECONDS)
        code = done.puback.reason_code if qos else None
        return None if code is None else int(code)

    def publish_later(self, topic: str, payload: object, qos: int = 1) -> "Future[Any]":
        """Publishes without waiting."""
        data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        packet = mqtt5.PublishPacket(topic=topic, payload=data, qos=mqtt5.QoS(qos))
        sent: Future[Any] = self._client.publish(packet)
        return sent

    def subscribe(self, *filters: str) -> list[int]:
        """Subscribes with QoS 1 in one packet; gives the code of each filter."""
        wanted = [
            mqtt5.Subscription(topic_filter=topic_filter, qos=mqtt5.QoS(1))
            for topic_filter in filters
        ]
        packet = mqtt5.SubscribePacket(subscriptions=wanted)
        return [int(code) for code in self._client.subscribe(packet).result(SECONDS).reason_codes]

    def unsubscribe(self, topic_filter: str) -> list[int]:
        """Unsubscribes; gives the codes."""
        packet = mqtt5.UnsubscribePacket(topic_filters=[topic_filter])
        codes = self._client.unsubscribe(packet).result(SECONDS).reason_codes
        return [int(code) for code in codes]

    def next(self, seconds: float = SECONDS) -> Message | None:
        """Gives the next message; None where none comes."""
        try:
            return self.messages.get(timeout=seconds)
        except queue.Empty:
            return None

    def ask(
        self, topic: str, request: object, *, subscribed: bool = True, seconds: float = SECONDS
    ) -> Reply | None:
        """Publishes a request and gives its answer; None where none comes."""
        if subscribed:
            self.subscribe(f"{topic}/accepted", f"{topic}/rejected")
        if (self.publish(topic, request) or 0) >= _REFUSED:
            return None  # nobody has read it
        return self.reply(topic, seconds)

    def reply(self, topic: str, seconds: float = SECONDS) -> Reply | None:
        """Gives the next answer to requests on a topic; None where none comes."""
        while message := self.next(seconds):
            if message.topic.startswith(f"{topic}/"):
                suffix = message.topic.removeprefix(f"{topic}/")
                return Reply(suffix, message.document, message.qos)
        return None

    def _stop(self) -> None:
        self._client.stop(mqtt5.DisconnectPacket())
        self._stopped.wait(SECONDS)

    def _connected(self, data: Any) -> None:  # noqa: ANN401  awscrt's own
        if not self._up.done():
            self._up.set_result(data.connack_packet)

    def _received(self, data: Any) -> None:  # noqa: ANN401
        packet = data.publish_packet
        names = tuple(name for name in _PROPERTIES if getattr(packet, name, None))
        expiry = packet.message_expiry_interval_sec
        payload = bytes(packet.payload or b"")
        self.messages.put(Message(packet.topic, payload, int(packet.qos), names, expiry))

    def _refused(self, data: Any) -> None:  # noqa: ANN401
        if not self._up.done():
            code = int(data.connack_packet.reason_code) if data.connack_packet else None
            self._up.set_exception(RefusedError(code, str(data.exception)))

    def _disconnected(self, data: Any) -> None:  # noqa: ANN401
        if not self.ended.done():
            packet = data.disconnect_packet
            self.ended.set_result(f"DISCONNECT {int(packet.reason_code)}" if packet else "closed")


def _tls(server: Server, identity: Identity) -> io.ClientTlsContext:
    options = io.TlsContextOptions.create_client_with_mtls_from_path(
        str(identity.certificate), str(identity.key)
    )
    if server.ca_file:
        options.override_default_trust_store_from_path(None, str(server.ca_file))
    if server.port == _HTTPS_PORT:
        options.alpn_list = ["x-amzn-mqtt-ca"]
    return io.ClientTlsContext(options)
