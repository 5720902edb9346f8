"""What a session tells the SDK, and what it makes of its callbacks."""

import contextlib
import dataclasses
import gc
import socket
import time
import weakref
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from awscrt import io, mqtt5

from fleet_agent.credentials.model import KeyPair
from fleet_agent.errors import DeviceError
from fleet_agent.session import mqtt, nodelay
from fleet_agent.session.events import (
    CallbackFailed,
    Cause,
    Connected,
    ConnectFailed,
    Disconnected,
    Message,
    NoAnswer,
    Published,
    Subscribed,
)
from fleet_agent.session.message import Limits, Outgoing, Upkeep
from fleet_agent.session.mqtt import Session
from fleet_agent.session.route import Route
from support.clock import FakeClock
from support.sessions import Timely

ROUTE = Route(host="broker.example", port=8883, ca_file=None, proxy=None)


class Client:
    """In place of awscrt's: each packet gets the next answer."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.answer: object = None

    def _note(self, name: str, packet: object = None) -> "Future[Any]":
        self.calls.append((name, packet))
        if isinstance(self.answer, TypeError):
            raise self.answer
        future: Future[Any] = Future()
        if isinstance(self.answer, Exception):
            future.set_exception(self.answer)
        else:
            future.set_result(self.answer)
        return future

    def publish(self, packet: Any) -> "Future[Any]":
        return self._note("publish", packet)

    def subscribe(self, packet: Any) -> "Future[Any]":
        return self._note("subscribe", packet)

    def unsubscribe(self, packet: Any) -> "Future[Any]":
        return self._note("unsubscribe", packet)

    def start(self) -> None:
        self.calls.append(("start", None))

    def stop(self, packet: Any) -> None:
        self.calls.append(("stop", packet))

    def invoke_publish_acknowledgement(self, handle: object) -> None:
        self.calls.append(("acknowledge", handle))
        if handle == "too late":
            raise RuntimeError


class Bench:
    def __init__(self, pair: KeyPair, *, is_thing: bool = True, **more: Any) -> None:
        self.box = Timely(FakeClock())
        self.session = Session(ROUTE, pair, "pump", self.box, is_thing=is_thing, **more)
        self.options: Any = self.session._options()
        self.client = Client()
        self.session.client = self.client

    def heard(self) -> Any:
        return self.box.wait(0.0)

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.client.calls]


@pytest.fixture
def bench(pair: KeyPair) -> Bench:
    return Bench(pair)


def test_a_device_is_kept_and_a_claim_is_not(pair: KeyPair) -> None:
    will = Outgoing(topic="presence", payload=b"down", retain=True)
    upkeep = Upkeep(keep_alive=600, expiry=7200, will=will)
    thing, claim = Bench(pair, upkeep=upkeep).options, Bench(pair, is_thing=False).options
    behavior = mqtt5.ClientSessionBehaviorType
    assert (thing.session_behavior, claim.session_behavior) == (
        behavior.REJOIN_ALWAYS,
        behavior.CLEAN,
    )
    flow = mqtt5.ExtendedValidationAndFlowControlOptions
    assert thing.extended_validation_and_flow_control_options == flow.AWS_IOT_CORE_DEFAULTS
    assert claim.extended_validation_and_flow_control_options == flow.NONE
    own = Bench(pair, upkeep=Upkeep(flow_control=False)).options
    assert own.extended_validation_and_flow_control_options == flow.NONE
    connect = thing.connect_options
    assert (connect.client_id, connect.keep_alive_interval_sec) == ("pump", 600)
    assert (connect.session_expiry_interval_sec, connect.will.topic) == (7200, "presence")
    assert claim.connect_options.session_expiry_interval_sec is None
    assert claim.connect_options.will is None
    for options in (thing, claim):
        assert (options.host_name, options.port) == ("broker.example", 8883)
        assert options.http_proxy_options is None
        assert options.bootstrap is mqtt._bootstrap()
        assert isinstance(options.bootstrap, io.ClientBootstrap)
        assert isinstance(options.socket_options, io.SocketOptions)
        assert isinstance(options.tls_ctx, io.ClientTlsContext)
        # Nothing about this machine goes into the CONNECT.
        assert getattr(options, "disable_metrics", True)
        assert options.connect_options.receive_maximum == mqtt.RECEIVE_MAXIMUM
        assert options.connect_options.maximum_packet_size == mqtt.PACKET_MAXIMUM
        queue = mqtt5.ClientOperationQueueBehaviorType.FAIL_ALL_ON_DISCONNECT
        assert options.offline_queue_behavior == queue
        assert options.retry_jitter_mode == mqtt5.ExponentialBackoffJitterMode.FULL
        assert options.min_reconnect_delay_ms == 1500
        assert options.max_reconnect_delay_ms == 300_000
        assert options.ping_timeout_ms == 30_000
        assert options.connack_timeout_ms == mqtt.CONNACK_LIMIT
        assert options.ack_timeout_sec == mqtt.ACK_LIMIT
        aliases = options.topic_aliasing_options
        assert aliases.outbound_behavior == mqtt5.OutboundTopicAliasBehaviorType.LRU
        assert aliases.outbound_cache_max_size == mqtt.TOPIC_ALIASES


def test_a_session_is_opened_with_its_own_certificate_by_its_own_proxy(pair: KeyPair) -> None:
    box = Timely(FakeClock())
    assert Session(ROUTE, pair, "pump", box, is_thing=True).pair is pair
    none = dataclasses.replace(pair, certificate="none")
    with pytest.raises(DeviceError):
        Session(ROUTE, none, "pump", box, is_thing=True)
    there = dataclasses.replace(ROUTE, proxy="http://u@proxy.example:3128")
    session = Session(there, pair, "pump", box, is_thing=True)
    options: Any = session._options()
    assert options.http_proxy_options.host_name == "proxy.example"


READING = Outgoing(topic="dt/pump", payload=b"1")


@pytest.mark.parametrize(
    ("answer", "code", "error", "kind"),
    [
        (SimpleNamespace(puback=SimpleNamespace(reason_code=16)), 16, "", None),
        (SimpleNamespace(puback=None), None, "'NoneType' object", NoAnswer.FAILED),
        (RuntimeError("gone."), None, "gone", NoAnswer.FAILED),
        (TypeError("no text"), None, "no text", NoAnswer.IMPOSSIBLE),
    ],
)
def test_a_publish_is_answered_once_whatever_comes_of_it(
    bench: Bench, answer: object, code: int | None, error: str, kind: NoAnswer | None
) -> None:
    bench.client.answer = answer
    bench.session.publish(READING, "mine")
    assert bench.client.calls[0][1].topic == "dt/pump"
    found = bench.heard()
    assert isinstance(found, Published)
    assert (found.session, found.topic, found.tag) == (bench.session, "dt/pump", "mine")
    assert (found.reason_code, found.no_answer) == (code, kind)
    assert error in found.error
    assert bool(found.error) is bool(error)
    assert bench.heard() is None


@pytest.mark.parametrize(
    ("answer", "codes", "error", "kind"),
    [
        (SimpleNamespace(reason_codes=[1, None]), (1, -1), "", None),
        (RuntimeError("gone."), (), "gone", NoAnswer.FAILED),
        (TypeError("no text"), (), "no text", NoAnswer.IMPOSSIBLE),
    ],
)
def test_a_subscription_is_answered_once(
    bench: Bench, answer: object, codes: tuple[int, ...], error: str, kind: NoAnswer | None
) -> None:
    bench.client.answer = answer
    bench.session.subscribe([("a", 1), ("b", 0)])
    assert [each.topic_filter for each in bench.client.calls[0][1].subscriptions] == ["a", "b"]
    assert bench.heard() == Subscribed(
        session=bench.session, filters=("a", "b"), reason_codes=codes, error=error, no_answer=kind
    )
    assert bench.heard() is None


def test_filters_are_given_up_without_a_word(bench: Bench) -> None:
    for answer in (None, RuntimeError(), TypeError()):
        bench.client.answer = answer
        bench.session.unsubscribe(["a", "b"])
    name, packet = bench.client.calls[-1]
    assert (name, packet.topic_filters) == ("unsubscribe", ["a", "b"])
    assert bench.heard() is None


def test_it_starts_stops_and_starts_again(bench: Bench) -> None:
    bench.session.reconnect()
    assert bench.names == []  # there is nothing to end
    bench.session.start()
    bench.session.reconnect()
    bench.session.reconnect()
    assert bench.names == ["start", "stop"]
    bench.options.on_lifecycle_event_stopped_fn(None)
    assert bench.names == ["start", "stop", "start"]
    bench.session.reconnect()
    assert isinstance(bench.client.calls[-1][1], mqtt5.DisconnectPacket)
    bench.session.close()
    bench.session.close()
    assert bench.names == ["start", "stop", "start", "stop", "stop"]
    assert isinstance(bench.client.calls[-1][1], mqtt5.DisconnectPacket)
    bench.options.on_lifecycle_event_stopped_fn(None)
    assert bench.names[-1] == "stop"
    assert bench.heard() is None


class Waits:
    """A connection that has ended when somebody waits for it."""

    def __init__(self) -> None:
        self.waited: list[float] = []

    def wait(self, seconds: float) -> None:
        self.waited.append(seconds)


def test_a_hasty_start_switches_nagle_off_where_the_connection_appears(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As many descriptors as the tests before this may have left open.
    monkeypatch.setattr(nodelay, "MOST", 10_000)
    made: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener, contextlib.ExitStack() as stack:

        class Connects(Waits):
            """A connection that appears while somebody waits for it."""

            def wait(self, seconds: float) -> None:
                super().wait(seconds)
                connection = socket.create_connection(listener.getsockname())
                made.append(stack.enter_context(connection))

        bench.session._stopped = Connects()  # type: ignore[assignment]
        with socket.create_connection(listener.getsockname()) as older:
            bench.session.start(sets_nodelay=True)
            assert bench.names == ["start"]
            nagle = [
                each.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for each in (older, *made)
            ]
    assert nagle == [0, 1]


def test_one_that_never_started_has_nothing_to_end(bench: Bench) -> None:
    bench.session.close()
    assert bench.names == []


def test_its_end_is_waited_for_while_it_stands(bench: Bench) -> None:
    bench.session._stopped = waits = Waits()  # type: ignore[assignment]
    bench.session.start()
    bench.session.close()
    assert waits.waited == []
    bench.session.client = bench.client
    bench.session.start()
    connect(bench)
    bench.session.close()
    assert waits.waited == [mqtt.CLOSE_LIMIT]
    bench.session.client = bench.client
    bench.session.start()
    connect(bench)
    bench.options.on_lifecycle_event_disconnection_fn(
        SimpleNamespace(disconnect_packet=None, exception=None)
    )
    bench.session.close()
    assert waits.waited == [mqtt.CLOSE_LIMIT]


def connect(bench: Bench, *, present: bool = False, settings: object = None) -> None:
    packet = SimpleNamespace(session_present=present)
    bench.options.on_lifecycle_event_connection_success_fn(
        SimpleNamespace(connack_packet=packet, negotiated_settings=settings)
    )


@pytest.mark.parametrize("present", [True, False])
def test_where_it_stands_its_filters_are_asked_for_eight_at_a_time(
    pair: KeyPair, present: bool
) -> None:
    filters = [(f"a/{number}", number % 2) for number in range(19)]
    bench = Bench(pair, filters=filters)
    bench.client.answer = SimpleNamespace(reason_codes=[])
    granted = SimpleNamespace(
        maximum_packet_size_to_server=None, receive_maximum_from_server=None, maximum_qos=None,
        retain_available=False, session_expiry_interval_sec=60, server_keep_alive_sec=None,
    )  # fmt: skip
    connect(bench, present=present, settings=granted)
    limits = Limits(can_retain=False, expiry=60)
    assert bench.heard() == Connected(session=bench.session, rejoined=present, limits=limits)
    asked = [
        [(each.topic_filter, int(each.qos)) for each in packet.subscriptions]
        for _, packet in bench.client.calls
    ]
    assert [len(each) for each in asked] == [8, 8, 3]
    assert [each for packet in asked for each in packet] == filters


def named(name: str) -> Exception:
    """As awscrt raises it."""
    error = RuntimeError()
    vars(error).update(name=name, message="no.")
    return error


def test_ends_and_failures_have_the_servers_words_and_awscrts(bench: Bench) -> None:
    packet = SimpleNamespace(reason_code=151, reason_string="too many")
    options = bench.options
    options.on_lifecycle_event_connection_failure_fn(
        SimpleNamespace(connack_packet=packet, exception=named("AWS_IO_SOCKET_CLOSED"))
    )
    given: dict[str, Any] = {
        "session": bench.session,
        "reason_code": 151,
        "reason_string": "too many",
    }
    words = "AWS_IO_SOCKET_CLOSED: no"
    assert bench.heard() == ConnectFailed(error=words, cause=Cause.CLOSED, **given)
    options.on_lifecycle_event_disconnection_fn(
        SimpleNamespace(disconnect_packet=packet, exception=named("AWS_ERROR_MQTT_TIMEOUT"))
    )
    words = "AWS_ERROR_MQTT_TIMEOUT: no"
    assert bench.heard() == Disconnected(error=words, cause=Cause.LATE, **given)


CALLBACKS: list[tuple[str, str]] = [
    ("on_publish_callback_fn", "on_publish"),
    ("on_lifecycle_event_connection_success_fn", "on_connected"),
    ("on_lifecycle_event_connection_failure_fn", "on_connect_failed"),
    ("on_lifecycle_event_disconnection_fn", "on_disconnected"),
]


@pytest.mark.parametrize(("option", "name"), CALLBACKS)
def test_a_callback_that_fails_is_heard_of(bench: Bench, option: str, name: str) -> None:
    getattr(bench.options, option)(None)
    found = bench.heard()
    assert isinstance(found, CallbackFailed)
    assert (found.session, found.name) == (bench.session, name)
    assert isinstance(found.error, AttributeError)


def packet(**given: Any) -> SimpleNamespace:
    names = (
        "payload", "response_topic", "correlation_data", "content_type", "user_properties",
        "retain", "qos", "message_expiry_interval_sec",
    )  # fmt: skip
    return SimpleNamespace(**{"topic": "cmd", **dict.fromkeys(names), **given})


def publish(bench: Bench, found: SimpleNamespace, handle: object = None) -> Message:
    data = SimpleNamespace(publish_packet=found)
    if handle is not None:
        data.acquire_publish_acknowledgement_control = lambda: handle
    bench.options.on_publish_callback_fn(data)
    heard = bench.heard()
    assert isinstance(heard, Message)
    return heard


def test_a_message_has_all_that_came_with_it(bench: Bench) -> None:
    full = packet(
        payload=b"1", response_topic="answers", correlation_data=b"old", content_type="text/plain",
        user_properties=[SimpleNamespace(name="k", value="v")], retain=True, qos=mqtt5.QoS.AT_LEAST_ONCE,
        message_expiry_interval_sec=7,
    )  # fmt: skip
    found = publish(bench, full)
    assert (found.session, found.topic, found.payload) == (bench.session, "cmd", b"1")
    assert (found.response_topic, found.correlation_data) == ("answers", b"old")
    assert (found.content_type, found.user_properties) == ("text/plain", (("k", "v"),))
    assert (found.retain, found.qos, found.expiry) == (True, 1, 7)
    full.correlation_data_bytes = b"new"
    assert publish(bench, full).correlation_data == b"new"
    bare = publish(bench, packet(qos=mqtt5.QoS.AT_MOST_ONCE))
    assert (bare.payload, bare.user_properties, bare.retain, bare.qos) == (b"", (), False, 0)


@pytest.mark.parametrize("handle", ["in time", "too late"])
def test_a_message_is_acknowledged_when_it_is_safe(
    pair: KeyPair, bench: Bench, handle: str
) -> None:
    message = publish(bench, packet(), handle)
    assert bench.client.calls == []
    message.acknowledge()
    assert bench.client.calls == [("acknowledge", handle)]
    claim = Bench(pair, is_thing=False)
    # An older SDK, and a claim's: acknowledged by the SDK itself.
    for each, given in ((bench, None), (claim, handle)):
        each.client.calls.clear()
        publish(each, packet(), given).acknowledge()
        assert each.client.calls == []


def test_what_the_sdk_does_not_know_is_left_out(
    pair: KeyPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    @dataclasses.dataclass
    class Older:
        host_name: str
        port: int

    monkeypatch.setattr(mqtt5, "ClientOptions", Older)
    monkeypatch.setattr(mqtt5, "Client", lambda options: options)
    assert Bench(pair).options == Older("broker.example", 8883)
    session = Session(ROUTE, pair, "pump", Timely(FakeClock()), is_thing=True)
    client: Any = session.client
    assert client == Older("broker.example", 8883)


def test_a_closed_session_leaves_nothing_behind(pair: KeyPair) -> None:
    """A rotation has three, a device that is refused for a year thousands.

    Not one that was started: awscrt's thread would be beside the forks of other tests.
    """
    session = Session(ROUTE, pair, "pump", Timely(FakeClock()), is_thing=True)
    gone = weakref.ref(session)
    session.close()
    session.close()
    del session
    until = time.monotonic() + 10.0
    while gone() is not None and time.monotonic() < until:
        gc.collect()
        time.sleep(0.01)
    assert gone() is None
