"""One MQTT 5 connection under one credential. Besides ``provisioning.aws``, the only importer of the SDK.

The network runs on awscrt's own thread; its callbacks put one event into the mailbox and return. Every event carries
the session it belongs to, so that a late one of a closed session is recognised. Built on awscrt directly: the SDK's
builder would read its own package metadata first (26 ms, 4 MB).
"""

import contextlib
import dataclasses
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from awscrt import io, mqtt5

from fleet_agent.credentials.model import KeyPair
from fleet_agent.mailbox import Mailbox
from fleet_agent.session import tls
from fleet_agent.session.message import Outgoing, Upkeep
from fleet_agent.session.route import Route

CONNACK_LIMIT = 20_000  # ms from TCP to CONNACK
ACK_LIMIT = 30  # seconds to a PUBACK or SUBACK
CLOSE_LIMIT = 5.0  # seconds for a DISCONNECT to leave

FILTERS_A_PACKET = 8  # AWS's limit
TOPIC_ALIASES = 8  # AWS's grant

NOT_AUTHORIZED = 135
CUT = "OFFLINE_QUEUE_POLICY"  # in the error of a packet whose connection ended before its answer


@dataclasses.dataclass(frozen=True, kw_only=True)
class Connected:
    """CONNACK 0; ``rejoined``: AWS had kept the session and what was queued in it."""

    session: "Session"
    rejoined: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConnectFailed:
    """No CONNACK 0; ``reason_code`` is CONNACK's if there was one, ``error`` awscrt's words."""

    session: "Session"
    reason_code: int | None
    error: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Disconnected:
    """An open connection ended; ``reason_code`` is the server's DISCONNECT's if there was one."""

    session: "Session"
    reason_code: int | None
    error: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Subscribed:
    """SUBACK: a reason code a filter, in the order asked; empty with ``error`` when none came."""

    session: "Session"
    filters: tuple[str, ...]
    reason_codes: tuple[int, ...]
    error: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Published:
    """PUBACK, or none (``reason_code`` None, ``error`` says why); ``tag`` is the publisher's own."""

    session: "Session"
    topic: str
    tag: object
    reason_code: int | None
    error: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Message:
    """Something arrived. ``acknowledge`` sends its PUBACK: when the message is safe, or needs to be no more."""

    session: "Session"
    topic: str
    payload: bytes = dataclasses.field(repr=False)  # provisioning's answers hold keys and tokens
    response_topic: str | None = None
    correlation_data: bytes | None = None
    content_type: str | None = None
    user_properties: tuple[tuple[str, str], ...] = ()
    retain: bool = (
        False  # kept by AWS: sent because we subscribed, not because somebody published it now
    )
    acknowledge: Callable[[], None] = dataclasses.field(default=lambda: None, repr=False)


