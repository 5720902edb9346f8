"""A plain MQTT 5 client over mTLS for tests: every wait has a limit, nothing reconnects, nothing is hidden.

with connected(fleet.sandbox, fleet.claim, "claim-1") as device:
    device.subscribe("a/b")
    device.publish("a/b", {"x": 1})
    topic, payload = device.receive()
"""

import json
import queue
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from awscrt import mqtt5

from iot_sandbox.launch import Sandbox

TIMEOUT = 15.0
# Longer than any test: a client that reconnects by itself would count as another connect.
NEVER_MS = 3_600_000


class Identity(Protocol):
    """A certificate and its key on disk, such as ``support.fleets.Claim``."""

    @property
    def certificate(self) -> Path: ...
    @property
    def private_key(self) -> Path: ...


class ConnectRefusedError(Exception):
    """No connection: ``reason_code`` is the CONNACK's, None where there was none."""

    def __init__(self, reason_code: int | None, cause: Exception) -> None:
        super().__init__(f"CONNACK {reason_code}: {cause}")
        self.reason_code = reason_code


class Device:
    """One connection.

    Attributes:
        messages: everything that arrived: topic and payload.
        connack: the CONNACK.
        lost: set when the connection has ended, whoever ended it.
    """

    def __init__(self, sandbox: Sandbox, identity: Identity, client_id: str, **more: Any) -> None:
        self.messages: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self.lost = threading.Event()
        self.disconnect_reason: int | None = None
        self._up: Future[mqtt5.ConnackPacket] = Future()
        self._stopped = threading.Event()
        # The package's SDK is without the builders, and its tests import this module for its names.
        from awsiot import mqtt5_client_builder

        self._client = mqtt5_client_builder.mtls_from_path(
            endpoint=sandbox.endpoint,
            port=sandbox.mqtt_port,
            cert_filepath=str(identity.certificate),
            pri_key_filepath=str(identity.private_key),
            ca_filepath=str(sandbox.ca_file),
            client_id=client_id,
            enable_metrics_collection=False,
            min_reconnect_delay_ms=NEVER_MS,
            max_reconnect_delay_ms=NEVER_MS,
            offline_queue_behavior=mqtt5.ClientOperationQueueBehaviorType.FAIL_ALL_ON_DISCONNECT,
            on_publish_received=self._received,
            on_lifecycle_connection_success=lambda data: self._up.set_result(data.connack_packet),
            on_lifecycle_connection_failure=self._refused,
            on_lifecycle_disconnection=self._disconnected,
            on_lifecycle_stopped=lambda _: self._stopped.set(),
            **more,
        )
        self._client.start()
        try:
            self.connack = self._up.result(TIMEOUT)
        except BaseException:
            self.stop()
            raise

    def publish(self, topic: str, payload: object, qos: int = 1) -> int | None:
        """Publishes JSON, or bytes as they are; gives the PUBACK's reason code, None at QoS 0."""
        done = self.publish_later(topic, payload, qos).result(TIMEOUT)
        return None if done.puback is None else int(done.puback.reason_code)

    def publish_later(self, topic: str, payload: object, qos: int = 1) -> Future[Any]:
        """Publishes without waiting."""
        data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        packet = mqtt5.PublishPacket(topic=topic, payload=data, qos=mqtt5.QoS(qos))
        future: Future[Any] = self._client.publish(packet)
        return future

    def subscribe(self, *filters: str, qos: int = 1) -> list[int]:
        """Subscribes in one packet; gives the reason code of each filter."""
        wanted = [mqtt5.Subscription(topic_filter=f, qos=mqtt5.QoS(qos)) for f in filters]
        packet = mqtt5.SubscribePacket(subscriptions=wanted)
        suback = self._client.subscribe(packet).result(TIMEOUT)
        return [int(code) for code in suback.reason_codes]

    def receive(self, timeout: float = TIMEOUT) -> tuple[str, Any]:
        """Gives the next message: topic and JSON payload. Raises ``queue.Empty``."""
        topic, payload = self.messages.get(timeout=timeout)
        return topic, json.loads(payload)

    def stop(self) -> None:
        """Ends the connection with a DISCONNECT."""
        self._client.stop(mqtt5.DisconnectPacket())
        assert self._stopped.wait(TIMEOUT), "the client did not stop"

    def _received(self, data: mqtt5.PublishReceivedData) -> None:
        packet = data.publish_packet
        self.messages.put((packet.topic, bytes(packet.payload or b"")))

    def _refused(self, data: mqtt5.LifecycleConnectFailureData) -> None:
        code = data.connack_packet.reason_code if data.connack_packet else None
        refused = ConnectRefusedError(None if code is None else int(code), data.exception)
        if not self._up.done():
            self._up.set_exception(refused)

    def _disconnected(self, data: mqtt5.LifecycleDisconnectData) -> None:
        if data.disconnect_packet:
            self.disconnect_reason = int(data.disconnect_packet.reason_code)
        self.lost.set()


@contextmanager
def connected(
    sandbox: Sandbox, identity: Identity, client_id: str, **more: Any
) -> Iterator[Device]:
    """Opens a connection for as long as the block lasts; ``more`` goes to ``mtls_from_path``."""
    device = Device(sandbox, identity, client_id, **more)
    try:
        yield device
    finally:
        device.stop()
