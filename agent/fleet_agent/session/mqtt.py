"""One MQTT 5 connection under one credential. Of the SDK it uses awscrt alone, as ``packets`` and ``tls`` do.

The network runs on awscrt's own thread; its callbacks put one event into the mailbox and return. Every event carries
the session it belongs to, so that a late one of a closed session is recognised. Built on awscrt directly: the SDK's
builder would read its own package metadata first (26 ms, 4 MB).
"""

import contextlib
import dataclasses
import functools
import logging
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from fleet_agent.credentials.model import KeyPair
from fleet_agent.process.mailbox import Mailbox
from fleet_agent.session import nodelay, packets, sdk, thread_state, tls
from fleet_agent.session.events import (
    CallbackFailed,
    Connected,
    ConnectFailed,
    Disconnected,
    Message,
    Published,
    Subscribed,
)
from fleet_agent.session.message import Outgoing, Upkeep
from fleet_agent.session.route import Route

_log = logging.getLogger(__name__)

CONNACK_LIMIT = 20_000  # ms from TCP to CONNACK
ACK_LIMIT = 30  # seconds to a PUBACK or SUBACK
CLOSE_LIMIT = 5.0  # seconds for a DISCONNECT to leave

FILTERS_A_PACKET = 8  # AWS's limit
TOPIC_ALIASES = 8  # AWS's grant

# What may be on its way to this device unacknowledged, and how large it may be: both bound the agent's memory.
RECEIVE_MAXIMUM = 100
PACKET_MAXIMUM = 256 * 1024


