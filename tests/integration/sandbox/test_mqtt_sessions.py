"""MQTT 5 as AWS answers it: what a session keeps, who takes it over, and what is left of a client that went."""

from collections.abc import Iterable, Iterator
from itertools import islice, product

import pytest

from support.peer import DISCONNECT, PINGREQ, PINGRESP, Open, Peer, Will
from support.properties import Properties, Property, pack

KEPT: Properties = {Property.SESSION_EXPIRY: 60}
TAKEN_OVER, TIMED_OUT = 142, 141
WITH_WILL = 4
AS_PUBLISHED = 0b1000


def batched(values: Iterable[tuple[str, ...]], size: int) -> Iterator[list[tuple[str, ...]]]:
    """Gives them so many at a time."""
    rest = iter(values)
    while batch := [*islice(rest, size)]:
        yield batch


@pytest.fixture
def sender(peer: Open) -> Peer:
    found = peer()
    assert found.connect().code == 0
    return found


def test_the_connack_says_what_aws_says(peer: Open) -> None:
    assert peer().connect(keep_alive=1000).properties == {
        Property.RECEIVE_MAXIMUM: 100,
        Property.MAXIMUM_QOS: 1,
        Property.MAXIMUM_PACKET_SIZE: 149_504,
        Property.TOPIC_ALIAS_MAXIMUM: 8,
        Property.RETAIN_AVAILABLE: 1,
        Property.WILDCARDS: 1,
        Property.SUBSCRIPTION_IDENTIFIERS: 0,
        Property.SHARED_SUBSCRIPTIONS: 1,
        Property.SERVER_KEEP_ALIVE: 1000,
    }


@pytest.mark.parametrize(("asked", "granted"), [(0, 1200), (65535, 1200), (77, 77)])
def test_the_keep_alive_is_bounded(peer: Open, asked: int, granted: int) -> None:
    connack = peer().connect(keep_alive=asked)
    assert connack.properties[Property.SERVER_KEEP_ALIVE] == granted


@pytest.mark.parametrize(("asked", "granted"), [(600, 600), (2**32 - 1, 3600)])
def test_the_session_expiry_is_bounded(peer: Open, asked: int, granted: int) -> None:
    connack = peer().connect({Property.SESSION_EXPIRY: asked})
    assert connack.properties[Property.SESSION_EXPIRY] == granted


def test_a_client_without_a_name_is_given_one(peer: Open) -> None:
    first, second = (peer("").connect().properties[Property.ASSIGNED_CLIENT_ID] for _ in range(2))
    assert first != second
    assert first


@pytest.mark.parametrize("name", ["$own", "x" * 129])
def test_a_client_id_that_aws_does_not_take(peer: Open, name: str) -> None:
    assert peer(name).connect().code == 133


def test_a_session_is_there_as_long_as_it_was_asked_for(
    peer: Open, sender: Peer, place: str
) -> None:
    peer(place).connect(KEPT)  # cut by the next, which takes it over
    first = peer(place)
    assert first.connect(KEPT, clean=False).is_session_present is True
    first.subscribe(place)
    first.disconnect()
    sender.publish(place, b"kept")
    sender.publish(place, b"at QoS 0 nothing is kept", qos=0)
    second = peer(place)
    assert second.connect(KEPT, clean=False).is_session_present is True
    assert second.arrived() == [b"kept"]
    second.disconnect()
    third = peer(place)
    assert third.connect(clean=True).is_session_present is False
    sender.publish(place, b"no")
    assert third.arrived() == []
    third.disconnect()
    assert peer(place).connect(clean=False).is_session_present is False


def test_a_retained_message_does_not_come_once_more_with_the_session(
    peer: Open, sender: Peer, place: str
) -> None:
    sender.publish(f"{place}/a", b"kept", retain=True)
    first = peer(place)
    first.connect(KEPT)
    first.subscribe(f"{place}/a")
    assert first.arrived() == [b"kept"]
    first.disconnect()
    second = peer(place)
    # Its first packet is the CONNACK.
    assert second.connect(KEPT, clean=False).is_session_present is True
    assert second.arrived() == []


