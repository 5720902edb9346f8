"""Connects as a device, which the aws command cannot: MQTT 5 over mTLS, every wait limited.

The only module that needs more than the standard library: ``awscrt``, which the project's own environment has.
"""

import importlib.util
import json
import os
import queue
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from fleet_cloud.aws.calls import Answer, Aws, text
from fleet_cloud.errors import FleetCloudError, UsageError
from fleet_cloud.fleet import configuration
from fleet_cloud.fleet.configuration import Endpoint
from fleet_cloud.local import pem
from fleet_cloud.local.json_text import parsed
from fleet_cloud.local.shell import Command

if TYPE_CHECKING:
    from awscrt import mqtt5

_SECONDS = 15.0
_NEVER_MS = 3_600_000  # it must not connect again by itself: that would be another answer
_HTTPS_PORT = 443  # where AWS IoT knows MQTT from HTTP by ALPN
_FIRST_REFUSAL = 128  # MQTT 5: from here on a reason code is a refusal
_ROOT = Path(__file__).resolve().parents[3]
_PACKAGES = {"awsiot": "awsiotsdk", "yaml": "PyYAML"}


class RefusedError(Exception):
    """What AWS IoT did not let a device do, in words for people.

    Args:
        said: These.
        on_the_way: There was no answer to it at all: perhaps what is asked there is not AWS IoT.
    """

    def __init__(self, said: str, *, on_the_way: bool = False) -> None:
        super().__init__(said)
        self.on_the_way = on_the_way


@dataclass(frozen=True, kw_only=True)
class Identity:
    """A certificate and its key, as files."""

    certificate: Path
    key: Path


@dataclass(frozen=True, kw_only=True)
class Server:
    """The server to connect to; without a CA file, the system's store is trusted."""

    endpoint: Endpoint
    ca_file: Path | None


def need_environment(*modules: str) -> None:
    """Continues in the project's environment when this Python lacks awscrt or others; does not return then.

    Raises:
        FleetCloudError: There is no such environment.
    """
    missing = [name for name in ("awscrt", *modules) if not importlib.util.find_spec(name)]
    if not missing:
        return
    found = Path(os.environ.get("FLEET_AGENT_VENV", _ROOT / ".venv")) / "bin" / "python"
    if found.is_file() and Path(sys.executable).parent != found.parent:
        launcher = _ROOT / "scripts" / "fleet-cloud"
        os.execv(found, [str(found), str(launcher), *sys.argv[1:]])
    raise FleetCloudError(
        f"this command connects as a device, for which this Python lacks {', '.join(missing)}",
        remedy="in the checkout type: . scripts/environment   which makes the project's environment; "
        f"or: python3 -m pip install {' '.join(_PACKAGES.get(name, name) for name in missing)}",
        code="environment-missing",
    )


def check_ca_file(ca_file: Path | None) -> None:
    """Checks that a CA file that somebody named is there and contains certificates.

    Raises:
        FleetCloudError: It is not, or contains something else.
    """
    if ca_file and pem.certificates(ca_file, "--ca-file") is None:
        raise UsageError(f"--ca-file {ca_file} does not exist", remedy="check its name")


def ask_endpoint(aws: Aws) -> Command:
    """Returns the command that says where the account's devices connect."""
    return aws.command("iot", "describe-endpoint", "--endpoint-type", "iot:Data-ATS")


def endpoint_of(answer: Answer | None, given: str | None = None) -> Endpoint:
    """Reads what that command gives; ``given`` goes before it."""
    return configuration.endpoint(given or text(answer, "endpointAddress"))


def ask_credentials_endpoint(aws: Aws) -> Command:
    """Returns the command that says where devices get AWS credentials."""
    return aws.command("iot", "describe-endpoint", "--endpoint-type", "iot:CredentialProvider")


def credentials_endpoint_of(answer: Answer | None) -> Endpoint:
    """Reads what that command gives."""
    return configuration.endpoint(text(answer, "endpointAddress"), configuration.HTTPS_PORT)


def check_reachable(server: Server, failures: Sequence[RefusedError | None]) -> None:
    """Checks that AWS IoT can be reached: that not all that tried failed before it answered.

    Raises:
        FleetCloudError: All of them did.
    """
    met = [failure for failure in failures if failure and failure.on_the_way]
    if not met or len(met) < len(failures):
        return
    where = f"{server.endpoint.host} port {server.endpoint.port}"
    raise FleetCloudError(
        f"no connection to {where}: {met[0]}",
        remedy="check that the certificate belongs to this account and is ACTIVE, and that this is its endpoint",
        code="endpoint-unreachable",
    )


def knock(server: Server, identity: Identity, client_id: str) -> RefusedError | None:
    """Connects and does nothing; returns what went wrong, or nothing."""
    try:
        with Connection(server, identity, client_id):
            return None
    except RefusedError as error:
        return error


