import logging
import os
from collections.abc import Iterator

import pytest

from fleet_agent import log


@pytest.fixture(autouse=True)
def logger() -> Iterator[logging.Logger]:
    """The agent's logger, put back as it was."""
    ours = logging.getLogger("fleet_agent")
    before = ours.handlers[:], ours.level, ours.propagate
    yield ours
    ours.handlers[:], level, ours.propagate = before
    ours.setLevel(level)


def test_plain_lines_on_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    log.set_up(verbose=False)
    logging.getLogger("fleet_agent.x").info("connected")
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


def test_the_journal_when_stderr_leads_there(
    monkeypatch: pytest.MonkeyPatch, logger: logging.Logger
) -> None:
    stderr = os.fstat(2)
    monkeypatch.setenv("JOURNAL_STREAM", f"{stderr.st_dev}:{stderr.st_ino}")
    log.set_up(verbose=False)
    assert type(logger.handlers[0]).__name__ == "JournalHandler"
