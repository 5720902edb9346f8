"""Connects as a device, which the aws command cannot: the one module that needs more than the standard library.

``awscrt`` comes with the agent's own environment; where it is missing, :func:`need` says how to get it.
"""

import importlib.util
import json
import queue
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleet_cloud.aws import Aws, text
from fleet_cloud.configuration import Endpoint, endpoint
from fleet_cloud.errors import FleetCloudError

SECONDS = 15.0
# Nothing reconnects by itself: what is refused once is told.
_NEVER_MS = 3_600_000


class DeviceError(Exception):
    """What AWS IoT did not let a device do, in words for people."""


@dataclass(frozen=True)
class Identity:
    """What a device connects with."""

    thing: str
    certificate: Path
    key: Path


@dataclass(frozen=True)
class Place:
    """Where devices connect, and whose server they trust there."""

    endpoint: Endpoint
    ca_file: Path | None


def need() -> None:
    """Check that devices can connect from here.

    Raises:
        FleetCloudError: They cannot; says what to type.
    """
    if not importlib.util.find_spec("awscrt") or not importlib.util.find_spec("awsiot"):
        raise FleetCloudError(
            "this connects as a device, which takes the project's own environment: awsiotsdk is missing",
            remedy="in the checkout type: . scripts/environment   and then: python scripts/fleet-cloud …",
            code="environment-missing",
        )


def place(aws: Aws, ca_file: Path | None) -> Place:
    """Ask where the account's devices connect.

    Raises:
        FleetCloudError: AWS does not say, or there is no such CA file.
    """
    if ca_file and not ca_file.is_file():
        raise FleetCloudError(
            f"--ca-file {ca_file}: there is no such file", remedy="check its name", code="usage"
        )
    told = aws.ask(aws.command("iot", "describe-endpoint", "--endpoint-type", "iot:Data-ATS"))
    return Place(endpoint(text(told, "endpointAddress")), ca_file)


class Session:
    """One connection."""

    def __init__(self, where: Place, who: Identity) -> None:
        from awscrt import mqtt5
        from awsiot import mqtt5_client_builder

        self._mqtt5 = mqtt5
        self._up: Future[None] = Future()
        self._stopped = threading.Event()
        self.messages: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self._client = mqtt5_client_builder.mtls_from_path(
            endpoint=where.endpoint.host,
            port=where.endpoint.port,
            cert_filepath=str(who.certificate),
            pri_key_filepath=str(who.key),
            ca_filepath=str(where.ca_file) if where.ca_file else None,
            client_id=who.thing,
            min_reconnect_delay_ms=_NEVER_MS,
            max_reconnect_delay_ms=_NEVER_MS,
            on_publish_received=self._received,
            on_lifecycle_connection_success=lambda _: self._up.set_result(None),
            on_lifecycle_connection_failure=self._refused,
            on_lifecycle_stopped=lambda _: self._stopped.set(),
        )

    def open(self) -> None:
        """Connect.

        Raises:
            DeviceError: It is refused.
        """
        self._client.start()
        try:
            self._up.result(SECONDS)
        except TimeoutError as error:
            raise DeviceError("no answer to the connect") from error

    def close(self) -> None:
        """Disconnect."""
        self._client.stop(self._mqtt5.DisconnectPacket())
        self._stopped.wait(SECONDS)

    def publish(self, topic: str, payload: object) -> None:
        """Publish JSON at QoS 1.

        Raises:
            DeviceError: It is refused.
        """
        packet = self._mqtt5.PublishPacket(
            topic=topic, payload=json.dumps(payload).encode(), qos=self._mqtt5.QoS.AT_LEAST_ONCE
        )
        done = _result(self._client.publish(packet), f"publish to {topic}")
        _check([done.puback.reason_code], f"publish to {topic}")

    def subscribe(self, topic: str) -> None:
        """Subscribe at QoS 1.

        Raises:
            DeviceError: It is refused.
        """
        wanted = self._mqtt5.Subscription(topic_filter=topic, qos=self._mqtt5.QoS.AT_LEAST_ONCE)
        packet = self._mqtt5.SubscribePacket(subscriptions=[wanted])
        done = _result(self._client.subscribe(packet), f"subscribe to {topic}")
        _check(done.reason_codes, f"subscribe to {topic}")

    def receive(self) -> object:
        """Return the next message's JSON.

        Raises:
            DeviceError: None comes.
        """
        try:
            _, payload = self.messages.get(timeout=SECONDS)
        except queue.Empty as error:
            raise DeviceError("the message did not come back") from error
        return json.loads(payload)

    def _received(self, data: Any) -> None:  # noqa: ANN401 - awscrt has no types
        packet = data.publish_packet
        self.messages.put((packet.topic, bytes(packet.payload or b"")))

    def _refused(self, data: Any) -> None:  # noqa: ANN401 - awscrt has no types
        if not self._up.done():
            code = data.connack_packet.reason_code.name if data.connack_packet else data.exception
            self._up.set_exception(DeviceError(f"connect: {code}"))


@contextmanager
def connected(where: Place, who: Identity) -> Iterator[Session]:
    """Be connected for as long as the block lasts.

    Raises:
        DeviceError: AWS IoT refuses it.
    """
    try:
        session = Session(where, who)
    except Exception as error:  # awscrt raises its own for files that do not fit together
        raise DeviceError(f"certificate, key or CA file: {error}") from error
    try:
        session.open()
        yield session
    finally:
        session.close()


def _result(future: "Future[Any]", what: str) -> Any:  # noqa: ANN401 - awscrt has no types
    try:
        return future.result(SECONDS)
    except Exception as error:  # awscrt raises its own for a lost connection
        raise DeviceError(f"{what}: {str(error) or 'no answer'}") from error


def _check(codes: Any, what: str) -> None:  # noqa: ANN401 - awscrt has no types
    for code in codes:
        if int(code) >= 128:  # noqa: PLR2004 - MQTT 5: from here on a reason code is a refusal
            raise DeviceError(f"{what}: {code.name}")
