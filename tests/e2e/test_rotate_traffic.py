"""A rotation while readings go up and commands come down: none of what was accepted is lost."""

import json
import threading
from pathlib import Path
from typing import Any, Self

import pytest

from iot_sandbox.launch import Sandbox
from support.agent import Agent, run_command, until
from support.fleets import Fleet, allow_rotation, make_fleet
from support.operators import Operator, operating

LIMIT = 60.0  # seconds
EVERYBODY = {"socket": {"allow": [{"user": "*", "topics": ["#"]}]}}


@pytest.fixture
def rotating(sandbox: Sandbox, tmp_path: Path) -> Fleet:
    fleet = make_fleet(sandbox, tmp_path)
    allow_rotation(fleet)
    return fleet


class Traffic:
    """Readings put through ``fleet-agent publish`` and commands sent, both numbered, until told to stop."""

    def __init__(self, agent: Agent, operator: Operator, config: Path) -> None:
        self._agent, self._operator, self._config = agent, operator, config
        self._enough = threading.Event()
        self.stored: list[int] = []
        self.sent: list[int] = []
        self._threads = [threading.Thread(target=each) for each in (self._publish, self._command)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        for thread in self._threads:
            thread.join()

    def _publish(self) -> None:
        number = 0
        while not self._enough.is_set():
            number += 1
            done = run_command("publish", "--config", str(self._config), json.dumps({"n": number}))
            if done.status == 0:  # otherwise its sender has been told
                self.stored.append(number)

    def _command(self) -> None:
        number = 0
        while not self._enough.wait(0.2):
            number += 1
            self._operator.send(f"cmd/{self._agent.thing_name}/x", f"number {number}.".encode())
            self.sent.append(number)


def heard(operator: Operator, found: set[int]) -> set[int]:
    """The numbers of the readings that have arrived by now."""
    while not operator.packets.empty():
        value: Any = json.loads(operator.packets.get().payload or b"")
        for each in value if isinstance(value, list) else [value]:
            if "n" in each:
                found.add(each["n"])
    return found


@pytest.mark.slow
def test_no_reading_and_no_command_is_lost(rotating: Fleet, tmp_path: Path) -> None:
    agent = Agent(rotating, tmp_path)
    assert agent.provision().status == 0
    before = agent.current_id()
    config = agent.configuration(
        tmp_path / "traffic.yaml",
        telemetry={"sources": [EVERYBODY]},
        subscriptions=[{"topic": "cmd/{thing}/#", "log": True}],
    )
    found: set[int] = set()
    with (
        operating(rotating, tmp_path / "operator") as operator,
        agent.running(config=config) as daemon,
    ):
        operator.subscribe(f"dt/{agent.thing_name}/#")
        daemon.wait_for_line("subscribed to", LIMIT)
        with Traffic(agent, operator, config) as traffic:
            until(lambda: len(traffic.stored) >= 2, "readings before", LIMIT)
            done = run_command("rotate", "--force", "--config", str(config))
            assert done.status == 0, done.stderr
            until(lambda: daemon.log.count("subscribed to") == 2, "subscribed again", LIMIT)
            after = len(traffic.stored)
            until(lambda: len(traffic.stored) >= after + 2, "readings after", LIMIT)
        assert agent.current_id() != before
        until(lambda: set(traffic.stored) <= heard(operator, found), "every reading", LIMIT)
        missing = [n for n in traffic.sent if f"number {n}." not in daemon.log]
        until(lambda: not [n for n in missing if f"number {n}." not in daemon.log], "each", LIMIT)
        assert daemon.end() == 0
