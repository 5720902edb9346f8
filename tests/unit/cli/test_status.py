"""What ``status`` makes of what a running agent shows: the order, the words, the exit status."""

from pathlib import Path

import pytest

from fleet_agent.cli import outcome, status
from fleet_agent.credentials.model import Credential
from fleet_agent.health import status_file, table
from fleet_agent.health.problems import Problem
from fleet_agent.health.status import Health
from fleet_agent.identity.recovery_state import RecoveryState
from support.clock import FakeClock

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
WARNING = table.QUEUE_DAMAGED.problem("The queue was damaged.", "Look at the disk.")
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
        ["→", "Look at the disk."],
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
