"""Where a device stands, on disk: as it was written, whatever a stranger makes of the file."""

import dataclasses
import json
from pathlib import Path

import pytest

from fleet_agent.identity import recovery_state
from fleet_agent.identity.ladder import Rung
from fleet_agent.identity.recovery_state import RecoveryState
from support.clock import FakeClock


def full(clock: FakeClock) -> RecoveryState:
    moment = recovery_state.stamp(clock)
    found = RecoveryState(
        refused_since=1.0,
        refused_for=2.0,
        refused=moment,
        delay=3.0,
        tries=4,
        tried=moment,
        wait=5.0,
        asked=moment,
        starts_over=True,
    ).at(Rung.APPROVAL, "403", clock.wall())
    return dataclasses.replace(found, remedy="Wait.")


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    clock = FakeClock()
    recovery_state.write(tmp_path, full(clock))
    assert recovery_state.read(tmp_path) == full(clock)
    assert (tmp_path / recovery_state.FILE).stat().st_mode & 0o777 == 0o600
    assert recovery_state.read(tmp_path / "elsewhere") == RecoveryState()


@pytest.mark.parametrize(
    "change",
    [
        {"rung": "nowhere"},
        {"refused_for": "long"},
        {"refused_for": float("nan")},
        {"wait": 1e300},
        {"wait": -1e10},
        {"refused_since": True},
        {"tries": float("inf")},
        {"tries": 10**400},
        {"tried": 7},
        {"tried": {"wall": 1.0}},
        {"history": [{"time": 1e99, "rung": "dead", "why": ""}]},
        {"history": 7},
        {"tries": None},
    ],
)
def test_what_is_not_ours_to_understand_is_none(tmp_path: Path, change: dict[str, object]) -> None:
    value = {**recovery_state.dump(full(FakeClock())), **change}
    (tmp_path / recovery_state.FILE).write_text(json.dumps(value))
    found = recovery_state.read(tmp_path)
    recovery_state.shown(found)
    assert found == RecoveryState() or change == {"refused_since": True}
    for text in ("", "[]", "{", "[" * 100_000):
        (tmp_path / recovery_state.FILE).write_text(text)
        assert recovery_state.read(tmp_path) == RecoveryState()


def test_time_is_by_a_clock_that_does_not_step(tmp_path: Path) -> None:
    clock = FakeClock()
    recovery_state.write(
        tmp_path, dataclasses.replace(RecoveryState(), asked=recovery_state.stamp(clock))
    )
    asked = recovery_state.read(tmp_path).asked
    assert asked is not None
    clock.now += 10 * 86400.0
    assert recovery_state.since(asked, clock) == 0.0
    clock.go(100.0)
    assert recovery_state.since(asked, clock) == 100.0
    clock.reboot()
    assert recovery_state.since(asked, clock) > 86400.0


def test_history_keeps_what_is_new_and_is_bounded() -> None:
    found = RecoveryState()
    for turn in range(50):
        found = found.at(Rung.ASKING, "asked", turn).at(Rung.APPROVAL, "403", turn)
    assert [entry.rung for entry in found.history] == [Rung.ASKING, Rung.APPROVAL]
    for turn in range(100):
        found = found.at(Rung.WAITING, f"why {turn}", turn)
    assert len(found.history) == recovery_state.HISTORY


def test_back_in_service_all_is_forgotten_but_the_certificate_and_the_history() -> None:
    before = full(FakeClock())
    after = before.in_service("back", 9.0)
    assert (after.rung, after.tries, after.refused, after.tried) == (
        Rung.IN_SERVICE,
        0,
        None,
        None,
    )
    assert after.asked == before.asked
    assert [entry.rung for entry in after.history] == [Rung.APPROVAL, Rung.IN_SERVICE]


def test_what_is_shown() -> None:
    assert recovery_state.shown(RecoveryState()) is None
    shown = recovery_state.shown(full(FakeClock()))
    assert shown is not None
    assert shown["rung"] == "waiting for approval"
    assert shown["next_try"] == "2027-01-15T08:00:05Z"
    assert json.loads(json.dumps(shown)) == shown
