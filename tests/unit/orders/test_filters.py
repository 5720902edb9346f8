"""Which topics a device asks for, by what its configuration has it take."""

import pytest

from fleet_agent.config.orders import Commands, Jobs
from fleet_agent.config.rotation import Rotation
from fleet_agent.config.settings import Settings
from fleet_agent.orders.filters import Moves, wanted

JOBS = "$aws/things/pump-7/jobs/"
COMMANDS = "$aws/commands/things/pump-7/executions/+/"
ALL = ["notify-next", "start-next/+", "+/get/+", "+/update/+"]
OTHERS = ["notify-next", "notify", "get/+", "+/get/+", "+/update/+"]
OWN = ["notify-next", "$next/get/accepted", "+/update/+"]


@pytest.mark.parametrize(
    ("jobs", "rotation", "moves", "names"),
    [
        (Jobs(), False, False, []),
        (Jobs(enabled=True), True, True, ALL),
        (Jobs(enabled=True, leave=({"operation": "fw"},)), False, False, OTHERS),
        (Jobs(leave=({"operation": "fw"},)), False, False, []),
        (Jobs(), True, False, OWN),
        (Jobs(), False, True, OWN),
    ],
)
def test_jobs(jobs: Jobs, rotation: bool, moves: bool, names: list[str]) -> None:
    settings = Settings(endpoint="e", jobs=jobs, rotation=Rotation(jobs=rotation))
    found = wanted(settings, "pump-7", None, Moves(takes_jobs=moves))
    assert found == [(JOBS + name, 1) for name in names]


def test_commands_and_topics_of_our_own() -> None:
    settings = Settings(endpoint="e", commands=Commands(enabled=True))
    assert wanted(settings, "pump-7", "rotate/pump-7", Moves(topic="move/pump-7")) == [
        *((COMMANDS + name, 1) for name in ("request", "request/json", "request/cbor",
                                            "response/accepted/json", "response/rejected/json")),
        ("rotate/pump-7", 1),
        ("move/pump-7", 1),
    ]  # fmt: skip
    both = Settings(endpoint="e", commands=Commands(enabled=True), jobs=Jobs(enabled=True))
    assert [name for name, _ in wanted(both, "pump-7", None)][: len(ALL)] == [
        JOBS + name for name in ALL
    ]
    assert wanted(Settings(endpoint="e"), "pump-7", "rotate/pump-7") == [("rotate/pump-7", 1)]
    assert wanted(Settings(endpoint="e"), "pump-7", None) == []
