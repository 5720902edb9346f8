"""A rehearsal's values: what is asked, when devices get power, what came of it, parts joined, the page."""

import dataclasses
import json
import random
from pathlib import Path
from typing import Any

import pytest

from fleet_cloud.errors import FleetCloudError, UsageError
from fleet_cloud.rehearsal import figures, journal, outlook, page, report
from fleet_cloud.rehearsal import scenario as scenarios
from fleet_cloud.rehearsal.case import LATENCY
from fleet_cloud.rehearsal.journal import Journal, Life, Refusal
from fleet_cloud.rehearsal.made import MadeFile
from fleet_cloud.rehearsal.outlook import CUT, HALF, SLOW, Rehearsed
from fleet_cloud.rehearsal.power import AT_ONCE, ROLLING, STREETS, PowerOn
from fleet_cloud.rehearsal.scenario import Scenario

SCENARIO = Scenario(
    devices=100,
    power_on="at-once",
    quota=10.0,
    spread=11.0,
    limit=600.0,
    tries=(),
    shard=(1, 1),
    prefix="rehearsal-",
)


def life(number: int, **facts: Any) -> Life:
    return Life(name=f"s{number}", powered=0.0, contact=1.0, requests=2, **facts)


def filled(shard: str | None = None, began: float = 1000.0) -> Journal:
    lives = [life(number, done=1.0 + number) for number in range(1, 11)]
    lives[0].steps = {"connect": 0.1, "certificate": 0.2, "register": 0.3, "prove": 0.4}
    refusals = [Refusal(at=2.0, request="RegisterThing", said="429")] * 3
    return Journal(
        asked={"devices": 20, "quota": 10, "shard": shard, "words": "so"},
        began=began,
        ended=began + 12,
        lives=lives,
        refusals=refusals,
    )


def test_devices_get_power_at_once_street_by_street_or_in_a_while() -> None:
    assert {AT_ONCE.moment(number, 100.0, 0.5) for number in range(9)} == {0.0}
    streets = [ROLLING.moment(number, 100.0, 0.0) for number in range(STREETS)]
    assert streets == [5.0 * number for number in range(STREETS)]
    assert PowerOn(window=60).moment(7, 100.0, 0.5) == 30.0


def test_every_device_is_in_one_part() -> None:
    parts = [dataclasses.replace(SCENARIO, shard=(part, 3)).numbers for part in (1, 2, 3)]
    assert sorted(number for part in parts for number in part) == [*range(100)]
    assert scenarios.shard("2/3") == (2, 3)


@pytest.mark.parametrize(
    "changes",
    [
        {"devices": 0},
        {"devices": 100_001},
        {"quota": 0.0},
        {"quota": float("nan")},
        {"quota": float("inf")},
        {"limit": 0.0},
        {"power_on": "soon"},
        {"prefix": "a b"},
        {"shard": (4, 3)},
        {"shard": (0, 3)},
    ],
)
def test_what_makes_no_sense_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        scenarios.check(dataclasses.replace(SCENARIO, **changes))


@pytest.mark.parametrize("given", ["1", "1/", "a/b", "1/2/3", "-1/2"])
def test_a_part_is_a_number_of_a_number(given: str) -> None:
    with pytest.raises(UsageError):
        scenarios.shard(given)


def test_half_the_quota_takes_twice_as_long() -> None:
    assert SCENARIO.bound == 10.0
    assert dataclasses.replace(SCENARIO, tries=(HALF,)).bound == 20.0


def test_one_device_in_ten_loses_power_while_the_fleet_comes() -> None:
    cuts = [dataclasses.replace(SCENARIO, tries=(CUT,)).cut(number)[0] for number in range(100)]
    assert [cut for cut in cuts if cut is not None] == [5.0] * 10
    assert SCENARIO.cut(0) == (None, 0.0)


def test_figures_say_when_all_were_in_and_what_the_quota_needs() -> None:
    found: dict[str, Any] = figures.of_journal(filled(), 12.0)
    assert (found["in"], found["devices"], found["all_by"]) == (10, 10, 11.0)
    assert (found["bound_seconds"], found["all_by_times_bound"]) == (1.0, 11.0)
    assert found["steps"]["register"] == {"p50": 0.3, "p99": 0.3, "most": 0.3}
    assert found["requests"] == {"mean": 2.0, "p50": 2, "p99": 2, "counts": [[2, 10]]}
    assert found["refusals"] == [{"request": "RegisterThing", "said": "429", "count": 3}]
    assert sum(found["arrived"]) == 10
    assert sum(found["refused"]["RegisterThing"]) == 3
    assert len(found["refused"]["RegisterThing"]) == len(found["arrived"])


