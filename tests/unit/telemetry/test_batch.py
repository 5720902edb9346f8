"""Batches: every reading in one message, in order, none too large; and what a subscriber makes of them."""

import gzip
import json
from typing import Literal

from hypothesis import given
from hypothesis import strategies as st

from fleet_agent.clock import BUILT
from fleet_agent.config.telemetry import Batch
from fleet_agent.session.message import Outgoing
from fleet_agent.telemetry.batch import Stored, compose, share
from fleet_agent.telemetry.reading import BINARY, JSON, TEXT

NOW = BUILT + 1000.0
TYPES = st.sampled_from([JSON, JSON, JSON, TEXT, BINARY])


@st.composite
def runs_of_readings(draw: st.DrawFn) -> list[Stored]:
    found, sequence = [], 0
    for number in range(draw(st.integers(1, 40))):
        sequence += draw(st.sampled_from([1, 1, 1, 1, 3]))
        kind = draw(TYPES)
        size = draw(st.sampled_from([1, 5, 300, 2000]))
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
    return [json.dumps(one).encode() for one in json.loads(payload)]


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
        if count > 1:
            assert form != "none"
            assert sum(len(one.payload) + 1 for one in part) + 1 <= size
            assert len({one.content_type for one in part}) == 1
        properties = dict(message.properties)
        assert (properties["sequence"], properties["count"]) == (str(part[0].sequence), str(count))
        assert [one.sequence for one in part] == list(
            range(part[0].sequence, part[-1].sequence + 1)
        )
        lifetimes = {(one.lifetime is None or one.era, one.lifetime) for one in part}
        assert len(lifetimes) == 1
        _, left = lifetimes.pop()
        assert message.expiry == (None if left is None else int(-(-left // 1)))
        found += opened(message)
    assert found == [one.payload for one in readings]


def test_one_reading_alone_can_be_an_array() -> None:
    reading = Stored(7, b"1", NOW, JSON)
    assert compose("t", [reading], Batch(), None).payload == b"1"
    assert compose("t", [reading], Batch(always=True), None).payload == b"[1]"
