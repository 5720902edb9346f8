import json
import os
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest

from fleet_agent.config.settings import STATE_DIR
from fleet_agent.errors import StateDirectoryError
from fleet_agent.health import Health, Problem, runtime_dir
from support.clock import FakeClock

OFFLINE = Problem(code="offline", title="No network.", remedy="Plug it in.")
REFUSED = Problem(code="refused", title="No.", remedy="Ask.")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "run"


@pytest.fixture
def health(folder: Path, clock: FakeClock) -> Health:
    return Health(folder, clock)


def shown(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "status.json").read_text()))


def test_what_is_shown(health: Health, folder: Path, clock: FakeClock) -> None:
    clock.go(60)
    health.traffic.readings_acknowledged = 3
    health.doing("connected")
    assert shown(folder) == {
        "schema": 1,
        "pid": os.getpid(),
        "started": "2027-01-15T08:00:00Z",
        "updated": "2027-01-15T08:01:00Z",
        "doing": "connected",
        "problems": [],
        "certificate_id": None,
        "rotation": None,
        "readings_stored": 0,
        "readings_acknowledged": 3,
        "readings_waiting": 0,
        "readings_dropped": 0,
        "readings_not_stored": 0,
        "readings_stored_per_second": 0.0,
        "readings_acknowledged_per_second": 0.0,
        "bytes_waiting": 0,
        "oldest_waiting": None,
        "answers_dropped": 0,
        "dropped": {},
        "messages_published": 0,
        "messages_received": 0,
        "handlers": {},
        "sources": {},
    }


def test_everybody_may_read_it(health: Health, folder: Path) -> None:
    health.show()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755
    assert stat.S_IMODE((folder / "status.json").stat().st_mode) == 0o644


def test_problems_come_and_go(health: Health, folder: Path) -> None:
    health.raise_problem(OFFLINE)
    health.raise_problem(REFUSED)
    assert [problem["code"] for problem in shown(folder)["problems"]] == ["offline", "refused"]
    assert shown(folder)["problems"][0]["remedy"] == "Plug it in."
    health.clear_problem("offline")
    assert [problem["code"] for problem in shown(folder)["problems"]] == ["refused"]


def test_the_same_problem_again_replaces_what_was_said(health: Health, folder: Path) -> None:
    health.raise_problem(OFFLINE)
    health.raise_problem(Problem(code="offline", title="Still none.", remedy="Wait."))
    assert [problem["title"] for problem in shown(folder)["problems"]] == ["Still none."]


def test_nothing_is_written_when_nothing_changes(health: Health, folder: Path) -> None:
    health.raise_problem(OFFLINE)
    before = (folder / "status.json").stat().st_ino
    health.raise_problem(OFFLINE)
    health.clear_problem("another")
    assert (folder / "status.json").stat().st_ino == before


def test_a_status_that_cannot_be_written_stops_nothing_and_is_said_once(
    health: Health, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.rmtree(folder)
    health.doing("connected")
    health.doing("reconnecting")
    assert len(caplog.records) == 1
    folder.mkdir()
    health.doing("connected")
    assert shown(folder)["doing"] == "connected"
    shutil.rmtree(folder)
    health.show()
    assert len(caplog.records) == 2


def test_a_runtime_directory_that_cannot_be_made_is_an_error_at_once(
    tmp_path: Path, clock: FakeClock
) -> None:
    (tmp_path / "run").touch()
    with pytest.raises(StateDirectoryError):
        Health(tmp_path / "run", clock)


def test_the_runtime_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    assert runtime_dir(Path("/data/agent"), None) == Path("/data/agent/run")
    assert runtime_dir(Path("/data/agent"), "/x") == Path("/x")
    assert runtime_dir(Path(STATE_DIR), None) in (
        Path("/run/fleet-agent"),
        Path(STATE_DIR) / "run",
    )
    monkeypatch.setenv("RUNTIME_DIRECTORY", "/run/a:/run/b")
    assert runtime_dir(Path("/data/agent"), None) == Path("/run/a")
    assert runtime_dir(Path("/data/agent"), "/x") == Path("/x")
