"""Receives what devices publish, with an operator's own credentials: MQTT 5 over WebSocket, as AWS IoT accepts it."""

import json
import queue
import secrets
import threading
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from fleet_cloud.aws.call import Where
from fleet_cloud.errors import FleetCloudError
from fleet_cloud.fleet import connection
from fleet_cloud.fleet.connection import RefusedError
from fleet_cloud.local.json_text import parsed
from fleet_cloud.local.shell import Command, Shell

_SECONDS = 15.0
_NEVER_MS = 3_600_000
_FIRST_REFUSAL = 128
CLIENT_PREFIX = "fleet-cloud-"


class Listener:
    """Receives one topic, within ``with``.

    Args:
        where: The account's endpoint.
        credentials: Access key, secret key and session token, if there is one.
        topic: That is received.

    Raises:
        RefusedError: AWS IoT did not let it.
    """

    def __init__(self, where: Where, credentials: tuple[str, str, str | None], topic: str) -> None:
        from awscrt import auth, io, mqtt5

        key, secret, token = credentials
        self._provider = auth.AwsCredentialsProvider.new_static(key, secret, token)
        self._auth, self._region, self._topic = auth, where.region, topic
        self._received: queue.Queue[bytes] = queue.Queue()
        self._up: Future[None] = Future()
        self._stopped = threading.Event()
        self._mqtt5 = mqtt5
        parts = urlsplit(where.endpoint_url or "")
        is_plain = parts.scheme == "http"
        tls = None if is_plain else io.ClientTlsContext(io.TlsContextOptions())
        self._client = mqtt5.Client(
            mqtt5.ClientOptions(
                host_name=parts.hostname or "",
                port=parts.port or (80 if is_plain else 443),
                tls_ctx=tls,
                connect_options=mqtt5.ConnectPacket(
                    client_id=f"{CLIENT_PREFIX}{secrets.token_hex(8)}"
                ),
                websocket_handshake_transform=self._sign,
                min_reconnect_delay_ms=_NEVER_MS,
                max_reconnect_delay_ms=_NEVER_MS,
                on_publish_callback_fn=lambda data: self._received.put(
                    bytes(data.publish_packet.payload or b"")
                ),
                on_lifecycle_event_connection_success_fn=lambda _: self._up.set_result(None),
                on_lifecycle_event_connection_failure_fn=self._refused,
                on_lifecycle_event_stopped_fn=lambda _: self._stopped.set(),
            )
        )

    def __enter__(self) -> Self:
        self._client.start()
        try:
            self._up.result(_SECONDS)
            wanted = self._mqtt5.Subscription(
                topic_filter=self._topic, qos=self._mqtt5.QoS.AT_LEAST_ONCE
            )
            packet = self._mqtt5.SubscribePacket(subscriptions=[wanted])
            (code,) = self._client.subscribe(packet).result(_SECONDS).reason_codes
        except Exception as error:  # awscrt raises its own kinds, a subclass each
            self._stop()
            raise RefusedError(
                f"subscribe to {self._topic}: {str(error) or 'no answer'}"
            ) from error
        if int(code) >= _FIRST_REFUSAL:
            self._stop()
            raise RefusedError(
                f"subscribe to {self._topic}: these credentials may not (iot:Subscribe)"
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def receive(self, seconds: float) -> object:
        """Returns the next message: JSON, or else its text; nothing when none comes in time."""
        try:
            payload = self._received.get(timeout=seconds)
        except queue.Empty:
            return None
        try:
            return parsed(payload)
        except ValueError:
            return payload.decode(errors="replace")

    def _stop(self) -> None:
        self._client.stop()
        self._stopped.wait(_SECONDS)
        del self._client

    def _sign(self, transform_args: Any) -> None:  # noqa: ANN401 - awscrt's own
        # awscrt gives it by this name.
        config = self._auth.AwsSigningConfig(
            algorithm=self._auth.AwsSigningAlgorithm.V4,
            signature_type=self._auth.AwsSignatureType.HTTP_REQUEST_QUERY_PARAMS,
            credentials_provider=self._provider,
            region=self._region,
            service="iotdevicegateway",
            omit_session_token=True,
        )

        def done(signed: "Future[Any]") -> None:
            transform_args.set_done(signed.exception())

        self._auth.aws_sign_request(transform_args.http_request, config).add_done_callback(done)

    def _refused(self, data: Any) -> None:  # noqa: ANN401 - awscrt's own
        if not self._up.done():
            answer = data.connack_packet
            code = f"CONNACK {int(answer.reason_code)}" if answer else str(data.exception)
            self._up.set_exception(RefusedError(code))


def credentials(shell: Shell, where: Where) -> tuple[str, str, str | None]:
    """Returns the operator's own.

    Raises:
        FleetCloudError: There are none.
    """
    connection.need_environment()
    profile = ("--profile", where.profile) if where.profile else ()
    try:
        import botocore.session
    except ImportError:
        command = Command(
            words=("aws", "configure", "export-credentials", *profile, "--format", "process")
        )
        found = json.loads(shell.run(command))
        return found["AccessKeyId"], found["SecretAccessKey"], found.get("SessionToken")
    has = botocore.session.Session(profile=where.profile).get_credentials()
    if has is None:
        raise FleetCloudError(
            "no AWS credentials were found",
            remedy="type: aws configure   (or choose a profile with --profile NAME)",
            code="no-credentials",
        )
    frozen = has.get_frozen_credentials()
    return frozen.access_key, frozen.secret_key, frozen.token
