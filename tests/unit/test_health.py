import json
import os
import pickle
import shutil
import socket
import stat
from pathlib import Path
from typing import Any

import pytest

from fleet_agent.config.paths import runtime_dir
from fleet_agent.config.settings import STATE_DIR
from fleet_agent.errors import NotAllowedError, StateDirectoryError
from fleet_agent.health import table
from fleet_agent.health.problems import Problem
from fleet_agent.health.status import Health
from fleet_agent.process.log import Moment
from support.clock import FakeClock

OFFLINE = table.OFFLINE.problem("No network.", "Plug it in.")
REFUSED = table.REFUSED.problem("No.", "Ask.")
DAMAGED = table.QUEUE_DAMAGED.problem("Damaged.", "Check the disk.")
LIMITED = table.SERVER_LIMITS.problem("Less.", "Compare.")


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
    health.set_activity("connected")
    assert shown(folder) == {
        "schema": 1,
        "pid": os.getpid(),
        "started": "2027-01-15T08:00:00Z",
        "updated": "2027-01-15T08:01:00Z",
        "doing": "connected",
        "connected": False,
        "problems": [],
        "certificate_id": None,
        "rotation": None,
        "credentials": {},
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
        "messages_unmatched": 0,
        "handlers": {},
        "orders": [],
        "sources": {},
    }


def test_everybody_may_read_it(health: Health, folder: Path) -> None:
    health.show()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755
    assert stat.S_IMODE((folder / "status.json").stat().st_mode) == 0o644


def test_problems_come_and_go(health: Health, folder: Path) -> None:
    health.report(OFFLINE)
    health.report(REFUSED)
    assert [problem["code"] for problem in shown(folder)["problems"]] == [
        "offline",
        "provisioning-refused",
    ]
    assert shown(folder)["problems"][0]["remedy"] == "Plug it in."
    health.clear(table.OFFLINE)
    assert [problem["code"] for problem in shown(folder)["problems"]] == ["provisioning-refused"]


def test_the_same_problem_again_replaces_what_was_said(health: Health, folder: Path) -> None:
    health.report(OFFLINE)
    health.report(table.OFFLINE.problem("Still none.", "Wait."))
    assert [problem["title"] for problem in shown(folder)["problems"]] == ["Still none."]


def test_a_problem_is_shown_with_its_severity_and_since_when(
    health: Health, folder: Path, clock: FakeClock
) -> None:
    clock.go(60)
    health.report(OFFLINE)
    clock.go(60)
    assert health.report(table.OFFLINE.problem("Still none.", "Wait."))
    assert shown(folder)["problems"] == [
        {
            "code": "offline",
            "name": None,
            "severity": "error",
            "title": "Still none.",
            "remedy": "Wait.",
            "since": "2027-01-15T08:01:00Z",
        }
    ]
    health.clear(table.OFFLINE)
    health.report(OFFLINE)
    assert shown(folder)["problems"][0]["since"] == "2027-01-15T08:02:00Z"


def test_the_worst_stands_first_and_then_the_oldest(health: Health, folder: Path) -> None:
    for problem in (LIMITED, DAMAGED, REFUSED, OFFLINE):
        health.report(problem)
    assert [item["code"] for item in shown(folder)["problems"]] == [
        "provisioning-refused",
        "offline",
        "queue-damaged",
        "server-limits",
    ]
    assert health.problems == [REFUSED, OFFLINE, DAMAGED, LIMITED]


