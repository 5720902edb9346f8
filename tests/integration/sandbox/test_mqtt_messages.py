"""MQTT 5 as AWS answers it: who gets a message, how often, and with what."""

import pytest

from support.peer import Open, Peer
from support.properties import Properties, Property

NO_LOCAL, AS_PUBLISHED = 0b100, 0b1000
RETAINED_IF_NEW, RETAINED_NEVER = 1 << 4, 2 << 4


@pytest.fixture
def client(peer: Open) -> Peer:
    found = peer()
    assert found.connect().code == 0
    return found


@pytest.fixture
def other(peer: Open) -> Peer:
    found = peer()
    assert found.connect().code == 0
    return found


def test_a_message_reaches_every_subscriber_at_the_lower_qos(
    client: Peer, other: Peer, place: str
) -> None:
    assert client.subscribe(f"{place}/+", options=0) == [0]
    assert other.subscribe(f"{place}/#", options=2) == [1]  # QoS 2 is granted as 1
    assert client.publish(f"{place}/a", b"x") == 0
    assert client.publish(f"{place}/a", b"y", qos=0) == 0
    assert [(m.payload, m.qos) for m in (client.message(), client.message())] == [
        (b"x", 0),
        (b"y", 0),
    ]
    assert [(m.payload, m.qos) for m in (other.message(), other.message())] == [
        (b"x", 1),
        (b"y", 0),
    ]


def test_overlapping_subscriptions_get_it_once_each(client: Peer, place: str) -> None:
    # MQTT leaves it to the server [3.3.4]; so did the ground.
    assert client.subscribe(f"{place}/#", f"{place}/a") == [1, 1]
    client.publish(f"{place}/a", b"x")
    assert client.arrived() == [b"x", b"x"]


def test_what_is_not_below_a_filter_does_not_come(client: Peer, place: str) -> None:
    client.subscribe(f"{place}/a/#", f"{place}/+/b")
    for topic in ("a", "b", "c/b/d"):  # AWS: "a/#" does not match "a"
        client.publish(f"{place}/{topic}", b"no")
    client.publish(f"{place}/a/x/y", b"yes")
    assert client.arrived() == [b"yes"]


def test_after_unsubscribing_nothing_comes(client: Peer, place: str) -> None:
    client.subscribe(f"{place}/a", f"{place}/b")
    assert client.unsubscribe(f"{place}/a", f"{place}/a", f"{place}/never") == [0, 0, 0]
    client.publish(f"{place}/a", b"no")
    client.publish(f"{place}/b", b"yes")
    assert client.arrived() == [b"yes"]


def test_properties_arrive_as_they_were_sent(client: Peer, other: Peer, place: str) -> None:
    other.subscribe(place)
    sent: Properties = {
        Property.PAYLOAD_FORMAT: 1,
        Property.CONTENT_TYPE: "text/plain",
        Property.RESPONSE_TOPIC: f"{place}/answer",
        Property.CORRELATION_DATA: b"\x00\xff",
        Property.USER: [("a", "1"), ("a", "2"), ("b", "ü")],
    }
    client.publish(place, "grüß".encode(), sent)
    came = other.message()
    assert came.properties == sent
    client.subscribe(came.properties[Property.RESPONSE_TOPIC])
    correlation: Properties = {
        Property.CORRELATION_DATA: came.properties[Property.CORRELATION_DATA]
    }
    other.publish(came.properties[Property.RESPONSE_TOPIC], b"pong", correlation)
    assert client.message().properties == correlation


def test_a_retained_message_waits_for_who_names_its_topic(
    client: Peer, other: Peer, place: str
) -> None:
    client.publish(f"{place}/a", b"old", retain=True)
    client.publish(f"{place}/a", b"new", {Property.USER: [("k", "v")]}, retain=True)
    other.subscribe(f"{place}/a")
    came = other.message()
    assert (came.payload, came.retain) == (b"new", True)
    assert came.properties == {Property.USER: [("k", "v")]}
    # AWS sends none for a filter with wildcards.
    client.subscribe(f"{place}/+")
    assert client.arrived() == []
    client.publish(f"{place}/a", b"", retain=True)
    assert other.arrived() == [b""]
    other.subscribe(f"{place}/a")
    assert other.arrived() == []