class Session:
    """One connection, from ``start`` to ``close``.

    Args:
        route: Where to.
        pair: The credential to open it with.
        client_id: MQTT client id; for a device the thing's name.
        mailbox: Gets the events.
        filters: Topic filters with their QoS, asked for whenever the connection stands (again).
        is_thing: A device's own session: AWS keeps it between connections, the client reconnects by itself and keeps
            to AWS's 100 publishes a second. Otherwise a claim's: clean, short, without the 10 ms that flow control
            costs a packet.
        upkeep: Of a device's own session.

    Raises:
        DeviceError: The certificate, key or CA cannot be loaded.
    """

    def __init__(  # noqa: PLR0913 - of a session, all of it
        self,
        route: Route,
        pair: KeyPair,
        client_id: str,
        mailbox: Mailbox,
        *,
        filters: Sequence[tuple[str, int]] = (),
        is_thing: bool,
        upkeep: Upkeep = Upkeep(),  # noqa: B008 - frozen
    ) -> None:
        self.route = route
        self.pair = pair
        self.client_id = client_id
        self.is_thing = is_thing
        self._mailbox = mailbox
        self._filters = filters
        self.upkeep = upkeep
        self._stopped = threading.Event()
        self._started = False
        self._is_up = False
        self.client = mqtt5.Client(self._options())

    def start(self, *, is_hasty: bool = False) -> None:
        """Begin to connect; ``Connected`` or ``ConnectFailed`` follows.

        Args:
            is_hasty: For a short session that somebody waits for: spend up to 20 ms to save 40.
        """
        self._started = True
        if not is_hasty:
            self.client.start()
            return
        from fleet_agent.session import nodelay

        before = nodelay.sockets()
        self.client.start()
        nodelay.on_new_connection(before, self._stopped.wait)

    def publish(self, message: Outgoing, tag: object = None) -> None:
        """Publish at QoS 1; ``Published`` follows."""

        def done(future: "Future[Any]") -> None:
            error = future.exception()
            code = None if error else int(future.result().puback.reason_code)
            self._mailbox.put(
                Published(
                    session=self,
                    topic=message.topic,
                    tag=tag,
                    reason_code=code,
                    error=_text(error),
                )
            )

        self.client.publish(_packet(message)).add_done_callback(done)

    def subscribe(self, filters: Sequence[tuple[str, int]]) -> None:
        """Ask for topic filters with their QoS, at most ``FILTERS_A_PACKET``; ``Subscribed`` follows."""
        names = tuple(name for name, _ in filters)
        packet = mqtt5.SubscribePacket(
            subscriptions=[mqtt5.Subscription(name, mqtt5.QoS(qos)) for name, qos in filters]
        )

        def done(future: "Future[Any]") -> None:
            error = future.exception()
            codes = () if error else tuple(int(code) for code in future.result().reason_codes)
            self._mailbox.put(
                Subscribed(session=self, filters=names, reason_codes=codes, error=_text(error))
            )

        self.client.subscribe(packet).add_done_callback(done)

    def close(self) -> None:
        """End with a real MQTT DISCONNECT, so that no will fires; waits until it has left.

        Where there is no connection there is nothing to wait for: awscrt would finish its handshake first, or time out.
        """
        if self._started:
            self._started = False
            self.client.stop(mqtt5.DisconnectPacket())
            if self._is_up:
                self._stopped.wait(CLOSE_LIMIT)

    # Construction ---------------------------------------------------------------------------------------------------

    def _options(self) -> mqtt5.ClientOptions:
        flow = mqtt5.ExtendedValidationAndFlowControlOptions
        behavior = mqtt5.ClientSessionBehaviorType
        options: dict[str, Any] = {
            "host_name": self.route.host,
            "port": self.route.port,
            "bootstrap": _bootstrap(),
            "socket_options": io.SocketOptions(),
            "tls_ctx": tls.context(self.route, self.pair),
            "http_proxy_options": tls.proxy(self.route),
            "connect_options": mqtt5.ConnectPacket(
                client_id=self.client_id,
                keep_alive_interval_sec=self.upkeep.keep_alive,
                session_expiry_interval_sec=self.upkeep.expiry if self.is_thing else None,
                will=_packet(self.upkeep.will) if self.upkeep.will else None,
            ),
            "session_behavior": behavior.REJOIN_ALWAYS if self.is_thing else behavior.CLEAN,
            "extended_validation_and_flow_control_options": (
                flow.AWS_IOT_CORE_DEFAULTS
                if self.is_thing and self.upkeep.flow_control
                else flow.NONE
            ),
            # A re-sent request would make a second certificate; readings are kept and sent again by their owner.
            "offline_queue_behavior": mqtt5.ClientOperationQueueBehaviorType.FAIL_ALL_ON_DISCONNECT,
            "retry_jitter_mode": mqtt5.ExponentialBackoffJitterMode.FULL,
            "min_reconnect_delay_ms": 1500,  # of the span that the jitter takes a part of
            # min_connected_time_to_reset_reconnect_delay_ms stays unset (30 s): awscrt 0.36 takes it for the minimum.
            "max_reconnect_delay_ms": 300_000,
            "ping_timeout_ms": 30_000,
            "connack_timeout_ms": CONNACK_LIMIT,
            "ack_timeout_sec": ACK_LIMIT,
            "on_publish_callback_fn": self._on_publish,
            "on_lifecycle_event_stopped_fn": lambda _data: self._stopped.set(),
            "on_lifecycle_event_connection_success_fn": self._on_connected,
            "on_lifecycle_event_connection_failure_fn": self._on_connect_failed,
            "on_lifecycle_event_disconnection_fn": self._on_disconnected,
            "disable_metrics": True,
        }
        if hasattr(mqtt5, "TopicAliasingOptions"):
            # As many as the server grants: a topic that comes again and again goes as two bytes.
            options["topic_aliasing_options"] = mqtt5.TopicAliasingOptions(
                outbound_behavior=mqtt5.OutboundTopicAliasBehaviorType.LRU,
                outbound_cache_max_size=TOPIC_ALIASES,
            )
        known = {field.name for field in dataclasses.fields(mqtt5.ClientOptions)}
        # Distributions mix SDK versions: leave out what this one does not know.
        return mqtt5.ClientOptions(
            **{key: value for key, value in options.items() if key in known}
        )

    # Callbacks, on awscrt's thread ------------------------------------------------------------------------------------

    def _on_publish(self, data: Any) -> None:  # noqa: ANN401 - awscrt has no types
        packet = data.publish_packet
        self._mailbox.put(
            Message(
                session=self,
                topic=packet.topic,
                payload=bytes(packet.payload or b""),
                response_topic=packet.response_topic,
                correlation_data=getattr(
                    packet, "correlation_data_bytes", packet.correlation_data
                ),
                content_type=packet.content_type,
                user_properties=tuple(
                    (one.name, one.value) for one in packet.user_properties or ()
                ),
                retain=bool(packet.retain),
                acknowledge=self._hold(data),
            )
        )

    def _hold(self, data: Any) -> Callable[[], None]:  # noqa: ANN401
        """Keep the PUBACK of a QoS 1 message back; what sends it. Older SDKs send it by themselves, at once."""
        acquire = getattr(data, "acquire_publish_acknowledgement_control", None)
        if not self.is_thing or acquire is None:
            return lambda: None
        handle = acquire()

        def acknowledge() -> None:
            with contextlib.suppress(
                Exception
            ):  # the connection it came on has ended: it comes again
                self.client.invoke_publish_acknowledgement(handle)

        return acknowledge

    def _on_connected(self, data: Any) -> None:  # noqa: ANN401
        self._is_up = True
        rejoined = bool(data.connack_packet and data.connack_packet.session_present)
        self._mailbox.put(Connected(session=self, rejoined=rejoined))
        # From here rather than from the main thread, which may be making a key. Asked again on a rejoined session
        # too: the configuration may be new.
        for first in range(0, len(self._filters), FILTERS_A_PACKET):
            self.subscribe(self._filters[first : first + FILTERS_A_PACKET])

    def _on_connect_failed(self, data: Any) -> None:  # noqa: ANN401
        code = int(data.connack_packet.reason_code) if data.connack_packet else None
        self._mailbox.put(
            ConnectFailed(session=self, reason_code=code, error=_text(data.exception))
        )

    def _on_disconnected(self, data: Any) -> None:  # noqa: ANN401
        self._is_up = False
        code = int(data.disconnect_packet.reason_code) if data.disconnect_packet else None
        self._mailbox.put(
            Disconnected(session=self, reason_code=code, error=_text(data.exception))
        )


def _packet(message: Outgoing) -> mqtt5.PublishPacket:
    return mqtt5.PublishPacket(
        topic=message.topic,
        payload=message.payload,
        qos=mqtt5.QoS.AT_LEAST_ONCE,
        retain=message.retain,
        content_type=message.content_type,
        message_expiry_interval_sec=message.expiry,
        correlation_data=message.correlation_data,
        user_properties=[mqtt5.UserProperty(name, value) for name, value in message.properties],
    )


_shared: io.ClientBootstrap | None = None


def _bootstrap() -> io.ClientBootstrap:
    """One event-loop thread for all sessions of the process."""
    global _shared  # noqa: PLW0603 - made once, on first use
    if _shared is None:
        group = io.EventLoopGroup(1)
        _shared = io.ClientBootstrap(group, io.DefaultHostResolver(group))
    return _shared


def _text(error: BaseException | None) -> str:
    if error is None:
        return ""
    words = f"{getattr(error, 'name', type(error).__name__)}: {getattr(error, 'message', error)}"
    return words.rstrip(".")
