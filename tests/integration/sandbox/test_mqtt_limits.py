"""AWS's limits on a connection: each is kept, and each can be left out."""

import ssl

import pytest

from iot_sandbox.client import FaultClient
from iot_sandbox.launch import Sandbox
from support.fleets import Claim
from support.peer import AUTH, CONNECT, PUBLISH, Open, Peer, Will
from support.properties import Properties, Property, pack, text

KIB_128 = 128 * 1024


@pytest.fixture
def client(peer: Open) -> Peer:
    found = peer()
    assert found.connect().code == 0
    return found


def test_the_largest_payload_is_taken(client: Peer, place: str) -> None:
    client.subscribe(place)
    assert client.publish(place, bytes(KIB_128)) == 0
    assert client.message().payload == bytes(KIB_128)


@pytest.mark.parametrize("qos", [0, 1])
def test_a_larger_payload_ends_the_connection(
    broker: Sandbox, client: Peer, place: str, qos: int
) -> None:
    client.publish_only(place, bytes(KIB_128 + 1), qos=qos)
    assert client.end() == 151
    refused = broker.faults.calls()["calls"][-1]
    assert (refused["topics"], refused["outcome"], refused["code"]) == ([place], "rejected", 151)


def test_a_packet_longer_than_any_is_not_waited_for(client: Peer) -> None:
    client.tls.sendall(bytes([PUBLISH << 4]) + b"\xff\xff\xff\x7f")
    assert client.end() == 149


def test_a_length_without_an_end_is_malformed(client: Peer) -> None:
    client.tls.sendall(bytes([PUBLISH << 4]) + b"\xff\xff\xff\xff\xff")
    assert client.end() == 129


def test_a_topic_alias_stands_for_the_topic(client: Peer, place: str) -> None:
    client.subscribe(f"{place}/#")
    for alias in range(1, 9):
        assert client.publish(f"{place}/{alias}", b"set", {Property.TOPIC_ALIAS: alias}) == 0
    for alias in range(1, 9):
        assert client.publish("", b"used", {Property.TOPIC_ALIAS: alias}) == 0
    client.publish(f"{place}/other", b"set", {Property.TOPIC_ALIAS: 3})
    client.publish("", b"used", {Property.TOPIC_ALIAS: 3}, qos=0)
    came = [client.message() for _ in range(18)]
    named = [f"{place}/{alias}" for alias in range(1, 9)]
    assert [m.topic for m in came] == [*named, *named, f"{place}/other", f"{place}/other"]
    # AWS sends none itself, and hands none on.
    assert all(Property.TOPIC_ALIAS not in m.properties for m in came)


def test_a_fault_for_a_topic_sees_it_behind_an_alias(
    broker: Sandbox, client: Peer, place: str
) -> None:
    faults: FaultClient = broker.faults
    client.publish(place, b"", {Property.TOPIC_ALIAS: 1})
    faults.add("publish", "reject", topic=place)
    try:
        assert client.publish("", b"", {Property.TOPIC_ALIAS: 1}) == 135
    finally:
        faults.clear()


@pytest.mark.parametrize(("alias", "topic", "code"), [(0, "a", 148), (9, "a", 148), (1, "", 130)])
def test_an_alias_that_is_none_ends_the_connection(
    client: Peer, alias: int, topic: str, code: int
) -> None:
    client.publish_only(topic, b"", {Property.TOPIC_ALIAS: alias})
    assert client.end() == code


def test_an_alias_is_forgotten_with_its_connection(peer: Open, client: Peer, place: str) -> None:
    client.publish(place, b"", {Property.TOPIC_ALIAS: 1})
    again = peer(client.client_id)
    again.connect(clean=False)
    again.publish_only("", b"", {Property.TOPIC_ALIAS: 1})
    assert again.end() == 130


def test_a_topic_that_is_empty_ends_the_connection(client: Peer) -> None:
    client.publish_only("")
    assert client.end() == 130


def test_the_client_s_receive_maximum_is_kept(peer: Open, client: Peer, place: str) -> None:
    slow = peer()
    slow.connect({Property.RECEIVE_MAXIMUM: 2})
    slow.subscribe(place)
    sent = [b"%d" % number for number in range(9)]
    for payload in sent:
        client.publish(place, payload)
    client.publish(place, b"QoS 0", qos=0)
    first, second = slow.message(acknowledge=False), slow.message(acknowledge=False)
    assert {*slow.arrived(acknowledge=False)} <= {b"0", b"1"}  # on a slow machine they come twice
    slow.acknowledge(second)
    assert {*slow.arrived(acknowledge=False)} - {b"0", b"1"} == {b"2"}
    slow.acknowledge(first)
    came: list[bytes] = []
    while b"QoS 0" not in came:
        came.append(slow.message().payload)
    later = [payload for payload in dict.fromkeys(came) if payload not in {b"0", b"1", b"2"}]
    assert later == [*sent[3:], b"QoS 0"]


def test_no_client_gets_more_than_a_hundred_at_once(peer: Open, client: Peer, place: str) -> None:
    slow = peer()
    slow.connect()
    slow.subscribe(place)
    for number in range(120):
        client.publish(place, b"%d" % number)
    assert len({*slow.arrived(acknowledge=False)}) == 100


def test_more_than_a_hundred_without_puback_end_the_connection(
    broker: Sandbox, peer: Open, place: str
) -> None:
    hasty = peer()
    hasty.connect()
    broker.faults.add("publish", "lose-answer", calls="every", topic=place)
    try:
        for _ in range(100):
            hasty.publish_only(place)
        assert hasty.arrived() == []
        hasty.publish_only(place)
        assert hasty.end() == 147
    finally:
        broker.faults.clear()