def test_a_session_keeps_what_its_subscriptions_asked_for(
    peer: Open, sender: Peer, place: str
) -> None:
    first = peer(place)
    first.connect(KEPT)
    first.subscribe(f"{place}/a", options=0 | AS_PUBLISHED)
    first.subscribe(f"{place}/b", options=1)
    first.disconnect()
    second = peer(place)
    assert second.connect(KEPT, clean=False).is_session_present is True
    for topic in ("a", "b"):
        sender.publish(f"{place}/{topic}", b"x", retain=True)
    came = [second.message(), second.message()]
    assert [(message.qos, message.retain) for message in came] == [(0, True), (1, False)]


def test_a_disconnect_may_change_how_long_the_session_lives(peer: Open, place: str) -> None:
    for expiry, is_kept in ((60, True), (10, True), (0, False)):
        first = peer(place)
        first.connect(KEPT)
        first.disconnect(properties={Property.SESSION_EXPIRY: expiry})
        second = peer(place)
        assert second.connect(clean=False).is_session_present is is_kept
        second.disconnect()
    without = peer(place)
    without.connect()
    without.send(DISCONNECT << 4, b"\x00" + pack({Property.SESSION_EXPIRY: 1}))
    assert without.end() == 130


def test_a_session_ends_with_its_time(peer: Open, place: str) -> None:
    first = peer(place)
    first.connect({Property.SESSION_EXPIRY: 1})
    first.subscribe(place)
    first.cut()
    # A will that is as late as the session is long says when it has ended.
    watcher = peer()
    watcher.connect()
    watcher.subscribe(f"{place}/will")
    marker = peer()
    late = Will(f"{place}/will", properties={Property.WILL_DELAY: 2})
    marker.connect({Property.SESSION_EXPIRY: 2}, will=late)
    marker.cut()
    watcher.message()
    assert peer(place).connect(clean=False).is_session_present is False


def test_what_had_no_puback_comes_again(peer: Open, sender: Peer, place: str) -> None:
    first = peer(place)
    first.connect(KEPT)
    first.subscribe(place)
    for payload in (b"1", b"2", b"3"):
        sender.publish(place, payload)
    first.message()
    second_message = first.message(acknowledge=False)
    third_message = first.message(acknowledge=False)
    first.cut()
    second = peer(place)
    assert second.connect(KEPT, clean=False).is_session_present is True
    assert [second.message(), second.message()] == [second_message, third_message]
    assert second.arrived() == []


def test_the_second_of_a_name_takes_the_session_over(peer: Open, sender: Peer, place: str) -> None:
    first = peer(place)
    first.connect(KEPT)
    first.subscribe(place)
    second = peer(place)
    assert second.connect(KEPT, clean=False).is_session_present is True
    assert first.end() == TAKEN_OVER
    sender.publish(place, b"x")
    assert second.arrived() == [b"x"]


def test_a_will_comes_when_the_connection_breaks(peer: Open, place: str) -> None:
    watcher = peer()
    watcher.connect()
    watcher.subscribe(f"{place}/#")
    for end in ("cut", "said", "clean"):
        will = Will(f"{place}/{end}", properties={Property.USER: [("end", end)]})
        gone = peer()
        gone.connect(will=will)
        if end == "cut":
            gone.cut()
        else:
            gone.disconnect(WITH_WILL if end == "said" else 0)
    came = [watcher.message(), watcher.message()]
    assert {m.topic for m in came} == {f"{place}/cut", f"{place}/said"}
    assert {str(m.properties) for m in came} == {
        str({Property.USER: [("end", end)]}).replace("<Property.USER: 38>", "38")
        for end in ("cut", "said")
    }
    assert watcher.arrived() == []


