"""Which packets are taken, and what those that are not are answered."""

import base64
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from fleet_agent.telemetry.reading import MAX_PAYLOAD
from fleet_agent.telemetry.sources import connection, packet
from support.programs import Program, begin
from support.sources import Bench


def test_a_packet_sets_topic_encoding_and_expiry(bench: Bench) -> None:
    begin(bench)
    program = Program(bench)
    assert program.ask({"payload": "on", "encoding": "text", "expires": 60})["ok"]
    data = base64.b64encode(b"\xff\n").decode()
    assert program.ask({"topic": "dt/{thing}/{site}", "payload": data, "encoding": "base64"})["ok"]
    assert program.ask({"payload": "a\nb", "qos": 0})["ok"]
    text, binary, string = bench.intake.readings
    assert (text.topic, text.payload, text.content_type) == (
        "dt/pump-7/socket",
        b"on",
        "text/plain; charset=utf-8",
    )
    assert text.expires == text.time + 60
    assert (binary.topic, binary.payload) == ("dt/pump-7/north", b"\xff\n")
    assert string.payload == b'"a\\nb"'  # one line, whatever is in it


@pytest.mark.parametrize(
    ("packet", "code"),
    [
        (b"{", "bad-packet"),
        (b"\xff\xfe", "bad-packet"),
        (b"[" * 100_000, "bad-packet"),
        ([1], "bad-packet"),
        ({}, "bad-packet"),
        ({"payload": 1, "topik": "x"}, "bad-packet"),
        ({"payload": 1, "topic": 5}, "bad-packet"),
        ({"payload": 1, "qos": 2}, "bad-packet"),
        ({"payload": 1, "wait": "yes"}, "bad-packet"),
        ({"payload": 1, "id": [1]}, "bad-packet"),
        ({"payload": 1, "expires": -5}, "bad-packet"),
        ({"payload": 1, "expires": True}, "bad-packet"),
        (b'{"payload": 1, "expires": NaN}', "bad-packet"),
        (b'{"payload": NaN}', "bad-packet"),
        (b'{"payload": 1e999}', "bad-packet"),
        ({"payload": "\ud800"}, "bad-packet"),
        ({"payload": 1, "encoding": "text"}, "bad-packet"),
        ({"payload": "*", "encoding": "base64"}, "bad-packet"),
        ({"payload": "x", "encoding": "utf-16"}, "bad-packet"),
        ({"payload": "x" * MAX_PAYLOAD}, "too-large"),
        (b"x" * (connection.SCRATCH + 5), "too-large"),
        ({"payload": 1, "topic": "dt/+/x"}, "bad-topic"),
        ({"payload": 1, "topic": "a/b/c/d/e/f/g/h/i"}, "bad-topic"),
        ({"payload": 1, "topic": "dt/{nothing}"}, "bad-topic"),
        ({"payload": 1, "topic": "dt/x\ny"}, "bad-topic"),
        ({"payload": 1, "topic": "dt/other/x"}, "not-allowed"),
        ({"payload": 1, "topic": "$aws/things/pump-7/shadow/update"}, "not-allowed"),
    ],
)
def test_a_refusal_has_its_reason_and_the_next_packet_is_accepted(
    bench: Bench, packet: object, code: str
) -> None:
    begin(bench)
    program = Program(bench)
    reported = program.ask(packet)
    assert reported["ok"] is False
    assert reported["error"]["code"] == code
    assert reported["error"]["title"]
    assert reported["error"]["remedy"]
    assert program.ask({"payload": 2}) == {"ok": True}
    assert bench.intake.payloads == [b"2"]


def test_the_largest_packet_is_accepted_and_a_larger_one_is_not(bench: Bench) -> None:
    begin(bench)
    program = Program(bench)
    whole = b'{"payload": 1}'
    assert program.ask(whole.ljust(packet.MAX_PACKET))["ok"]
    assert program.ask(whole.ljust(packet.MAX_PACKET + 1))["error"]["code"] == "too-large"


JSON = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | some.text(max_size=20),
    lambda inner: (
        some.lists(inner, max_size=4) | some.dictionaries(some.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=8,
)


MEMBERS = ("topic", "payload", "encoding", "qos", "expires", "wait", "id")


PACKETS = (
    some.binary(min_size=1, max_size=200)
    | JSON.map(lambda value: json.dumps(value).encode())
    | some.dictionaries(
        some.sampled_from(MEMBERS), JSON | some.sampled_from(["text", "base64", "dt/pump-7/x", 1])
    ).map(lambda value: json.dumps(value).encode())
)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(packets=some.lists(PACKETS, min_size=1, max_size=10))
def test_every_packet_gets_one_answer_and_does_no_harm(bench: Bench, packets: list[bytes]) -> None:
    if not bench.sources:
        begin(bench)
    before = len(bench.intake.stored)
    program = Program(bench)
    for each in packets:
        program.send(each)
    bench.turn(lambda: len(program.received()) == len(packets))
    taken = bench.intake.stored[before:]
    assert sum(answer["ok"] for answer in program.answers) == len(taken)
    for reading in taken:
        assert reading.topic.startswith("dt/pump-7/")
        if reading.content_type == "application/json":
            assert b"\n" not in reading.payload
            json.loads(reading.payload, parse_constant=pytest.fail)
    program.socket.close()