class Connection:
    """One connection, open within ``with``.

    Args:
        server: Where.
        identity: Whose session it is.
        client_id: Under which name.

    Raises:
        RefusedError: There was no connection.
    """

    def __init__(self, server: Server, identity: Identity, client_id: str) -> None:
        from awscrt import mqtt5

        self._mqtt5 = mqtt5
        self._messages: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self._up: Future[None] = Future()
        self._stopped = threading.Event()
        self._client = mqtt5.Client(
            mqtt5.ClientOptions(
                host_name=server.endpoint.host,
                port=server.endpoint.port,
                tls_ctx=_tls(server, identity),
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
            on_the_way = isinstance(error, TimeoutError) or error.on_the_way
            said = f"connect: {str(error) or 'no answer'}"
            raise RefusedError(said, on_the_way=on_the_way) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def publish(self, topic: str, payload: object) -> None:
        """Publishes JSON at QoS 1.

        Raises:
            RefusedError: By a reason code, or by ending the connection.
        """
        packet = self._mqtt5.PublishPacket(
            topic=topic, payload=json.dumps(payload).encode(), qos=self._mqtt5.QoS.AT_LEAST_ONCE
        )
        action = f"publish to {topic}"
        answer = _wait(self._client.publish(packet), action)
        _check([answer.puback.reason_code], action)

    def subscribe(self, *filters: str) -> None:
        """Subscribes in one packet.

        Raises:
            RefusedError: One of the filters was refused, or the connection ended.
        """
        wanted = [
            self._mqtt5.Subscription(topic_filter=topic_filter, qos=self._mqtt5.QoS.AT_LEAST_ONCE)
            for topic_filter in filters
        ]
        packet = self._mqtt5.SubscribePacket(subscriptions=wanted)
        action = f"subscribe to {', '.join(filters)}"
        _check(_wait(self._client.subscribe(packet), action).reason_codes, action)

    def receive(self) -> tuple[str, Mapping[str, object]]:
        """Returns the next message.

        Raises:
            RefusedError: None came.
        """
        try:
            topic, payload = self._messages.get(timeout=_SECONDS)
        except queue.Empty as error:
            raise RefusedError("the message did not arrive") from error
        try:
            found = parsed(payload)
        except ValueError:
            found = None
        return topic, found if isinstance(found, Mapping) else {}

    def ask(self, topic: str, request: object) -> Mapping[str, object]:
        """Makes a provisioning request and returns its answer.

        Raises:
            RefusedError: It was rejected; says why.
        """
        self.subscribe(f"{topic}/accepted", f"{topic}/rejected")
        self.publish(topic, request)
        answered, document = self.receive()
        if not answered.endswith("/accepted"):
            raise RefusedError(f"{document.get('statusCode')}: {document.get('errorMessage')}")
        return document

    def _stop(self) -> None:
        self._client.stop()
        self._stopped.wait(_SECONDS)
        # It and this object refer to each other: only the garbage collector would free them, much later.
        del self._client

    def _received(self, data: "mqtt5.PublishReceivedData") -> None:
        packet = data.publish_packet
        self._messages.put((packet.topic, bytes(packet.payload or b"")))

    def _refused(self, data: "mqtt5.LifecycleConnectFailureData") -> None:
        if not self._up.done():
            answer = data.connack_packet
            said = _name(answer.reason_code) if answer else str(data.exception)
            self._up.set_exception(RefusedError(said, on_the_way=not answer))


def _tls(server: Server, identity: Identity) -> Any:  # noqa: ANN401 - awscrt's own
    from awscrt import io

    try:
        options = io.TlsContextOptions.create_client_with_mtls_from_path(
            str(identity.certificate), str(identity.key)
        )
        if server.ca_file:
            options.override_default_trust_store_from_path(None, str(server.ca_file))
        if server.endpoint.port == _HTTPS_PORT:
            options.alpn_list = ["x-amzn-mqtt-ca"]
        return io.ClientTlsContext(options)
    except Exception as error:  # awscrt raises its own for files that do not fit together
        raise RefusedError(f"certificate, key or CA file: {error}") from error


def _wait(future: "Future[Any]", action: str) -> Any:  # noqa: ANN401 - awscrt's own
    try:
        return future.result(_SECONDS)
    except Exception as error:  # awscrt raises its own kinds, a subclass each
        raise RefusedError(f"{action}: {str(error) or 'no answer'}") from error


def _check(codes: Any, action: str) -> None:  # noqa: ANN401 - awscrt's own
    for code in codes:
        if int(code) >= _FIRST_REFUSAL:
            raise RefusedError(f"{action}: {_name(code)}")


def _name(code: Any) -> str:  # noqa: ANN401 - awscrt's own, or a number that it does not know
    return f"{getattr(code, 'name', 'reason code')} ({int(code)})"
