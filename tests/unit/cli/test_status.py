"""What ``status`` makes of what a running agent shows: the order, the words, the exit status."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet_agent.cli import outcome, status
from fleet_agent.credentials.model import Credential
from fleet_agent.health import status_file, table
from fleet_agent.health.problems import Problem
from fleet_agent.health.status import Health
from fleet_agent.identity.recovery_state import RecoveryState
from fleet_agent.statedir.lock import take_lock
from support.clock import FakeClock
from support.provisioned import provisioned

CREDENTIAL = Credential(
    generation=1,
    certificate_id="c" * 64,
    certificate_file="certificate.pem.crt",
    private_key_file="private.pem.key",
    thing_name="pump-7",
    device_configuration={},
    endpoint="localhost",
    template="fleet",
    is_proven=True,
    proven=None,
)
NOTICE = table.SERVER_LIMITS.problem("Less is kept.", "Compare.")
WARNING = table.QUEUE_DAMAGED.problem("The queue was damaged.", "Check the disk.")
ERROR = table.PUBLISH_REFUSED.problem("The topic is refused.", "Add the statement.")


def seen(folder: Path, *problems: Problem) -> status._Seen:
    """Gives what there is to see while an agent runs, and has these problems."""
    health = Health(folder, FakeClock())
    health.set_activity("connected as pump-7", is_connected=True)
    for problem in problems:
        health.report(problem)
    return status._Seen(
        credential=CREDENTIAL,
        pending=None,
        recovery=RecoveryState(),
        process=1,
        daemon=status_file.read(folder),
    )


@pytest.mark.parametrize(
    ("problems", "code", "is_well"),
    [
        ((), 0, True),
        ((NOTICE,), 0, True),
        ((WARNING,), 1, False),
        ((ERROR,), 1, False),
        ((NOTICE, ERROR), 1, False),
    ],
)
def test_the_exit_status(
    tmp_path: Path, problems: tuple[Problem, ...], code: int, *, is_well: bool
) -> None:
    found = seen(tmp_path, *problems)
    assert (found.status, found.is_well) == (code, is_well)


def test_only_an_open_session_is_worth_the_wait_whatever_is_shown_beside_it(
    tmp_path: Path,
) -> None:
    health = Health(tmp_path, FakeClock())
    for words, is_connected in [("connected as pump-7", False), ("in other words", True)]:
        health.set_activity(words, is_connected=is_connected)
        found = status._Seen(
            credential=CREDENTIAL,
            pending=None,
            recovery=RecoveryState(),
            process=1,
            daemon=status_file.read(tmp_path),
        )
        assert (found.status, found.is_well) == (0, is_connected)


def test_problems_are_listed_the_worst_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome.show(*status._for_people(seen(tmp_path, NOTICE, WARNING, ERROR)))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "● pump-7: 2 problems"
    assert [line.split(maxsplit=1) for line in lines[-6:]] == [
        ["error", "The topic is refused. (since 2027-01-15T08:00:00Z)"],
        ["→", "Add the statement."],
        ["warning", "The queue was damaged. (since 2027-01-15T08:00:00Z)"],
        ["→", "Check the disk."],
        ["notice", "Less is kept. (since 2027-01-15T08:00:00Z)"],
        ["→", "Compare."],
    ]


def test_a_notice_alone_leaves_the_headline_healthy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome.show(*status._for_people(seen(tmp_path, NOTICE)))
    assert capsys.readouterr().out.startswith("● pump-7: connected as pump-7\n")


@pytest.mark.parametrize(
    "daemon",
    [
        {"problems": [{"title": "\x1b[2J\nok", "severity": ["x"]}], "doing": "a\x1b]0;x\x07"},
        {"problems": {"a": 1}, "dropped": [1], "sources": "x", "handlers": {"h": None}},
        {"problems": ["x"], "sources": {"s": {"last_error": "\u202e"}}, "oldest_waiting": "x"},
        {"started": "0001-01-01T00:00:00", "readings_waiting": 1, "oldest_waiting": {}},
    ],
)
def test_whatever_stands_in_the_file_is_shown_harmlessly(
    daemon: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    found = status._Seen(
        credential=CREDENTIAL, pending=None, recovery=RecoveryState(), process=1, daemon=daemon
    )
    outcome.show(*status._for_people(found))
    shown = capsys.readouterr().out
    assert shown.replace("\n", "").isprintable()
    assert "\nok" not in shown


@pytest.fixture
def taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, Path]]:
    """A device's state directory that this process has, and where it would show its status."""
    monkeypatch.setattr(status, "_START", 0.0)
    state_dir, shown = tmp_path / "state", tmp_path / "run"
    provisioned(state_dir, "pump-7")
    shown.mkdir()
    lock = take_lock(state_dir)
    yield state_dir, shown
    os.close(lock.descriptor)


def test_an_agent_that_shows_how_it_is(taken: tuple[Path, Path]) -> None:
    Health(taken[1], FakeClock()).set_activity("connected")
    found = status._once(*taken)
    assert (found.status, found.doing, found.process) == (0, "connected", os.getpid())


@pytest.mark.parametrize("text", [None, "", "{", "[1]", '{"pid": 1, "doing": "connected"}'])
def test_an_agent_of_which_nothing_is_known_is_not_healthy(
    taken: tuple[Path, Path], text: str | None
) -> None:
    """Monitoring took one whose runtime directory is another for healthy for ever, and an earlier one's last word."""
    if text is not None:
        (taken[1] / "status.json").write_text(text)
    found = status._once(*taken)
    assert (found.status, found.daemon) == (1, None)
    (problem,) = found.problems
    assert problem["code"] == "status-missing"
    assert f"Process {os.getpid()} " in problem["title"]
    assert str(taken[1]) in problem["title"]


def test_a_status_that_cannot_be_read_is_named(taken: tuple[Path, Path]) -> None:
    os.mkfifo(taken[1] / "status.json")
    found = status._once(*taken)
    assert found.status == 1
    assert [problem["code"] for problem in found.problems] == ["state-damaged"]


def test_an_agent_that_has_only_just_started_is_waited_for(
    taken: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status, "_START", 20.0)
    started = threading.Timer(0.3, Health(taken[1], FakeClock()).set_activity, ["connecting"])
    started.start()
    assert status._once(*taken).doing == "connecting"
    started.join()
