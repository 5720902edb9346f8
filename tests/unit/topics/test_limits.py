"""What passes here the SDK takes: held against the real one, which raises on what it does not."""

from collections.abc import Callable

import pytest
from awscrt import io, mqtt5
from hypothesis import example, given
from hypothesis import strategies as some

from fleet_agent.session import packets
from fleet_agent.session.message import Outgoing
from fleet_agent.topics.limits import (
    DATA_BYTES,
    STRING_BYTES,
    answer_fault,
    filter_fault,
    string_fault,
    topic_fault,
)

# What breaks lines, numbers and packets, beside ordinary text.
STRANGE = "\x00\x01\n\x1f\x7f\x9f\ud800\udfff\ufdd0\ufdef\ufffe\uffff\U0001fffe\U0010ffff"
character = some.one_of(some.characters(), some.sampled_from(STRANGE), some.sampled_from("/+#$a"))
text = some.text(character, max_size=20)
prefix = some.sampled_from(
    [
        "",
        "a/",
        "$aws/rules/",
        "$aws/rules/r/",
        "$share/g/",
        "$share/",
        "$aws/commands/things/",
        "$",
    ]
)
topic = some.builds(str.__add__, prefix, text)
size = some.sampled_from([0, 1, 255, 256, 257, DATA_BYTES, DATA_BYTES + 1, STRING_BYTES, 70_000])
long_text = some.builds(str.__mul__, some.sampled_from("aé\U0001f600"), size)


@pytest.fixture(scope="module")
def client() -> mqtt5.Client:
    """One that never connects: what it takes fails later, what it does not take raises."""
    group = io.EventLoopGroup(1)
    return mqtt5.Client(
        mqtt5.ClientOptions(
            host_name="localhost",
            port=1,
            bootstrap=io.ClientBootstrap(group, io.DefaultHostResolver(group)),
            offline_queue_behavior=mqtt5.ClientOperationQueueBehaviorType.FAIL_ALL_ON_DISCONNECT,
            connect_options=mqtt5.ConnectPacket(client_id="a"),
        )
    )


def takes(act: Callable[[], object]) -> bool:
    try:
        act()
    except (RuntimeError, UnicodeError, ValueError, OverflowError):
        return False
    return True


def publishes(client: mqtt5.Client, **message: object) -> bool:
    outgoing = Outgoing(**{"topic": "a", "payload": b"", **message})  # type: ignore[arg-type]
    return takes(lambda: client.publish(packets.packet(outgoing)))


def subscribes(client: mqtt5.Client, name: str) -> bool:
    return takes(lambda: client.subscribe(packets.subscription([(name, 1)])))


@given(found=some.one_of(topic, long_text))
@example(found="dt/\uffff")
@example(found="$aws/rules/" + "r" * 70_000)
@example(found="$aws/rules/r\0/a")
def test_the_sdk_takes_every_topic_that_passes(client: mqtt5.Client, found: str) -> None:
    if topic_fault(found) is None:
        assert publishes(client, topic=found)


@given(found=some.one_of(topic, long_text))
@example(found="$share/" + "g" * 70_000 + "/a")
@example(found="$share/\uffff/a")
def test_the_sdk_takes_every_filter_that_passes(client: mqtt5.Client, found: str) -> None:
    if filter_fault(found) is None:
        assert subscribes(client, found)


@given(data=some.one_of(some.none(), some.builds(bytes, size)))
def test_the_sdk_takes_every_answer_that_passes(client: mqtt5.Client, data: bytes | None) -> None:
    if answer_fault("a", data) is None:
        assert publishes(client, correlation_data=data)


@pytest.mark.thorough
@pytest.mark.slow
def test_the_sdk_takes_the_same_characters(client: mqtt5.Client) -> None:
    """So nothing is refused that could be sent, either."""
    edges = [
        plane + low for plane in range(0, 0x110000, 0x10000) for low in (0, 0xFFFD, 0xFFFE, 0xFFFF)
    ]
    for number in {*range(0x10000), *edges}:
        found = chr(number)
        if found not in "+#":
            assert publishes(client, topic=found) == (string_fault(found) is None), hex(number)


@pytest.mark.parametrize("found", [*STRANGE, "a/#/b", "a+", "", "/" * 9])
def test_what_the_sdk_or_aws_does_not_take_is_found(found: str) -> None:
    assert topic_fault(found)
    assert filter_fault(found)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ("$aws/rules/" + "r" * 129 + "/a", "does not name a rule"),
        ("$aws/rules/r\0/a", "does not name a rule"),
        ("$aws/rules/r/" + "a" * 257, "257 bytes"),
        ("dt/\uffff", "not a character (U+FFFF)"),
        ("dt/\x85", "contains a control character (U+0085)"),
    ],
)
def test_what_is_wrong_is_said(found: str, words: str) -> None:
    fault = topic_fault(found)
    assert fault is not None
    assert words in fault.problem


def test_the_limits_of_aws_are_in_bytes_and_beyond_prefixes() -> None:
    assert topic_fault("é" * 128) is None
    assert topic_fault("é" * 129)
    assert topic_fault("$aws/rules/r/" + "a/" * 7 + "a") is None
    assert filter_fault("$share/g/" + "a/" * 7 + "#") is None
    assert filter_fault("$share/g/" + "a/" * 8 + "#")


def test_the_topics_of_aws_iot_commands_have_a_slash_more() -> None:
    accepted = "$aws/commands/things/T/executions/+/response/accepted/json"
    assert filter_fault(accepted) is None
    assert filter_fault(f"{accepted}/x")
    assert filter_fault("$aws/things/T/shadow/name/N/update/accepted") is None


def test_what_goes_back_with_an_answer_has_a_limit_too() -> None:
    assert answer_fault("a", b"x" * 65_534) is None
    assert answer_fault("a/+", None)
    fault = answer_fault("a", b"x" * 65_535)
    assert fault is not None
    assert "65535 bytes" in fault.problem
