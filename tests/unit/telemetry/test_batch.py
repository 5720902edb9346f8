"""Batches: every reading in one message, in order, none too large; and what a subscriber makes of them."""

import dataclasses
import gzip
import json
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet_agent.clock import BUILT
from fleet_agent.config.telemetry import Batch
from fleet_agent.session.message import Outgoing
from fleet_agent.telemetry.batch import Stored, compose, packet_size, share
from fleet_agent.telemetry.reading import BINARY, JSON, MAX_PAYLOAD, TEXT

NOW = BUILT + 1000.0
TYPES = st.sampled_from([JSON, JSON, JSON, TEXT, BINARY])


@st.composite
def runs_of_readings(draw: st.DrawFn) -> list[Stored]:
    found, sequence = [], 0
    for number in range(draw(st.integers(1, 12))):
        sequence += draw(st.sampled_from([1, 1, 1, 1, 3]))
        kind = draw(TYPES)
        size = draw(st.sampled_from([1, 5, 300, 900]))
        data = json.dumps([number, "x" * size]).encode()
        if kind != JSON and draw(st.booleans()):
            data += b"\nline"
        lifetime = draw(st.sampled_from([None, None, 10.2, 50.0, 60.0]))
        era = draw(st.sampled_from([1, 1, 1, 2]))
        found.append(Stored(sequence, data, NOW, kind, era=era, lifetime=lifetime))
    return found


def opened(message: Outgoing) -> list[bytes]:
    """The readings of a message, as somebody reads them who has only its properties."""
    count = int(dict(message.properties)["count"])
    payload, kind = message.payload, message.content_type or ""
    if kind.endswith("+gzip"):
        payload, kind = gzip.decompress(payload), kind.removesuffix("+gzip")
    if kind == "application/x-ndjson" or (kind == TEXT and count > 1):
        assert payload.endswith(b"\n")
        return payload[:-1].split(b"\n")
    if count == 1:
        return [payload]
    return [json.dumps(load).encode() for load in json.loads(payload)]


def go_together(readings: list[Stored], wanted: Batch) -> bool:
    """Whether they may share a message: of one kind and end, none missing between them, and not too large."""
    first, last = readings[0], readings[-1]
    text = wanted.format == "ndjson" and first.content_type == TEXT
    return (
        wanted.format != "none"
        and sum(len(reading.payload) + 1 for reading in readings) + 1 <= wanted.max_bytes
        and {reading.content_type for reading in readings} == {TEXT if text else JSON}
        and len(
            {(reading.lifetime is None or reading.era, reading.lifetime) for reading in readings}
        )
        == 1
        and last.sequence - first.sequence == len(readings) - 1
        and not (
            wanted.format == "ndjson" and any(b"\n" in reading.payload for reading in readings)
        )
    )