def test_the_units_status_line_has_the_worst_not_the_first(
    health: Health, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        health.set_activity("connected")
        for problem in (LIMITED, OFFLINE, DAMAGED):
            health.report(problem)
        lines = [systemd.recv(200).decode() for _ in range(4)]
    assert lines == [
        "STATUS=connected",
        "STATUS=connected: Less.",
        "STATUS=connected: No network.",
        "STATUS=connected: No network.",
    ]


def test_each_source_has_a_problem_of_its_own(health: Health, folder: Path) -> None:
    for name in ("meter", "log-meter"):
        health.report(table.SOURCE_FAILED.problem(f"{name} fails.", name=name))
    found = shown(folder)["problems"]
    assert [(item["code"], item["name"]) for item in found] == [
        ("source-failed", "meter"),
        ("source-failed", "log-meter"),
    ]
    assert health.has(table.SOURCE_FAILED, "meter")
    assert not health.has(table.SOURCE_FAILED)
    health.clear(table.SOURCE_FAILED, "meter")
    assert [item["name"] for item in shown(folder)["problems"]] == ["log-meter"]


def test_words_are_the_tables_where_the_case_has_none() -> None:
    found = table.CLAIM_NOT_DELETED.problem()
    assert (found.title, found.remedy) == (
        "The claim is no longer needed and should be deleted, but it still exists.",
        "Find out why: journalctl -u fleet-agent.service; or delete it: sudo fleet-agent claim delete",
    )


def test_a_problem_found_by_another_program_is_the_same(health: Health) -> None:
    came: Problem = pickle.loads(pickle.dumps(OFFLINE))
    assert health.report(OFFLINE)
    assert not health.report(came)
    health.clear(came.kind)
    assert health.problems == []


def test_a_rotation_that_failed_is_kept(health: Health, folder: Path, clock: FakeClock) -> None:
    clock.go(60)
    health.record_failed_rotation(NotAllowedError("thing", "iot:Publish", "topic/a"))
    health.show()
    assert shown(folder)["rotation"] == {
        "failed": "2027-01-15T08:01:00Z",
        "code": "not-allowed",
        "title": "The thing's policy does not allow iot:Publish on topic/a.",
        "remedy": 'Add to that policy: {"Effect": "Allow", "Action": "iot:Publish", '
        '"Resource": "arn:aws:iot:REGION:ACCOUNT:topic/a"}',
        "status": 77,
    }


def test_nothing_is_written_when_nothing_changes(health: Health, folder: Path) -> None:
    health.report(OFFLINE)
    before = (folder / "status.json").stat().st_ino
    health.report(OFFLINE)
    health.clear(table.UNSTABLE)
    assert (folder / "status.json").stat().st_ino == before


def test_what_is_news_is_logged_with_what_operators_search_for(
    health: Health, caplog: pytest.LogCaptureFixture
) -> None:
    for words in ("None.", "None.", "Still none."):
        health.warn(table.OFFLINE.problem(words, "Wait."))
    assert [record.getMessage() for record in caplog.records] == [
        "None. Wait.",
        "Still none. Wait.",
    ]
    for record in caplog.records:
        assert vars(record)["journal"] == {
            "MESSAGE_ID": Moment.PROBLEM.value,
            "FLEET_AGENT_PROBLEM": "offline",
        }
    assert [problem.title for problem in health.problems] == ["Still none."]


def test_a_status_that_cannot_be_written_stops_nothing_and_is_said_once(
    health: Health, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    health.show_identity({"thing_name": "before"})
    shutil.rmtree(folder)
    folder.touch()
    health.set_activity("connected")
    health.show_identity({"thing_name": "pump-7"})
    assert len(caplog.records) == 1
    folder.unlink()
    health.set_activity("connected")
    assert shown(folder)["doing"] == "connected"
    shutil.rmtree(folder)
    folder.touch()
    health.show()
    assert len(caplog.records) == 2


def test_a_full_disk_leaves_no_old_status_standing(health: Health, folder: Path) -> None:
    health.set_activity("connected")
    # No other file can be made in its place.
    (folder / ".status.json.tmp").mkdir()
    health.set_activity("on")
    assert shown(folder)["doing"] == "on"
    health.report(table.OFFLINE.problem("x" * 10_000))
    assert shown(folder)["doing"] == "on"


def test_what_somebody_removed_is_shown_again(health: Health, folder: Path) -> None:
    health.show_identity({"thing_name": "before"})
    health.show_identity({"thing_name": "pump-7"})
    shutil.rmtree(folder)
    health.show()
    assert folder.stat().st_mode & 0o777 == 0o755
    assert shown(folder)["doing"] == "starting"
    assert json.loads((folder / "identity.json").read_text()) == {"thing_name": "pump-7"}


def test_a_volume_that_is_gone_finds_its_place_free_when_it_is_back(
    tmp_path: Path, clock: FakeClock
) -> None:
    state = tmp_path / "state"
    health = Health(state / "run", clock)
    state.rename(tmp_path / "away")
    health.show()
    assert not state.exists()


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
