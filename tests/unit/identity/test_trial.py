"""What a new credential is proven with, by the configuration."""

import pytest

from fleet_agent.config.readings import Allow, FromSocket, FromSystem, SocketSource, SystemSource
from fleet_agent.config.settings import Settings
from fleet_agent.config.telemetry import Telemetry
from fleet_agent.identity.trial import trial
from support.clock import FakeClock


def topics(*sources: FromSocket | FromSystem) -> list[str]:
    settings = Settings(endpoint="a.example", telemetry=Telemetry(sources=sources))
    return [message.topic for message in trial(settings, FakeClock()).messages]


def test_system_readings_come_first() -> None:
    found = topics(
        FromSocket(socket=SocketSource(topic="own")), FromSystem(system=SystemSource(topic="env"))
    )
    assert found == ["env"]
    found = topics(FromSocket(socket=SocketSource()), FromSystem(system=SystemSource(topic="env")))
    assert found == ["env", "dt/{thing}/{source}"]


@pytest.mark.parametrize(
    ("allowed", "is_used"),
    [("dt/{thing}/#", True), ("dt/{thing}/socket", True), ("#", True), ("app/{thing}/#", False)],
)
def test_a_socket_whose_programs_may_not_send_to_its_topic_proves_nothing(
    allowed: str, is_used: bool
) -> None:
    allow = (Allow(user="*", topics=(allowed,)),)
    assert bool(topics(FromSocket(socket=SocketSource(allow=allow)))) == is_used
