"""What does not go up, in the status and in the log."""

import logging
from pathlib import Path

import pytest

from fleet_agent.errors import AgentError, RefusedError, StateDirectoryError
from fleet_agent.health.status import Health
from fleet_agent.process.log import Moment
from fleet_agent.telemetry.refusals import Refusals
from support.clock import FakeClock

NO_DISK = StateDirectoryError("The disk is full.", remedy="Free some space.", code="queue-enospc")


def refused(topic: str) -> AgentError:
    return RefusedError(f"No {topic}.", remedy=f"Allow {topic}.", code="publish-refused")


@pytest.fixture
def health(tmp_path: Path) -> Health:
    return Health(tmp_path, FakeClock())


def shown(health: Health) -> list[tuple[str, str, str]]:
    return [(found.kind.code, found.title, found.remedy) for found in health.problems]


def test_one_refused_topic_is_shown_until_all_are_taken_again(health: Health) -> None:
    refusals = Refusals(health)
    for topic in ("a", "b"):
        refusals.topic(topic, refused(topic))
        assert shown(health) == [("publish-refused", "No a.", "Allow a.")]
    refusals.topic("c", None)  # was never refused
    assert shown(health) == [("publish-refused", "No a.", "Allow a.")]
    refusals.topic("a", None)
    assert shown(health) == [("publish-refused", "No b.", "Allow b.")]
    refusals.topic("b", None)
    assert shown(health) == []


def test_a_disk_that_takes_nothing_is_shown_until_it_does(health: Health) -> None:
    refusals = Refusals(health)
    refusals.topic("a", refused("a"))
    refusals.disk(NO_DISK)
    assert ("queue-unusable", "The disk is full.", "Free some space.") in shown(health)
    refusals.disk(None)
    assert shown(health) == [("publish-refused", "No a.", "Allow a.")]


def test_what_is_news_is_logged_once_and_by_its_code(
    health: Health, caplog: pytest.LogCaptureFixture
) -> None:
    refusals = Refusals(health)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            refusals.disk(NO_DISK)
    (record,) = caplog.records
    assert record.getMessage() == "The disk is full. Free some space."
    assert record.__dict__["journal"] == {
        "FLEET_AGENT_PROBLEM": "queue-unusable",
        "MESSAGE_ID": Moment.PROBLEM.value,
    }