class Session:
    """One connection, from ``start`` to ``close``.

    Args:
        route: Where to connect.
        pair: The credential.
        client_id: MQTT client id; for a device the thing's name.
        mailbox: Gets the events.
        filters: Topic filters with their QoS, subscribed to after every connect. After a refusal the caller subscribes
            again by ``subscribe``.
        is_thing: A device's own session: AWS keeps it between connections, the client reconnects by itself and keeps
            to AWS's 100 publishes a second. Otherwise a claim's: clean, short, without the 10 ms that flow control
            costs a packet.
        upkeep: How a device's own session is kept.

    Raises:
        DeviceError: The certificate, key or CA cannot be loaded, or the SDK is too old.
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
        sdk.require(sdk.mqtt5)
        self.route = route
        self.pair = pair
        self.client_id = client_id
        self.is_thing = is_thing
        self._mailbox = mailbox
        self._filters = filters
        self.upkeep = upkeep
        self._stopped = threading.Event()
        self._before: frozenset[int] | None = None  # sockets of this process at the start
        self._started = False
        self._is_up = False
        self._is_restarting = False
        self.client = sdk.mqtt5.Client(self._options())

    def start(self, *, sets_nodelay: bool = False) -> None:
        """Begins to connect; ``Connected`` or ``ConnectFailed`` follows.

        Args:
            sets_nodelay: Wait up to 20 ms for the socket to set TCP_NODELAY on it, which saves 40 (``nodelay``).
        """
        self._started = True
        self._before = nodelay.sockets()
        self.client.start()
        if sets_nodelay:
            nodelay.on_new_connection(self._before, self._stopped.wait)

    def set_nodelay(self) -> None:
        """Sets TCP_NODELAY if the socket exists by now: for a caller that had other work to do since ``start``."""
        nodelay.look(self._before)

    def publish(self, message: Outgoing, tag: object = None) -> None:
        """Publishes at QoS 1; ``Published`` follows, also for what awscrt refuses to send. Never raises."""
        self._submit(
            lambda: self.client.publish(packets.packet(message)),
            functools.partial(self._on_puback, message.topic, tag),
        )

    def subscribe(self, filters: Sequence[tuple[str, int]]) -> None:
        """Asks for at most ``FILTERS_A_PACKET`` topic filters with their QoS; ``Subscribed`` follows. Never raises."""
        self._submit(
            lambda: self.client.subscribe(packets.subscription(filters)),
            functools.partial(self._on_suback, tuple(name for name, _ in filters)),
        )

    def unsubscribe(self, names: Sequence[str]) -> None:
        """Gives up at most ``FILTERS_A_PACKET`` topic filters; nothing follows. Never raises."""
        with contextlib.suppress(Exception):
            self.client.unsubscribe(sdk.mqtt5.UnsubscribePacket(topic_filters=list(names)))

    def reconnect(self) -> None:
        """Ends the connection and opens another: ``Disconnected`` follows, then as after ``start``."""
        if self._started and not self._is_restarting:
            self._is_restarting = True
            self.client.stop(sdk.mqtt5.DisconnectPacket())

    def _submit(
        self, submit: "Callable[[], Future[Any]]", answered: "Callable[[Future[Any]], None]"
    ) -> None:
        """Hands a packet to awscrt; ``answered`` is called exactly once, on its thread or, with a failure, on this."""
        try:
            future = submit()
        except Exception as refused:  # noqa: BLE001 - of any kind: it never left, and never will
            future = Future()
            future.set_exception(packets.NeverSentError(refused))
        future.add_done_callback(answered)

    def close(self) -> None:
        """Ends with a real MQTT DISCONNECT, so that no will fires; waits until it has left.

        Where there is no connection there is nothing to wait for: awscrt would finish its handshake first, or time out.
        """
        if self._started:
            self._started = False
            self.client.stop(sdk.mqtt5.DisconnectPacket())
            if self._is_up:
                self._stopped.wait(CLOSE_LIMIT)
        # It holds callbacks of this session, which held it: a circle through awscrt that no collection sees.
        vars(self).pop("client", None)

    # Construction ---------------------------------------------------------------------------------------------------

    def _options(self) -> "sdk.mqtt5.ClientOptions":
        mqtt5 = sdk.mqtt5
        flow = mqtt5.ExtendedValidationAndFlowControlOptions
        behavior = mqtt5.ClientSessionBehaviorType
        options: dict[str, Any] = {
            "host_name": self.route.host,
            "port": self.route.port,
            "bootstrap": _bootstrap(),
            "socket_options": sdk.io.SocketOptions(),
            "tls_ctx": tls.context(self.route, self.pair),
            "http_proxy_options": tls.proxy(self.route),
            "connect_options": mqtt5.ConnectPacket(
                client_id=self.client_id,
                keep_alive_interval_sec=self.upkeep.keep_alive,
                session_expiry_interval_sec=self.upkeep.expiry if self.is_thing else None,
                receive_maximum=RECEIVE_MAXIMUM,
                maximum_packet_size=PACKET_MAXIMUM,
                will=packets.packet(self.upkeep.will) if self.upkeep.will else None,
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
            "on_publish_callback_fn": self._guarded(self._on_publish),
            "on_lifecycle_event_stopped_fn": self._guarded(self._on_stopped),
            "on_lifecycle_event_connection_success_fn": self._guarded(self._on_connected),
            "on_lifecycle_event_connection_failure_fn": self._guarded(self._on_connect_failed),
            "on_lifecycle_event_disconnection_fn": self._guarded(self._on_disconnected),
            # As many as the server grants: a topic that comes again and again goes as two bytes.
            "topic_aliasing_options": mqtt5.TopicAliasingOptions(
                outbound_behavior=mqtt5.OutboundTopicAliasBehaviorType.LRU,
                outbound_cache_max_size=TOPIC_ALIASES,
            ),
            "disable_metrics": True,
        }
        known = {field.name for field in dataclasses.fields(mqtt5.ClientOptions)}
        # Distributions mix SDK versions: leave out what this one does not know.
        return mqtt5.ClientOptions(
            **{key: value for key, value in options.items() if key in known}
        )

    # Callbacks, on awscrt's thread ------------------------------------------------------------------------------------

    def _guarded(self, act: Callable[[Any], None]) -> Callable[[Any], None]:
        """A callback whose failure reaches the main thread: an exception would be lost in awscrt's."""

        def guarded(data: Any) -> None:  # noqa: ANN401 - awscrt has no types
            try:
                act(data)
            except Exception as error:  # noqa: BLE001 - whatever the server made of it
                name = act.__name__.removeprefix("_")
                self._mailbox.put(CallbackFailed(session=self, name=name, error=error))

        return guarded

    def _on_stopped(self, _data: Any) -> None:  # noqa: ANN401
        if self._is_restarting and self._started:
            self._is_restarting = False
            self.client.start()
        else:
            self._stopped.set()

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
                    (item.name, item.value) for item in packet.user_properties or ()
                ),
                retain=bool(packet.retain),
                qos=int(packet.qos or 0),
                expiry=packet.message_expiry_interval_sec,
                acknowledge=self._hold(data),
            )
        )
        thread_state.keep()

    def _hold(self, data: Any) -> Callable[[], None]:  # noqa: ANN401
        """Holds the PUBACK of a QoS 1 message back; returns what sends it. Older SDKs send it themselves, at once."""
        acquire = getattr(data, "acquire_publish_acknowledgement_control", None)
        if not self.is_thing or acquire is None:
            return lambda: None
        handle = acquire()

        def acknowledge() -> None:
            # The connection it came on may have ended: it comes again.
            with contextlib.suppress(Exception):
                self.client.invoke_publish_acknowledgement(handle)

        return acknowledge

    def _on_puback(self, topic: str, tag: object, future: "Future[Any]") -> None:
        code = error = None
        try:
            code = packets.code(future.result().puback.reason_code)
        except Exception as found:  # noqa: BLE001 - none came, or one of any shape
            error = found
        self._mailbox.put(
            Published(
                session=self,
                topic=topic,
                tag=tag,
                reason_code=code,
                error=packets.text(error),
                no_answer=packets.why(error),
            )
        )
        thread_state.keep()

    def _on_suback(self, names: tuple[str, ...], future: "Future[Any]") -> None:
        codes: tuple[int, ...] = ()
        error = None
        try:
            codes = tuple(packets.code(code) for code in future.result().reason_codes)
        except Exception as found:  # noqa: BLE001 - as above
            error = found
        self._mailbox.put(
            Subscribed(
                session=self,
                filters=names,
                reason_codes=codes,
                error=packets.text(error),
                no_answer=packets.why(error),
            )
        )

    def _on_connected(self, data: Any) -> None:  # noqa: ANN401
        self._is_up = True
        rejoined = bool(data.connack_packet and data.connack_packet.session_present)
        limits = packets.limits(data.negotiated_settings)
        self._mailbox.put(Connected(session=self, rejoined=rejoined, limits=limits))
        # From here rather than from the main thread, which may be making a key. Asked again on a rejoined session
        # too: the configuration may be new.
        for first in range(0, len(self._filters), FILTERS_A_PACKET):
            self.subscribe(self._filters[first : first + FILTERS_A_PACKET])

    def _on_connect_failed(self, data: Any) -> None:  # noqa: ANN401
        self._ended(ConnectFailed, data.connack_packet, data.exception)

    def _on_disconnected(self, data: Any) -> None:  # noqa: ANN401
        self._is_up = False
        self._ended(Disconnected, data.disconnect_packet, data.exception)

    def _ended(
        self,
        event: type[ConnectFailed | Disconnected],
        packet: Any,  # noqa: ANN401
        error: BaseException | None,
    ) -> None:
        code, words = packets.ending(packet)
        self._mailbox.put(
            event(
                session=self,
                reason_code=code,
                error=packets.text(error),
                reason_string=words,
                cause=packets.cause(error),
            )
        )


_shared: "sdk.io.ClientBootstrap | None" = None


def _bootstrap() -> "sdk.io.ClientBootstrap":
    """One event-loop thread for all sessions of the process."""
    global _shared  # noqa: PLW0603 - made once, on first use
    if _shared is None:
        _log_what_is_dropped()
        group = sdk.io.EventLoopGroup(1)
        _shared = sdk.io.ClientBootstrap(group, sdk.io.DefaultHostResolver(group))
    return _shared


def _log_what_is_dropped() -> None:
    """Logs packets that awscrt drops for what is in them: else each would print a traceback, whoever sent it."""
    before = sys.unraisablehook

    def dropped(found: "sys.UnraisableHookArgs") -> None:
        if threading.current_thread() is threading.main_thread():
            before(found)
        else:
            _log.warning("the SDK dropped a packet from the server: %s", found.exc_value)

    sys.unraisablehook = dropped
