"""What every source hands in and reports."""

from pathlib import Path

import pytest

from fleet_agent.health.status import Health
from fleet_agent.telemetry.reading import Reading
from fleet_agent.telemetry.sources.feed import Feed, one_line
from support.clock import FakeClock
from support.sources import Kept


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def feed(tmp_path: Path, clock: FakeClock) -> Feed:
    return Feed(
        name="meter",
        topic="dt/meter",
        priority=2,
        intake=Kept(),
        clock=clock,
        health=Health(tmp_path, clock),
    )


def test_a_reading_is_of_now_and_of_this_source(feed: Feed, clock: FakeClock) -> None:
    heard: list[str | None] = []
    feed.put(b"1")
    feed.put(b"2", "text/plain", heard.append)
    assert isinstance(feed.intake, Kept)
    common = {"topic": "dt/meter", "time": clock.now, "priority": 2, "source": "meter"}
    assert feed.intake.readings == [
        Reading(payload=b"1", content_type="application/json", **common),  # type: ignore[arg-type]
        Reading(payload=b"2", content_type="text/plain", **common),  # type: ignore[arg-type]
    ]
    feed.intake.commit("no")
    assert heard == ["no"]


def test_what_is_wrong_is_shown_until_it_works_and_remembered_after(
    feed: Feed, clock: FakeClock
) -> None:
    feed.fails("it is off.", "Switch it on.")
    (problem,) = feed.health.problems
    assert (problem.kind.code, problem.name) == ("source-failed", "meter")
    assert (problem.title, problem.remedy) == ("Source meter: it is off.", "Switch it on.")
    clock.go(60)
    feed.works()
    assert feed.health.problems == []
    assert feed.health.traffic.sources == {
        "meter": {
            "last_error": "Source meter: it is off.",
            "last_error_time": "2027-01-15T08:00:00Z",
        }
    }
    feed.health.traffic.sources["meter"]["dropped"] = {"full": 1}
    feed.fails("it is off again.", "Switch it on.")
    assert feed.health.traffic.sources["meter"] == {
        "last_error": "Source meter: it is off again.",
        "last_error_time": "2027-01-15T08:01:00Z",
        "dropped": {"full": 1},
    }


@pytest.mark.parametrize(
    ("text", "line"),
    [(b' {"a":\r\n1,\n"b": 2}\r\n', b'{"a":  1, "b": 2}'), (b"1", b"1"), (b"[\r1]", b"[ 1]")],
)
def test_json_of_several_lines_becomes_one(text: bytes, line: bytes) -> None:
    assert one_line(text) == line