def test_figures_of_a_beginning_promise_nothing() -> None:
    begun = Journal(asked={"quota": 10}, began=0.0, lives=[Life(name="a"), Life(name="b")])
    found: dict[str, Any] = figures.of_journal(begun, 0.0)
    assert (found["in"], found["all_by"], found["requests"], found["own"]) == (0, None, None, None)
    assert [each["state"] for each in found["each"]] == ["off", "off"]


def test_a_device_that_waits_says_why() -> None:
    begun = Journal(asked={}, began=0.0, lives=[life(1), life(2, done=3.0)])
    begun.refused(begun.lives[0], Refusal(at=1.0, request="RegisterThing", said="403"))
    shown: Any = figures.of_journal(begun, 4.0)["each"]
    assert [(each["state"], each["why"]) for each in shown] == [
        ("under way", "RegisterThing: 403"),
        ("in", ""),
    ]


def test_a_journal_is_read_as_it_was_written(tmp_path: Path) -> None:
    written = filled()
    report.write(tmp_path, written, report.of(written, 12.0))
    found = report.read(tmp_path / report.DATA)
    assert found.dump() == written.dump()


EMPTY = {
    "schema": 1,
    "asked": {},
    "began": 0,
    "ended": 0,
    "memory": 0,
    "devices": [],
    "refusals": [],
}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"schema": 1}',
        json.dumps({**EMPTY, "schema": 2}),
        json.dumps({**EMPTY, "devices": [{"name": "a", "done": "<b>"}]}),
        json.dumps({**EMPTY, "devices": [{"name": 7}]}),
    ],
)
def test_another_file_is_no_report(tmp_path: Path, text: str) -> None:
    path = tmp_path / "report.json"
    path.write_text(text)
    with pytest.raises(FleetCloudError, match=r"report\.json"):
        report.read(path)


def test_parts_are_joined_by_the_moments_they_began() -> None:
    joined = journal.merged([filled("1/2"), filled("2/2", began=1005.0)])
    assert len(joined.lives) == 20
    assert (joined.began, joined.ended) == (1000.0, 1017.0)
    assert max(each.done or 0.0 for each in joined.lives) == 16.0
    assert {refusal.at for refusal in joined.refusals} == {2.0, 7.0}


@pytest.mark.parametrize("changes", [{}, {"shard": "2/2", "devices": 21}])
def test_a_part_twice_or_of_another_is_not_joined(changes: dict[str, object]) -> None:
    parts = [filled("1/2"), filled("1/2")]
    parts[1].asked = {**parts[1].asked, **changes}
    with pytest.raises(FleetCloudError, match="parts of one"):
        journal.merged(parts)


def test_nothing_that_a_device_is_called_becomes_code_of_the_page() -> None:
    hostile = Journal(asked={"words": "</script><b>"}, began=0.0, lives=[Life(name="</script>")])
    text = page.render(report.of(hostile, 1.0))
    assert text.count("</script>") == 2
    data = text.partition('type="application/json">')[2].partition("</script>")[0]
    assert json.loads(data)["words"] == "</script><b>"


def test_page_asks_for_nothing_from_elsewhere() -> None:
    text = page.render(report.of(filled(), 12.0))
    assert "http://" not in text.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in text


def test_outlook_of_half_the_quota_is_worse_and_of_a_slow_hook_later() -> None:
    rehearsed = Rehearsed(devices=300, quota=10.0, spread=31.5, power=AT_ONCE)
    plain, half, slow = (outlook.simulated(rehearsed, LATENCY, each) for each in ("", HALF, SLOW))
    assert plain["all_by_times_bound"] < 1.3  # type: ignore[operator]
    assert half["requests"] > plain["requests"]  # type: ignore[operator]
    assert half["all_by"] > plain["all_by"]  # type: ignore[operator]
    assert slow["all_by"] >= plain["all_by"] + 1  # type: ignore[operator]


def test_what_was_made_is_known_after_a_cut_in_the_middle_of_a_line(tmp_path: Path) -> None:
    made = MadeFile(tmp_path)
    made.certificate("a" * 8)
    made.certificate("b" * 8)
    made.thing("t", "b" * 8)
    with made.path.open("a") as file:
        file.write('{"certificate": "cc')
    assert made.read() == {"a" * 8: "", "b" * 8: "t"}


def test_what_somebody_else_wrote_is_not_taken_for_it(tmp_path: Path) -> None:
    made = MadeFile(tmp_path)
    made.path.write_text('{"other": 1}\n')
    with pytest.raises(FleetCloudError, match="was not written by a rehearsal"):
        made.read()


def test_the_spread_that_fits_is_advised_where_it_was_less() -> None:
    assert report.advice(1000, 10.0, 105.0) is None
    assert "1m45s" in str(report.advice(1000, 10.0, 0.0))
    assert report.advice(5, 10.0, 0.0) is None


def test_percentile_is_a_value_that_came() -> None:
    values = sorted(random.Random(1).random() for _ in range(100))
    assert figures.percentile(values, 0.99) == values[99]
    assert figures.percentile(values, 0.5) in values