def test_the_client_s_maximum_packet_size_is_kept(peer: Open, client: Peer, place: str) -> None:
    small = peer()
    small.connect({Property.MAXIMUM_PACKET_SIZE: 60, Property.RECEIVE_MAXIMUM: 1})
    small.subscribe(place)
    for payload in (b"x" * 60, b"short", b"y" * 60, b"last"):
        client.publish(place, payload)
    assert [small.message().payload, small.message().payload] == [b"short", b"last"]
    assert small.arrived() == []


def test_qos_2_is_not_there(peer: Open, client: Peer, place: str) -> None:
    client.publish_only(place, qos=2)
    assert client.end() == 155
    assert peer().connect(will=Will(place, qos=2)).code == 155


def test_subscription_identifiers_are_not_there(client: Peer, place: str) -> None:
    body = b"\x00\x01" + pack({Property.SUBSCRIPTION_IDENTIFIER: 1}) + text(place) + b"\x01"
    client.send(0x82, body)
    assert client.end() == 161


def test_authentication_exchanges_are_not_there(client: Peer) -> None:
    client.send(AUTH << 4, b"\x18\x00")
    assert client.end() == 130


def test_connect_is_the_first_packet_and_the_only_one(
    peer: Open, client: Peer, place: str
) -> None:
    hasty = peer()
    hasty.publish_only(place)
    assert hasty.end() is None
    client.send(CONNECT << 4, text("MQTT") + bytes([5, 2, 0, 60, 0]) + text("again"))
    assert client.end() == 130


def test_filters_beyond_the_quota_are_refused(client: Peer, place: str) -> None:
    assert client.subscribe(*(f"{place}/{n}" for n in range(9))) == [151] * 9
    for group in range(6):
        assert client.subscribe(*(f"{place}/{group}/{n}" for n in range(8))) == [1] * 8
    assert client.subscribe(f"{place}/a", f"{place}/b", f"{place}/0/0") == [1] * 3
    assert client.subscribe(f"{place}/c") == [151]
    client.unsubscribe(f"{place}/a")
    assert client.subscribe(f"{place}/c") == [1]


@pytest.mark.parametrize(
    "topic_filter",
    ["", "a/b/c/d/e/f/g/h/i", "+/+/+/+/+/+/+/+/#", "x" * 257, "a+", "a/#/b", "#a", "a/b#"],
)
def test_a_filter_that_aws_does_not_take_is_refused_alone(
    client: Peer, place: str, topic_filter: str
) -> None:
    assert client.subscribe(topic_filter, place) == [143, 1]


def test_topics_are_bounded(peer: Open, client: Peer, place: str) -> None:
    client.subscribe("a/b/c/d/e/f/g/h")
    assert client.publish("a/b/c/d/e/f/g/h", b"eight levels") == 0
    assert client.arrived() == [b"eight levels"]
    assert client.publish("a/b/c/d/e/f/g/h/i") == 144
    client.publish_only("a/b/c/d/e/f/g/h/i", qos=0)
    assert client.end() == 144
    long, wild = peer(), peer()
    for found, topic in ((long, "x" * 257), (wild, f"{place}/+")):
        found.connect()
        found.publish_only(topic)
        assert found.end() == 144


def test_every_limit_can_be_left_out(free_broker: Sandbox, free: Claim, place: str) -> None:
    with Peer(free_broker, free, "free") as client:
        asked: Properties = {Property.SESSION_EXPIRY: 4000, Property.MAXIMUM_PACKET_SIZE: 60}
        assert client.connect(asked, keep_alive=65535).properties == {
            Property.MAXIMUM_QOS: 1,
            Property.TOPIC_ALIAS_MAXIMUM: 0,
            Property.RETAIN_AVAILABLE: 1,
            Property.WILDCARDS: 1,
            Property.SUBSCRIPTION_IDENTIFIERS: 0,
            Property.SHARED_SUBSCRIPTIONS: 1,
            Property.SESSION_EXPIRY: 4000,
        }
        assert client.unsubscribe(f"{place}/never") == [17]
        assert client.subscribe(*(f"{place}/a/b/c/d/e/f/g/h/{n}" for n in range(60))) == [1] * 60
        for _ in range(120):
            assert client.publish(f"{place}/a/b/c/d/e/f/g/h/1", b"x" * 60) == 0
        assert len(client.arrived(acknowledge=False)) == 120
        assert client.publish(f"{place}/big", bytes(200_000)) == 0
        client.publish_only(place, b"", {Property.TOPIC_ALIAS: 1})
        assert client.end() == 148


def test_both_ports_lead_to_the_same_broker(broker: Sandbox, peer: Open, place: str) -> None:
    first, second = (peer(port=port) for port in broker.mqtt_ports)
    for each in (first, second):
        assert each.connect().code == 0
    first.subscribe(place)
    second.publish(place, b"x")
    assert first.arrived() == [b"x"]


@pytest.mark.parametrize(
    ("offered", "taken"),
    [((), None), (("x-amzn-mqtt-ca",), "x-amzn-mqtt-ca"), (("mqtt", "http/1.1"), None)],
)
def test_alpn_is_answered_as_on_port_443(
    peer: Open, offered: tuple[str, ...], taken: str | None
) -> None:
    client = peer(alpn=offered)
    tls: ssl.SSLSocket = client.tls
    assert tls.selected_alpn_protocol() == taken
    assert client.connect().code == 0
