"""A device's connection to AWS IoT, for trying what a certificate may do: MQTT 5 over mTLS, every wait limited.

The only module that needs more than the standard library: awscrt, which the project's environment has.
"""

import dataclasses
import json
import os
import queue
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from fleet_cloud.configuration import Endpoint
from fleet_cloud.errors import FleetCloudError

if TYPE_CHECKING:
    from awscrt import mqtt5

_SECONDS = 15.0
_NEVER_MS = 3_600_000  # it must not connect again by itself: that would be another answer
_ROOT = Path(__file__).resolve().parents[2]


class RefusedError(Exception):
    """AWS IoT did not let this in."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Identity:
    """A certificate and its key, as files."""

    certificate: Path
    key: Path


@dataclasses.dataclass(frozen=True, kw_only=True)
class Place:
    """Where to connect; without a CA file, the system's store is trusted."""

    endpoint: Endpoint
    ca_file: Path | None


def need_environment() -> None:
    """Go on in the project's environment when this Python lacks awscrt; does not return then.

    Raises:
        FleetCloudError: There is no such environment.
    """
    try:
        import awscrt  # noqa: F401 - only asked whether it is there
    except ImportError:
        found = Path(os.environ.get("FLEET_AGENT_VENV", _ROOT / ".venv")) / "bin" / "python"
        if found.is_file() and Path(sys.executable).parent != found.parent:
            launcher = _ROOT / "scripts" / "fleet-cloud"
            os.execv(found, [str(found), str(launcher), *sys.argv[1:]])
        raise FleetCloudError(
            "this command connects as a device, and this Python lacks awscrt for that",
            remedy="run scripts/demo or scripts/test once, which make the project's environment, or: "
            "python3 -m pip install awscrt",
            code="environment-missing",
        ) from None


class Connection:
    """One connection, open within ``with``.

    Args:
        place: Where.
        identity: As whom.
        client_id: Under which name.

    Raises:
        RefusedError: There was no connection.
    """

    def __init__(self, place: Place, identity: Identity, client_id: str) -> None:
        from awscrt import io, mqtt5

        self._mqtt5 = mqtt5
        self._messages: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self._up: Future[None] = Future()
        self._stopped = threading.Event()
        tls = io.TlsContextOptions.create_client_with_mtls_from_path(
            str(identity.certificate), str(identity.key)
        )
        if place.ca_file:
            tls.override_default_trust_store_from_path(None, str(place.ca_file))
        self._client = mqtt5.Client(
            mqtt5.ClientOptions(
                host_name=place.endpoint.host,
                port=place.endpoint.port,
                tls_ctx=io.ClientTlsContext(tls),
                connect_options=mqtt5.ConnectPacket(client_id=client_id),
                min_reconnect_delay_ms=_NEVER_MS,
                max_reconnect_delay_ms=_NEVER_MS,
                offline_queue_behavior=mqtt5.ClientOperationQueueBehaviorType.FAIL_ALL_ON_DISCONNECT,
                on_publish_callback_fn=self._received,
                on_lifecycle_event_connection_success_fn=lambda _: self._up.set_result(None),
                on_lifecycle_event_connection_failure_fn=self._refused,
                on_lifecycle_event_stopped_fn=lambda _: self._stopped.set(),
            )
        )

    def __enter__(self) -> Self:
        self._client.start()
        try:
            self._up.result(_SECONDS)
        except (TimeoutError, RefusedError) as error:
            self._stop()
            raise RefusedError(str(error) or "no answer") from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def publish(self, topic: str, payload: object) -> None:
        """Publish at QoS 1.

        Raises:
            RefusedError: By a reason code, or by ending the connection.
        """
        packet = self._mqtt5.PublishPacket(
            topic=topic, payload=json.dumps(payload).encode(), qos=self._mqtt5.QoS.AT_LEAST_ONCE
        )
        answer = self._wait(self._client.publish(packet))
        self._check([answer.puback.reason_code])

    def subscribe(self, *filters: str) -> None:
        """Subscribe in one packet.

        Raises:
            RefusedError: One of the filters was refused, or the connection ended.
        """
        wanted = [
            self._mqtt5.Subscription(topic_filter=one, qos=self._mqtt5.QoS.AT_LEAST_ONCE)
            for one in filters
        ]
        packet = self._mqtt5.SubscribePacket(subscriptions=wanted)
        self._check(self._wait(self._client.subscribe(packet)).reason_codes)

    def receive(self) -> tuple[str, Mapping[str, object]]:
        """Return the next message.

        Raises:
            RefusedError: None came.
        """
        try:
            topic, payload = self._messages.get(timeout=_SECONDS)
        except queue.Empty as error:
            raise RefusedError("nothing arrived") from error
        found = json.loads(payload)
        return topic, found if isinstance(found, Mapping) else {}

    def ask(self, topic: str, request: object) -> Mapping[str, object]:
        """Make a provisioning request and return its answer.

        Raises:
            RefusedError: It was rejected; says why.
        """
        self.subscribe(f"{topic}/accepted", f"{topic}/rejected")
        self.publish(topic, request)
        answered, document = self.receive()
        if not answered.endswith("/accepted"):
            raise RefusedError(f"{document.get('statusCode')}: {document.get('errorMessage')}")
        return document

    def _wait(self, future: "Future[object]"):  # type: ignore[no-untyped-def]  # noqa: ANN202 - awscrt's own
        try:
            return future.result(_SECONDS)
        except Exception as error:  # awscrt raises its own kinds, a subclass each
            raise RefusedError(f"the connection was closed: {error}") from error

    def _check(self, codes: list[int]) -> None:
        refused = [int(code) for code in codes if int(code) >= 128]  # noqa: PLR2004 - MQTT 5: a failure
        if refused:
            raise RefusedError(f"reason code {refused[0]}")

    def _stop(self) -> None:
        self._client.stop()
        self._stopped.wait(_SECONDS)

    def _received(self, data: "mqtt5.PublishReceivedData") -> None:
        packet = data.publish_packet
        self._messages.put((packet.topic, bytes(packet.payload or b"")))

    def _refused(self, data: "mqtt5.LifecycleConnectFailureData") -> None:
        if not self._up.done():
            code = data.connack_packet.reason_code if data.connack_packet else None
            said = f"reason code {int(code)}" if code is not None else str(data.exception)
            self._up.set_exception(RefusedError(said))