def test_a_delayed_will_is_for_who_does_not_come_back(peer: Open, place: str) -> None:
    watcher = peer()
    watcher.connect()
    watcher.subscribe(f"{place}/#")
    names = ("comes-back", "begins-again", "no-session", "stays-away")
    for name in names:
        will = Will(f"{place}/{name}", properties={Property.WILL_DELAY: 2})
        kept = None if name == "no-session" else KEPT
        gone = peer(f"{place}-{name}")
        gone.connect(kept, will=will)
        gone.cut()
    # Without a session to come back to there is nothing to wait for.
    assert watcher.message().topic == f"{place}/no-session"
    peer(f"{place}-comes-back").connect(KEPT, clean=False)
    peer(f"{place}-begins-again").connect(KEPT, clean=True)
    assert watcher.message().topic == f"{place}/begins-again"
    assert watcher.message().topic == f"{place}/stays-away"
    assert watcher.arrived() == []


def test_who_is_silent_for_too_long_is_disconnected(peer: Open, place: str) -> None:
    watcher = peer()
    watcher.connect()
    watcher.subscribe(place)
    silent, alive = peer(), peer()
    silent.connect(keep_alive=1, will=Will(place))
    alive.connect(keep_alive=1)
    # The one that pings outlives the one that does not.
    silent.tls.settimeout(0.3)
    for _ in range(30):
        alive.send(PINGREQ << 4, b"")
        alive.answer(PINGRESP)
        try:
            assert silent.end() == TIMED_OUT
            break
        except TimeoutError:
            continue
    else:
        pytest.fail("it was not disconnected")
    assert watcher.message().payload == b"gone"
    assert alive.arrived() == []


def test_a_session_keeps_a_burst_that_it_could_not_send(
    peer: Open, sender: Peer, place: str
) -> None:
    first = peer(place)
    first.connect(KEPT | {Property.RECEIVE_MAXIMUM: 20})
    first.subscribe(place)
    sent = [b"%d" % number for number in range(1500)]
    for payload in sent[:700]:
        sender.publish(place, payload)
    acknowledged: set[bytes] = set()
    while len(acknowledged) < 90:  # on a slow machine some come twice
        acknowledged.add(first.message().payload)
    first.arrived(acknowledge=False)
    first.cut()
    for payload in sent[700:]:
        sender.publish(place, payload)
    second = peer(place)
    assert second.connect(KEPT, clean=False).is_session_present is True
    came: set[bytes] = set()
    while len(came) < len(sent) - 90:
        came.add(second.message().payload)
    assert came == {*sent} - acknowledged


def test_a_session_is_there_for_who_comes_back_at_once(
    peer: Open, sender: Peer, place: str
) -> None:
    # A will for many takes its time: the former connection is still being ended when the next asks for the session.
    watcher = peer()
    watcher.connect()
    levels = [(letter, "+") for letter in "abcde"]
    for filters in batched(product(*levels), 8):
        watcher.subscribe(*(f"{place}/{'/'.join(each)}" for each in filters))
    will = Will(f"{place}/a/b/c/d/e", bytes(50_000))
    device = peer(place)
    device.connect(KEPT, will=will)
    device.subscribe(place)
    for number in range(5):
        following = peer(place)
        device.cut()
        device = following
        assert device.connect(KEPT, clean=False, will=will).is_session_present is True
        sender.publish(place, b"%d" % number)
        assert device.message().payload == b"%d" % number
        assert len(watcher.arrived()) == 32


def test_a_client_that_does_not_read_stops_nobody(peer: Open, sender: Peer, place: str) -> None:
    deaf, hearing = peer(place), peer()
    for each in (deaf, hearing):
        each.connect(KEPT)
        each.subscribe(place)
    sent = [bytes(100_000) + b"%d" % number for number in range(150)]
    for payload in sent:
        assert sender.publish(place, payload) == 0
    assert hearing.arrived() != []
    # Nor does it stop who takes its place.
    second = peer(place)
    assert second.connect(KEPT, clean=False).is_session_present is True
    came = {second.message().payload[-3:] for _ in sent}
    assert len(came) == len(sent)
