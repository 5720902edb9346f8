"""The limits of a connection, without one."""

import pytest

from iot_sandbox.inbound import BreachError, Inbound
from iot_sandbox.limits import RULES, Limits, share_of
from iot_sandbox.packets import CONNECT, PUBLISH, SUBSCRIBE, Packet

ALL, NONE = Limits(), Limits(frozenset(RULES))


def publish(topic: str, identifier: int | None = 1, *, version: int = 5) -> Packet:
    qos = 0 if identifier is None else 1
    return Packet(PUBLISH, version, (topic,), identifier=identifier, qos=qos)


@pytest.mark.parametrize(
    ("asked", "given"), [(0, 1200), (1, 30), (30, 30), (31, 31), (1200, 1200), (1201, 1200)]
)
def test_a_keep_alive_is_bounded(asked: int, given: int) -> None:
    assert ALL.keep_alive(asked) == given
    assert NONE.keep_alive(asked) == asked


def test_a_window_is_the_smaller_one() -> None:
    assert [ALL.window(asked) for asked in (1, 100, 65535)] == [1, 100, 100]
    assert NONE.window(1) == 65535


def test_a_session_lives_an_hour_at_most() -> None:
    assert [ALL.session_expiry(asked) for asked in (0, 3600, 2**32 - 1)] == [0, 3600, 3600]
    assert NONE.session_expiry(2**32 - 1) == 2**32 - 1


@pytest.mark.parametrize(
    ("topic_filter", "found"),
    [
        ("a/b", (None, "a/b")),
        ("$share/g/a/+", ("g", "a/+")),
        ("$share/g", ("g", "")),
        ("$share//a", ("", "a")),
        ("$share/g+/a", ("", "a")),
    ],
)
def test_a_shared_filter_has_two_parts(topic_filter: str, found: tuple[str | None, str]) -> None:
    assert share_of(topic_filter) == found


def test_reserved_topics_may_be_deep() -> None:
    deep = "$aws/commands/things/t/executions/e/response/accepted/json"
    assert ALL.takes_filter(deep)
    assert ALL.takes_topic(deep)
    assert not ALL.takes_filter(deep.replace("$aws", "aws"))
    assert not ALL.takes_topic(deep.replace("$aws", "aws"))
    assert NONE.takes_filter(deep.replace("$aws", "aws"))


def test_an_alias_stands_for_the_last_topic_it_came_with() -> None:
    inbound = Inbound(ALL)
    assert inbound.publish(publish("a/ü"), 8, 7) == "a/ü"
    assert inbound.publish(publish("", 2), 8, 7) == "a/ü"
    assert inbound.publish(publish("b", 3), 8, 7) == "b"
    assert inbound.publish(publish("", 4), 8, 7) == "b"


@pytest.mark.parametrize("alias", [0, 9])
def test_an_alias_out_of_bounds_is_invalid(alias: int) -> None:
    with pytest.raises(BreachError) as refused:
        Inbound(ALL).publish(publish("a"), alias, 7)
    assert (refused.value.code, refused.value.ends) == (148, True)


def test_without_aliases_even_the_first_is_invalid() -> None:
    with pytest.raises(BreachError) as refused:
        Inbound(NONE).publish(publish("a"), 1, 7)
    assert refused.value.code == 148


def test_what_is_acknowledged_counts_no_more() -> None:
    inbound = Inbound(ALL)
    for identifier in range(1, 101):
        inbound.publish(publish("a", identifier), None, 7)
    inbound.publish(publish("a", 1), None, 7)  # the same one, sent again
    inbound.publish(publish("a", None), None, 7)
    inbound.acknowledged(50)
    inbound.publish(publish("a", 101), None, 7)
    with pytest.raises(BreachError) as refused:
        inbound.publish(publish("a", 102), None, 7)
    assert refused.value.code == 147


def test_a_topic_too_deep_is_refused_in_its_own_answer() -> None:
    with pytest.raises(BreachError) as refused:
        Inbound(ALL).publish(publish("a/" * 8), None, 7)
    assert (refused.value.code, refused.value.ends) == (144, False)


def test_filters_are_counted_once_each() -> None:
    inbound, held = Inbound(ALL), [str(number) for number in range(49)]
    inbound.subscribe(Packet(SUBSCRIBE, 5, ("48", "new")), held, has_identifier=False)
    with pytest.raises(BreachError) as refused:
        inbound.subscribe(Packet(SUBSCRIBE, 5, ("a", "b")), held, has_identifier=False)
    assert (refused.value.code, refused.value.ends) == (151, False)


def test_a_will_at_qos_2_is_refused_with_the_connect() -> None:
    with pytest.raises(BreachError) as refused:
        Inbound(ALL).connect(Packet(CONNECT, 5, client_id="a", qos=2))
    assert (refused.value.code, refused.value.ends) == (155, False)
