"""A device's own topics: a template parameter is asked for once, and what cannot be filled in is left out."""

from pathlib import Path

from fleet_agent.daemon.own_topics import OwnTopics
from fleet_agent.daemon.unfilled_topics import UnfilledTopics
from fleet_agent.health import table
from fleet_agent.health.status import Health
from support.clock import FakeClock
from support.configurations import Folder
from support.identity import CREDENTIAL

SETTINGS = """
endpoint: a1b2c3-ats.iot.eu-west-1.amazonaws.com
provisioning:
  template: fleet
  parameters:
    Hall: {{command: [sh, -c, 'echo asked >> {asked}; echo 3']}}
subscriptions:
  - {{topic: 'cmd/{{Hall}}/#'}}
  - {{topic: 'cmd/{{unknown}}'}}
rotation: {{order_topic: 'rotate/{{Hall}}'}}
telemetry: {{topic: 'dt/{{Hall}}'}}
"""


def test_a_parameter_is_asked_for_once_and_what_lacks_one_is_left_out(tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    settings = Folder(tmp_path).load(SETTINGS.format(asked=asked))
    health = Health(tmp_path, FakeClock())
    topics = OwnTopics(settings, CREDENTIAL, UnfilledTopics(health))
    assert topics.all() == ["dt/3", "cmd/3/#", "rotate/3"]
    assert topics.filters()[-1] == ("cmd/3/#", 1)
    assert ("rotate/3", 1) in topics.filters()
    assert asked.read_text() == "asked\n"
    assert [problem.kind for problem in health.problems] == [table.TOPIC_IMPOSSIBLE]