def test_a_retained_message_comes_at_the_lower_qos(client: Peer, place: str) -> None:
    client.publish(place, b"x", retain=True)
    for options in (0, 1):
        client.subscribe(place, options=options)
        assert client.message().qos == options


def test_retain_as_published_and_without(client: Peer, other: Peer, place: str) -> None:
    client.subscribe(place, options=1 | AS_PUBLISHED)
    other.subscribe(place, options=1)
    client.publish(place, b"x", retain=True)
    assert client.message().retain is True
    assert other.message().retain is False
    client.publish(place, b"y")
    assert client.message().retain is False


def test_retained_messages_come_as_the_subscription_asks(client: Peer, place: str) -> None:
    client.publish(place, b"x", retain=True)
    client.subscribe(place, options=1 | RETAINED_NEVER)
    assert client.arrived() == []
    client.subscribe(place, options=1 | RETAINED_IF_NEW)
    assert client.arrived() == []
    client.unsubscribe(place)
    client.subscribe(place, options=1 | RETAINED_IF_NEW)
    assert client.arrived() == [b"x"]
    client.subscribe(place)
    assert client.arrived() == [b"x"]


def test_no_local_is_ignored_as_aws_does(client: Peer, place: str) -> None:
    client.subscribe(place, options=1 | NO_LOCAL)
    client.publish(place, b"own")
    assert client.arrived() == [b"own"]


def test_a_message_past_its_time_is_not_delivered(peer: Open, client: Peer, place: str) -> None:
    sleeper = peer()
    sleeper.connect({Property.SESSION_EXPIRY: 60, Property.RECEIVE_MAXIMUM: 1})
    sleeper.subscribe(place)
    client.publish(place, b"first")
    client.publish(place, b"short", {Property.MESSAGE_EXPIRY: 1})
    client.publish(place, b"long", {Property.MESSAGE_EXPIRY: 60})
    first = sleeper.message(acknowledge=False)
    # Sent again twice, a second apart: by then the short one, which waits behind it, is past its time.
    assert sleeper.message(acknowledge=False) == first
    assert sleeper.message() == first
    came = sleeper.message()
    assert came.payload == b"long"
    assert 50 < came.properties[Property.MESSAGE_EXPIRY] < 60


def test_a_shared_subscription_gives_each_message_to_one(
    peer: Open, client: Peer, place: str
) -> None:
    workers = [peer() for _ in range(3)]
    for worker in workers:
        worker.connect()
        assert worker.subscribe(f"$share/workers/{place}/+") == [1]
    client.subscribe(f"$share/alone/{place}/+", f"{place}/+")
    sent = [str(number).encode() for number in range(30)]
    for payload in sent:
        client.publish(f"{place}/a", payload)
    shares = [worker.arrived() for worker in workers]
    assert sorted(len(share) for share in shares) == [10, 10, 10]
    assert sorted(payload for share in shares for payload in share) == sorted(sent)
    assert sorted(client.arrived()) == sorted(sent * 2)
    # Who leaves gets nothing any more, whether it says so or not.
    assert workers[0].unsubscribe(f"$share/workers/{place}/+") == [0]
    workers[1].disconnect()
    for payload in sent:
        client.publish(f"{place}/a", payload)
    assert workers[0].arrived() == []
    assert workers[2].arrived() == sent


def test_a_shared_subscription_gets_no_retained_message(client: Peer, place: str) -> None:
    client.publish(place, b"x", retain=True)
    assert client.subscribe(f"$share/group/{place}") == [1]
    assert client.arrived() == []


@pytest.mark.parametrize("topic_filter", ["$share//a", "$share/a+/b", "$share/a", "$share/a/"])
def test_a_shared_subscription_without_group_or_filter_is_refused(
    client: Peer, topic_filter: str
) -> None:
    assert client.subscribe(topic_filter) == [143]
