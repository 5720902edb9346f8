"""Which certificates may go, whose things are whose, and what bears the fleet's tags."""

import datetime as dt
import json
from pathlib import Path

import pytest

from fleet_cloud.aws import times
from fleet_cloud.aws.names import FleetNames
from fleet_cloud.errors import UsageError
from fleet_cloud.fleet import inventory, ledger, prune
from fleet_cloud.fleet.inventory import Certificate, Devices, Thing
from fleet_cloud.plan import teardown

NAMES = FleetNames("fleet")
NOW = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


def certificate(name: str, days: int, status: str = "ACTIVE") -> Certificate:
    return Certificate(arn=f"arn:aws:iot:x:1:cert/{name}", status=status, created=NOW - days * DAY)


def pruned(*certificates: Certificate) -> list[str]:
    thing = Thing(name="fleet-1", attributes={}, certificates=certificates)
    devices = Devices(things=[thing], orphans=[])
    return [each.certificate.identifier for each in prune.by_age(devices, NOW - DAY)]


def test_older_certificate_goes_when_the_newer_one_has_been_there_long_enough() -> None:
    old = certificate("old", 9, "INACTIVE")
    assert pruned(certificate("new", 2), old) == ["old"]
    assert pruned(certificate("new", 0), old) == []
    assert pruned(certificate("only", 9)) == []


def test_with_more_than_one_active_certificate_age_retires_none() -> None:
    both = certificate("new", 2), certificate("old", 9)
    assert pruned(*both) == []
    assert pruned(*both, certificate("oldest", 90, "INACTIVE")) == []
    devices = Devices(things=[Thing(name="fleet-1", attributes={}, certificates=both)], orphans=[])
    assert [thing.name for thing in prune.undecided(devices, [])] == ["fleet-1"]
    chosen = [*prune.named(devices, [both[1]])]
    assert [(each.reason, each.things) for each in chosen] == [("named", ["fleet-1"])]
    assert prune.undecided(devices, chosen) == []


def test_newer_certificate_that_is_off_supersedes_nothing() -> None:
    newer = certificate("new", 2, "INACTIVE")
    old = certificate("old", 9, "INACTIVE")
    assert pruned(newer, certificate("current", 5), old) == ["old"]
    assert pruned(newer, certificate("current", 5)) == []
    assert pruned(newer) == []


def test_certificate_without_a_thing_is_orphaned() -> None:
    devices = Devices(things=[], orphans=[certificate("lost", 0)])
    (one,) = prune.by_age(devices, NOW)
    assert (one.reason, one.things) == ("orphaned", ())


def test_ledger_gives_up_what_it_says_last_of(tmp_path: Path) -> None:
    said = [("a", "issued"), ("a", "unresolved"), ("b", "retired"), ("c", "current")]
    said += [("d", "retired"), ("d", "current"), ("e", "foreign"), ("f", "dropped")]
    lines = [json.dumps({"certificate_id": each, "event": event}) for each, event in said]
    path = tmp_path / "ledger.jsonl"
    path.write_text("\n".join([*lines, '{"torn']))
    found = ledger.read(path)
    assert sorted(found.given_up) == ["a", "b", "f"]
    assert sorted(found.in_use) == ["c", "d"]


@pytest.mark.parametrize("text", [None, "", "no ledger", "[]"])
def test_file_that_is_no_ledger_is_refused(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "ledger.jsonl"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UsageError, match="--ledger"):
        ledger.read(path)


def test_thing_is_the_fleets_by_its_own_serial_number_not_by_how_its_name_begins() -> None:
    assert inventory.is_named(NAMES, "fleet-7", {"serialNumber": "7"})
    assert not inventory.is_named(NAMES, "fleet-two-7", {"serialNumber": "7"})
    assert not inventory.is_named(NAMES, "fleet-7", {})


@pytest.mark.parametrize(
    ("answer", "ours"),
    [
        ({"tags": [{"Key": "fleet", "Value": "fleet"}]}, False),
        ({"Tags": {"fleet": "fleet", "made-by": "fleet-cloud"}}, True),
        ({"Tags": {"fleet": "two", "made-by": "fleet-cloud"}}, False),
        ({"tags": []}, False),
        (None, False),
    ],
)
def test_only_what_bears_both_tags_is_ours(
    answer: dict[str, object] | None, *, ours: bool
) -> None:
    assert teardown.is_ours(answer, NAMES) is ours


def test_moment_is_read_as_both_versions_of_the_cli_tell_it() -> None:
    seconds, date = times.moment(1_700_000_000.5), times.moment("2023-11-14T22:13:20.5+00:00")
    assert seconds == date
    assert times.text(date) == "2023-11-14 22:13:20 UTC"
    assert times.text(times.moment("soon")) == "unknown"


@pytest.mark.parametrize(
    ("seconds", "reported"),
    [(5, "5 s"), (60, "1 min"), (7200, "2 h"), (200_000, "2 d"), (-5, "0 s")],
)
def test_age_is_told_in_its_largest_unit(seconds: int, reported: str) -> None:
    assert times.age(NOW - dt.timedelta(seconds=seconds), NOW) == reported
