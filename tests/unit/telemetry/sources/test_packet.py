"""Packets of programs, byte by byte."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from fleet_agent.telemetry.reading import BINARY, JSON, MAX_PAYLOAD, TEXT
from fleet_agent.telemetry.sources import packet
from fleet_agent.telemetry.sources.packet import PacketError, Request, answer, parse

TEN_YEARS = 10 * 365 * 86400


def request(**members: Any) -> Request:
    return parse(json.dumps({"payload": 1, **members}).encode())


def test_what_is_not_said_is_as_documented() -> None:
    assert request() == Request("", b"1", JSON, None, waits=False, name=None)
    assert request(topic=None, encoding=None, expires=None, id=None) == request()
    assert parse(b' \t\r\n{"payload": 1} \t\r\n') == request()
    assert parse(memoryview(b'{"payload": 1}')) == request()


def test_all_that_can_be_said() -> None:
    found = request(topic="a/b", payload="x", encoding="text", qos=0, expires=5, wait=True, id="n")
    assert found == Request("a/b", b"x", TEXT, 5.0, waits=True, name="n")
    assert isinstance(found.lifetime, float)


@pytest.mark.parametrize(
    ("payload", "encoding", "data", "kind"),
    [
        (None, None, b"null", JSON),
        ({"ü": [1.5, "a\nb"]}, None, '{"ü":[1.5,"a\\nb"]}'.encode(), JSON),
        ("", "text", b"", TEXT),
        ("ü\n", "text", "ü\n".encode(), TEXT),
        (base64.b64encode(b"\xff\x00").decode(), "base64", b"\xff\x00", BINARY),
    ],
)
def test_a_payload_is_sent_as_what_it_is(
    payload: object, encoding: str | None, data: bytes, kind: str
) -> None:
    found = request(payload=payload, encoding=encoding)
    assert (found.payload, found.content_type) == (data, kind)


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ('{"payload":{"a":1.50,"b":"ü"}}', '{"a":1.50,"b":"ü"}'),
        ('{"topic":"a/b","id":7,"payload":{"a":-0}}', '{"a":-0}'),
        ('{"payload":{}}', "{}"),
        # What would not be the same to every reader of it, or not on one line, is encoded again.
        ('{"payload":{"a":1,"a":2}}', '{"a":2}'),
        ('{"payload":{"a":1},"payload":{"a":2}}', '{"a":2}'),
        ('{"payload":{},"payload":{"a":1,"b":2}}', '{"a":1,"b":2}'),
        ('{"payload":{"a":1.50},"qos":1}', '{"a":1.5}'),
        ('{"payload":{"a": 1.50}}', '{"a":1.5}'),
        ('{"payload":{"a":1.50}\n}', '{"a":1.5}'),
        ('{"payload" :{"a":1.50}}', '{"a":1.5}'),
        ('{"payload":{"a":{"b":1.50,"b":2.50}}}', '{"a":{"b":2.5}}'),
        ('{"payload":{"a":[1.50]}}', '{"a":[1.5]}'),
        ('{"payload":{"a":"b:c","d":1.50}}', '{"a":"b:c","d":1.5}'),
        ('{"payload":{"a":"\\u00fc","b":1.50}}', '{"a":"ü","b":1.5}'),
        ('{"payload":1.50}', "1.5"),
    ],
)
def test_a_payload_that_can_be_is_sent_as_it_came(text: str, sent: str) -> None:
    assert parse(text.encode()).payload == sent.encode()


VALUES = ["1", "-0", "1.50", "1e400", "-1e400", "NaN", "-Infinity", "true", "null", '"x"', '"ü"', '"a:b"',
          '"\\""', '"\\ud800"', "[1.0, 2]", "[1e400]", '{"a":1}', '{"a":1,"a":2}', "{}",
          '"\\"payload\\":"', '"payload"']  # fmt: skip
NAMES = ['"a"', '"b"', '"payload"', '"a\\"payload"', '"N"']
members = some.lists(some.tuples(some.sampled_from(NAMES), some.sampled_from(VALUES)), max_size=3)


@given(
    members,
    some.lists(some.sampled_from(['"id":1', '"topic":"a"', '"payload":{"b":1}']), max_size=2),
    some.lists(some.sampled_from(['"id":1', '"topic":{"x":1}', '"payload":{"b":1}']), max_size=1),
    some.sampled_from([":", ": ", ":\n"]),
)
def test_what_is_sent_is_what_was_read(
    payload: list[tuple[str, str]], before: list[str], after: list[str], colon: str
) -> None:
    text = ",".join(f"{name}{colon}{value}" for name, value in payload)
    text = "{" + ",".join([*before, f'"payload":{{{text}}}', *after]) + "}"
    try:
        sent = parse(text.encode()).payload.decode()
    except PacketError as error:
        assert error.title  # noqa: PT017 - most of them are wrong somewhere
        return
    assert json.loads(sent) == json.loads(text)["payload"]
    # The same to every reader: no name twice, nothing that is not JSON, one line.
    json.loads(sent, parse_constant=pytest.fail, object_pairs_hook=_no_name_twice)
    assert "\n" not in sent
    assert "1e400" not in sent


def _no_name_twice(pairs: list[tuple[str, object]]) -> dict[str, object]:
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


@pytest.mark.parametrize(
    ("member", "good", "bad"),
    [
        (
            "id",
            [0, -5, 2**53 - 1, 1 - 2**53, "", "x" * 64],
            [2**53, -(2**53), "x" * 65, True, 1.5],
        ),
        ("expires", [0.5, 1, TEN_YEARS], [0, -1, TEN_YEARS + 1, True, "5", float("inf")]),
        ("qos", [0, 1], [2, -1, "1", True, 1.0]),
        ("wait", [True, False], [1, None, "yes"]),
        ("topic", ["a", "", None], [5, ["a"], {"a": 1}, 0, False, [], {}]),
    ],
)
def test_members_are_taken_within_their_bounds(
    member: str, good: list[object], bad: list[object]
) -> None:
    for value in good:
        request(**{member: value})
    for value in bad:
        with pytest.raises(PacketError) as caught:
            request(**{member: value})
        assert caught.value.code == "bad-packet"
        assert f"`{member}` is n" in caught.value.title
        assert caught.value.remedy == "See docs/reference/socket.md."


@pytest.mark.parametrize("number", [2**53 - 1, -7, 0])
@pytest.mark.parametrize("rest", [{"topik": 1}, {"qos": 9}, {"encoding": "x"}])
def test_who_gives_an_id_reads_it_in_the_refusal(number: int, rest: dict[str, object]) -> None:
    with pytest.raises(PacketError) as caught:
        request(id=number, **rest)
    assert caught.value.name == number
    assert json.loads(answer(caught.value.name, caught.value))["id"] == number


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\xff", "The packet is not UTF-8."),
        (b"[" * 100_000, "The packet is nested too deeply."),
        (b"{", "The packet is not JSON: Expecting property name"),
        (b'{"payload": 1} x', "The packet is not JSON: Extra data: line 1 column 16"),
        (b"", "The packet is not JSON: Expecting value"),
        (b"[]", "The packet is not a JSON object."),
        (b"{}", "The packet has no `payload`."),
        (b'{"payload": 1, "b": 1, "a": 1}', "The packet has the unknown member 'a'."),
        (b'{"payload": %s}' % (b"9" * 5000), "The packet has a whole number of more than 4300"),
        *(
            (b'{"payload":{"a":%s}}' % number, "The payload has a number or a character")
            for number in (b"1e999", b"-1e999", b"NaN", b"Infinity", b"-Infinity")
        ),
        (b'{"payload": NaN}', "The payload has a number or a character that is not JSON."),
        (b'{"payload": "\\ud800"}', "The payload has a number or a character that is not JSON."),
        (
            b'{"payload": "\\ud800", "encoding": "text"}',
            "The payload has half a surrogate pair.",
        ),
        (b'{"payload": "*", "encoding": "base64"}', "The payload is not base64."),
        (b'{"payload": "\xc3\xbc", "encoding": "base64"}', "The payload is not base64."),
        (
            b'{"payload": 1, "encoding": "text"}',
            "With `encoding` (text or base64) the payload must be",
        ),
        (
            b'{"payload": "x", "encoding": 5}',
            "With `encoding` (text or base64) the payload must be",
        ),
    ],
)
def test_what_is_wrong_is_named(data: bytes, words: str) -> None:
    with pytest.raises(PacketError) as caught:
        parse(data)
    assert caught.value.title.startswith(words)
    assert (caught.value.code, caught.value.name) == ("bad-packet", None)


def test_a_strange_member_is_named_no_further_than_needed() -> None:
    with pytest.raises(PacketError, match=r"'x{80}'"):
        request(**{"x" * 500: 1})


def test_a_payload_of_exactly_what_aws_takes_is_taken() -> None:
    assert len(request(payload="x" * MAX_PAYLOAD, encoding="text").payload) == MAX_PAYLOAD
    with pytest.raises(PacketError) as caught:
        request(payload="x" * (MAX_PAYLOAD + 1), encoding="text", id=3)
    assert (caught.value.code, caught.value.name) == ("too-large", 3)
    assert f"has {MAX_PAYLOAD + 1} bytes; AWS IoT accepts {MAX_PAYLOAD}" in caught.value.title
    assert caught.value.remedy


def test_answers() -> None:
    error = PacketError(packet.BUSY, "Too many.", "Wait.")
    words = {"code": "busy", "title": "Too many.", "remedy": "Wait."}
    assert answer(None) == packet.OK == b'{"ok": true}'
    for found, expected in (
        (answer(0), {"ok": True, "id": 0}),
        (answer("a", error), {"ok": False, "id": "a", "error": words}),
        (answer(None, error), {"ok": False, "error": words}),
        (answer(None, None, "acknowledged"), {"acknowledged": True}),
        (answer(5, error, "acknowledged"), {"acknowledged": False, "id": 5, "error": words}),
    ):
        assert json.loads(found) == expected
