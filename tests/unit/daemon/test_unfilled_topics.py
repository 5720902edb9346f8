"""Topics that cannot be filled in are logged once each, and are one problem until all can be."""

from pathlib import Path

import pytest

from fleet_agent.daemon.unfilled_topics import UnfilledTopics
from fleet_agent.health import table
from fleet_agent.health.status import Health
from fleet_agent.process.log import Moment
from fleet_agent.topics.names import Topics
from support.clock import FakeClock


def test_one_that_cannot_be_filled_in(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    health = Health(tmp_path, FakeClock())
    unfilled = UnfilledTopics(health)
    topics = Topics({"thing": "pump"})
    for _ in range(2):
        assert unfilled.fill(topics, "dt/{hall}") is None
    (line,) = caplog.records
    assert "dt/{hall}" in line.getMessage()
    assert vars(line)["journal"] == {
        "MESSAGE_ID": Moment.PROBLEM.value,
        "FLEET_AGENT_PROBLEM": table.TOPIC_IMPOSSIBLE.code,
    }
    assert [problem.kind for problem in health.problems] == [table.TOPIC_IMPOSSIBLE]
    known = Topics({"thing": "pump", "hall": "3"})
    assert unfilled.fill(known, "dt/{hall}") == "dt/3"
    assert health.problems == []