@settings(deadline=None)
@given(
    runs_of_readings(),
    st.sampled_from(["json", "ndjson", "none"]),
    st.booleans(),
    st.integers(1, 10),
    st.sampled_from([1024, 4096]),
)
def test_every_reading_is_in_one_message_and_in_order(
    readings: list[Stored],
    form: Literal["json", "ndjson", "none"],
    zipped: bool,
    most: int,
    size: int,
) -> None:
    wanted = Batch(format=form, gzip=zipped, max_readings=most, max_bytes=size)
    rest, found = readings, []
    while rest:
        count = share(rest, wanted)
        part, rest = rest[:count], rest[count:]
        message = compose("t", part, wanted, part[0].lifetime)
        assert 1 <= count <= most
        if rest:
            assert count == most or not go_together([*part, rest[0]], wanted)
        if count > 1:
            assert go_together(part, wanted)
        properties = dict(message.properties)
        assert (properties["sequence"], properties["count"]) == (str(part[0].sequence), str(count))
        assert properties["time"] == "2026-11-01T00:16:40Z"
        assert [each.sequence for each in part] == list(
            range(part[0].sequence, part[-1].sequence + 1)
        )
        lifetimes = {(each.lifetime is None or each.era, each.lifetime) for each in part}
        assert len(lifetimes) == 1
        _, left = lifetimes.pop()
        assert message.expiry == (None if left is None else int(-(-left // 1)))
        found += opened(message)
    assert found == [reading.payload for reading in readings]


def test_one_reading_alone_can_be_an_array() -> None:
    reading = Stored(7, b"1", NOW, JSON)
    assert compose("t", [reading], Batch(), None).payload == b"1"
    assert compose("t", [reading], Batch(always=True), None).payload == b"[1]"


@pytest.mark.parametrize(("room", "around"), [(2, 2), (1, 0), (0, 0)])
def test_one_that_fits_only_as_it_is_stays_as_it_is(room: int, around: int) -> None:
    size = MAX_PAYLOAD - room
    reading = Stored(7, b"1" * size, NOW, JSON)
    message = compose("t", [reading], Batch(always=True), None)
    assert len(message.payload) == size + around


@pytest.mark.parametrize(("more", "count"), [(0, 2), (1, 1)])
def test_a_message_is_as_large_as_it_may_be_and_no_larger(more: int, count: int) -> None:
    readings = [Stored(0, b"1" * 510, NOW, JSON), Stored(1, b"1" * (511 + more), NOW, JSON)]
    wanted = Batch(max_bytes=1024)
    assert share(readings, wanted) == count
    assert len(compose("t", readings[:count], wanted, None).payload) == (
        1024 if count == 2 else 510
    )


def test_what_is_of_use_until_the_same_second_goes_together() -> None:
    ends = [(10.0, 50.0), (20.5, 39.2), (21.0, 39.0), (21.0, 39.5)]
    readings = [
        Stored(number, b"1", NOW, JSON, era=1, moment=moment, lifetime=lifetime)
        for number, (moment, lifetime) in enumerate(ends)
    ]
    assert share(readings, Batch()) == 3


@pytest.mark.parametrize(
    ("left", "expiry"),
    [(None, None), (-5.0, 1), (0.2, 1), (1.0, 1), (1.1, 2), (59.9, 60), (1e9, 604_800)],
)
def test_a_message_expires_within_what_aws_takes(left: float | None, expiry: int | None) -> None:
    assert compose("t", [Stored(0, b"1", NOW, JSON)], Batch(), left).expiry == expiry


def test_a_compressed_message_is_the_same_each_time_and_says_nothing_of_when() -> None:
    readings = [Stored(number, b"1" * 100, NOW, JSON) for number in range(9)]
    payload = compose("t", readings, Batch(gzip=True), None).payload
    # The time of a gzip file's header.
    assert payload[4:8] == bytes(4)
    assert len(payload) < 60


def test_a_packet_is_counted_with_all_that_is_in_it_and_little_more() -> None:
    """As MQTT 5 has it: a length of two bytes before each text, a byte for what a property is, and each in UTF-8."""
    small = Outgoing(topic="t", payload=b"")
    assert 0 <= packet_size(small) - 1 <= 40
    full = Outgoing(
        topic="ü" * 30,
        payload=b"x" * 1000,
        content_type="text/plain",
        properties=(("ä" * 20, "b" * 50), ("c", "d")),
        correlation_data=b"y" * 70,
    )
    texts = 10 + 3 + 40 + 50 + 5 + 1 + 1 + 5
    assert 0 <= packet_size(full) - (60 + 1000 + texts + 70) <= 40


def test_only_texts_of_one_line_are_lines_of_a_message() -> None:
    texts = [
        Stored(number, payload, NOW, TEXT)
        for number, payload in enumerate([b"a", b"b", b"c\nd", b"e"])
    ]
    wanted = Batch(format="ndjson")
    assert [share(texts[first:], wanted) for first in range(4)] == [2, 1, 1, 1]
    message = compose("t", texts[:2], wanted, None)
    assert (message.payload, message.content_type) == (b"a\nb\n", TEXT)
    assert share([dataclasses.replace(text, content_type=BINARY) for text in texts], wanted) == 1
    assert share(texts, Batch()) == 1
