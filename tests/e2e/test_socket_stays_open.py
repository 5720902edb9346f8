"""A program sends a hundred readings a second while the agent rotates and is reloaded: none is refused or lost."""

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from iot_sandbox.launch import Sandbox
from support.agent import Agent, Daemon, run_command, until
from support.fleets import allow_rotation, make_fleet
from support.operators import Operator, operating
from support.sender import Sender

LIMIT = 60.0  # seconds
EVERYBODY = {"socket": {"allow": [{"user": "*", "topics": ["#"]}]}}


def arrived(operator: Operator, found: list[int]) -> list[int]:
    """The readings that arrived by now, each where it came for the first time."""
    while not operator.packets.empty():
        value = json.loads(operator.packets.get().payload or b"")
        for item in value if isinstance(value, list) else [value]:
            if item["n"] not in found[-5000:]:
                found.append(item["n"])
    return found


def rotate(daemon: Daemon, config: Path, number: int) -> None:
    done = run_command("rotate", "--force", "--config", str(config))
    assert done.status == 0, done.stderr + daemon.log
    until(lambda: daemon.log.count("connected to") == number + 1, "connected again", LIMIT)


def reload(daemon: Daemon, _config: Path, number: int) -> None:
    daemon.process.send_signal(signal.SIGHUP)
    until(lambda: daemon.log.count("reloaded:") == number, "reloaded", LIMIT)
    until(lambda: daemon.log.count("connected to") == number + 1, "connected again", LIMIT)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "times"),
    [
        (rotate, 2),
        (reload, 1),
        pytest.param(rotate, 20, marks=pytest.mark.thorough),
        pytest.param(reload, 20, marks=pytest.mark.thorough),
    ],
)
def test_every_reading_is_stored_and_arrives_in_order(
    sandbox: Sandbox, tmp_path: Path, change: Callable[[Daemon, Path, int], None], times: int
) -> None:
    fleet = make_fleet(sandbox, tmp_path)
    allow_rotation(fleet)
    agent = Agent(fleet, tmp_path)
    assert agent.provision().status == 0
    config = agent.configuration(tmp_path / "sent.yaml", telemetry={"sources": [EVERYBODY]})
    topic = f"dt/{agent.thing_name}/sent"
    found: list[int] = []
    with (
        operating(fleet, tmp_path / "operator") as operator,
        agent.running(config=config) as daemon,
    ):
        operator.subscribe(topic)
        daemon.wait_connected()
        path = agent.state_dir / "run" / "telemetry.sock"
        until(path.exists, "the socket")
        with Sender(path, topic) as sender:
            until(lambda: len(sender.stored) > 50, "readings before")
            for number in range(1, times + 1):
                change(daemon, config, number)
            after = len(sender.stored) + 50
            until(lambda: len(sender.stored) > after, "readings after")
        until(lambda: len(arrived(operator, found)) >= len(sender.stored), "all of them", LIMIT)
        assert daemon.end() == 0
    assert not sender.refused
    assert found == sender.stored == list(range(len(found)))
    assert sender.longest < 5.0
