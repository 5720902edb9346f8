"""Lines go to the journal with fields when stderr leads there, and to stderr otherwise."""

import logging
import os
import re
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

import fleet_agent
from fleet_agent.process import log
from fleet_agent.process.log import Moment
from support.clock import FakeClock


@pytest.fixture(autouse=True)
def logger() -> Iterator[logging.Logger]:
    """The agent's logger, put back as it was."""
    ours = logging.getLogger("fleet_agent")
    before = ours.handlers[:], ours.level, ours.propagate
    yield ours
    ours.handlers[:], level, ours.propagate = before
    ours.setLevel(level)
    log.about(step=None, attempt=None, problem=None)


CONTEXT = ("step", "attempt", "tries", "certificate_id", "thing", "problem")


@pytest.fixture
def journal(tmp_path: Path, logger: logging.Logger) -> Iterator[socket.socket]:
    """Where a journal listens; the agent's lines go there."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "journal"))
        listening.settimeout(5)
        logger.handlers[:] = [log.JournalHandler(str(tmp_path / "journal"))]
        logger.setLevel(logging.INFO)
        # What another test of this process left.
        log.about(**dict.fromkeys(CONTEXT))
        yield listening
        logger.handlers[0].close()


def entry(datagram: bytes) -> dict[str, str]:
    """Reads the native protocol as journald does."""
    found = {}
    while datagram:
        line, _, rest = datagram.partition(b"\n")
        name, is_plain, value = line.partition(b"=")
        if not is_plain:
            (length,) = struct.unpack("<Q", rest[:8])
            value, rest = rest[8 : 8 + length], rest[9 + length :]
        found[name.decode()] = value.decode()
        datagram = rest
    return found


def test_lines_that_others_cause_without_end_are_left_out_and_counted(
    logger: logging.Logger, capfd: pytest.CaptureFixture[str]
) -> None:
    log.set_up(verbose=False)
    clock = FakeClock()
    logger.handlers[0].filters[:] = [log.Few(clock)]
    for number in range(log.MOST + 5):
        logger.info("message on %s: %d", "a/%s", number)
    logger.info("something else")
    clock.passed += log.WINDOW
    logger.info("message on %s: %d", "b", 7)
    logger.info("message on %s: %d", "b", 8)
    *flood, last, other, next_one, plain = capfd.readouterr().err.splitlines()
    assert flood[-1] == f"message on a/%s: {log.MOST - 2}"
    assert len(flood) == log.MOST - 1
    assert last.endswith(f": {log.MOST - 1} (such lines are left out for the rest of 60 s)")
    assert other == "something else"
    assert next_one == "message on b: 7 (5 such lines were left out before)"
    assert plain == "message on b: 8"


def test_verbose_lines_are_all_there(capfd: pytest.CaptureFixture[str]) -> None:
    log.set_up(verbose=True)
    for number in range(2 * log.MOST):
        logging.getLogger("fleet_agent").info("line %d", number)
    assert len(capfd.readouterr().err.splitlines()) == 2 * log.MOST


def test_plain_lines_on_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    log.set_up(verbose=False)
    logging.getLogger("fleet_agent.x").info("connected", extra=log.fields(Moment.CONNECTED))
    logging.getLogger("fleet_agent.x").debug("not this")
    assert capfd.readouterr().err == "connected\n"


def test_more_when_asked(capfd: pytest.CaptureFixture[str]) -> None:
    log.set_up(verbose=True)
    logging.getLogger("fleet_agent.x").debug("this too")
    assert capfd.readouterr().err == "this too\n"


@pytest.mark.parametrize("stream", ["1:2", "rubbish", "a:b", ""])
def test_a_journal_that_is_not_our_stderr_gets_nothing(
    monkeypatch: pytest.MonkeyPatch, logger: logging.Logger, stream: str
) -> None:
    monkeypatch.setenv("JOURNAL_STREAM", stream)
    log.set_up(verbose=False)
    assert type(logger.handlers[0]) is logging.StreamHandler
    assert not log.failed("no", problem="configuration", step=None)


def test_the_journal_when_stderr_leads_there(
    monkeypatch: pytest.MonkeyPatch, logger: logging.Logger
) -> None:
    stderr = os.fstat(2)
    monkeypatch.setenv("JOURNAL_STREAM", f"{stderr.st_dev}:{stderr.st_ino}")
    log.set_up(verbose=False)
    assert type(logger.handlers[0]) is log.JournalHandler
    logger.handlers[0].close()


def test_fields_beside_a_line(journal: socket.socket) -> None:
    log.about(step="register", attempt=3, problem="not-allowed")
    ours = logging.getLogger("fleet_agent.x")
    ours.warning("%s again", "Trying", extra=log.fields(Moment.WAITING))
    assert entry(journal.recv(9999)) == {
        "MESSAGE": "Trying again",
        "MESSAGE_ID": Moment.WAITING.value,
        "PRIORITY": "4",
        "SYSLOG_IDENTIFIER": "fleet-agent",
        "LOGGER": "fleet_agent.x",
        "FLEET_AGENT_STEP": "register",
        "FLEET_AGENT_ATTEMPT": "3",
        "FLEET_AGENT_PROBLEM": "not-allowed",
    }
    log.about(problem=None)
    ours.info("registered")
    after = entry(journal.recv(9999))
    assert after["FLEET_AGENT_STEP"] == "register"
    assert "FLEET_AGENT_PROBLEM" not in after
    assert "MESSAGE_ID" not in after


def test_a_line_of_several_lines_stays_one_entry(journal: socket.socket) -> None:
    logging.getLogger("fleet_agent").error("two\nMESSAGE_ID=forged\n")
    found = entry(journal.recv(9999))
    assert found["MESSAGE"] == "two\nMESSAGE_ID=forged\n"
    assert "MESSAGE_ID" not in found


@pytest.mark.usefixtures("journal")
def test_a_journal_that_went_away_leaves_stderr(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "journal").unlink()
    logging.getLogger("fleet_agent").warning("still heard")
    assert capfd.readouterr().err == "still heard\n"


def test_the_catalog_explains_every_moment(root_dir: Path) -> None:
    text = (root_dir / "systemd" / "fleet-agent.catalog").read_text()
    assert re.findall(r"^-- ([0-9a-f]{32})$", text, re.MULTILINE) == [
        moment.value for moment in Moment
    ]
    entries = re.findall(
        r"^-- (\w+)\nSubject: (.+)\nDefined-By: fleet-agent\n", text, re.MULTILINE
    )
    assert len({subject for _, subject in entries}) == len(Moment)
    known = {"STEP", "ATTEMPT", "TRIES", "CERTIFICATE_ID", "THING", "PROBLEM"}
    assert set(re.findall(r"@FLEET_AGENT_(\w+)@", text)) <= known


def test_every_moment_is_logged_somewhere() -> None:
    source = "".join(
        file.read_text(encoding="utf-8")
        for file in Path(fleet_agent.__file__).parent.rglob("*.py")
    )
    assert set(re.findall(r"\bMoment\.([A-Z_]+)\b", source)) == {moment.name for moment in Moment}
