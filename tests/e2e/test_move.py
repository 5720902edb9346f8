"""``fleet-agent move`` as installed: to another account and back, alone, by a running agent, by orders, in vain."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from iot_sandbox.launch import Sandbox, launch
from support.agent import Agent, Outcome, environment, run_command, until
from support.aws import aws_client
from support.faulttable import MOVE, Seen, tell
from support.fleets import Fleet, allow_rotation, make_fleet
from support.moves import destination, make_destination
from support.operators import operating


@pytest.fixture(scope="module")
def other() -> Iterator[Sandbox]:
    """Another account, at an endpoint of another name."""
    with launch(arguments=("--name", "127.0.0.1")) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def here(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    fleet = make_fleet(sandbox, tmp_path_factory.mktemp("here"))
    allow_rotation(fleet)
    return fleet


@pytest.fixture(scope="module")
def there(other: Sandbox, here: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    fleet = make_destination(other, tmp_path_factory.mktemp("there"), here)
    allow_rotation(fleet)
    return fleet


@pytest.fixture
def agent(here: Fleet, tmp_path: Path) -> Agent:
    agent = Agent(here, tmp_path)
    done = agent.provision()
    assert done.status == 0, done.stderr
    return agent


def configured(agent: Agent, there: Fleet, *, settings: Any = None, **sections: object) -> Path:
    """A configuration by which this device may be moved there, and back."""
    allowed = {"there": destination(there), "here": destination(agent.fleet)}
    wanted = {"allowed": allowed, **(settings or {})}
    return agent.configuration(agent.folder / "move.yaml", move=wanted, **sections)


def move(config: Path, *words: str, to: str = "there") -> Outcome:
    return run_command("move", "--config", config, "--to", to, "--json", *words)


def reported(fault: str, status: int | None, title: str) -> None:
    """A row of the table of faults."""
    tell(Seen(MOVE, fault, status, 1, f"fleet-agent: {title}"))


def test_there_and_back(agent: Agent, there: Fleet) -> None:
    before = agent.current_id()
    config = configured(agent, there)
    plan = move(config, "--dry-run")
    assert (plan.status, plan.answer["moved"], agent.current_id()) == (0, False, before)
    said = run_command("move", "--config", config, "--to", "there", "--dry-run").stdout
    assert f"request an identity from 127.0.0.1:{there.sandbox.mqtt_port}" in said
    done = move(config)
    assert done.status == 0, done.stderr
    assert (done.answer["endpoint"], done.answer["left"]) == ("127.0.0.1", before)
    assert done.answer["thing_name"] == agent.thing_name
    assert there.certificate_ids(agent.thing_name) == [agent.current_id()]
    assert agent.status().answer["endpoint"] == "127.0.0.1"
    assert agent.ledger()[str(before)][-1] == "retired"
    again = move(config)
    assert (again.status, again.answer["moved"]) == (0, False)

    # A rotation stays there, and one whose configuration has forgotten the destination.
    for is_forgotten in (False, True):
        config = configured(agent, there, settings={"allowed": {}} if is_forgotten else {})
        moved = agent.current_id()
        done = run_command("rotate", "--force", "--json", "--config", config)
        assert done.status == 0, done.stderr
        assert done.answer["replaced"] == moved
        assert agent.current_id() in there.certificate_ids(agent.thing_name)

    config = configured(agent, there)
    done = move(config, to="here")
    assert done.status == 0, done.stderr
    assert set(agent.fleet.certificate_ids(agent.thing_name)) == {before, agent.current_id()}
    assert agent.status().answer["endpoint"] == agent.fleet.sandbox.endpoint


def test_by_a_running_agent_which_goes_on_there(
    agent: Agent, there: Fleet, tmp_path: Path
) -> None:
    config = configured(agent, there, telemetry={"sources": [{"system": {"interval": "1s"}}]})
    with (
        operating(there, tmp_path / "operator") as operator,
        agent.running(config=config) as daemon,
    ):
        operator.subscribe(f"dt/{agent.thing_name}/#")
        daemon.wait_connected()
        done = move(config)
        assert done.status == 0, done.stderr + daemon.log
        doing = [daemon.shown()["doing"]]
        while not daemon.shown()["connected"]:
            doing.append(daemon.shown()["doing"])
        assert "stopped" not in doing, "it is the same process"
        daemon.wait_for_line("moved to there")
        daemon.wait_for_line("restarted in place")
        daemon.wait_for_line("connected to 127.0.0.1")
        operator.hear()
        assert not daemon.shown()["problems"]
        assert daemon.end() == 0
    # The next start goes there at once, and a reload does.
    with agent.running(config=config) as daemon:
        daemon.wait_for_line("connected to 127.0.0.1")
        assert daemon.end() == 0


@pytest.mark.parametrize(
    "lacks",
    [
        "template",
        # Refused for as long as a new policy may take to spread, and longer than it may.
        pytest.param("policy", marks=pytest.mark.thorough),
    ],
)
def test_goes_back_when_there_it_is_refused(
    agent: Agent, other: Sandbox, tmp_path: Path, lacks: str
) -> None:
    """The old account is alive, and has the device back."""
    without = ("connect",) if lacks == "policy" else ()
    no_way = make_destination(other, tmp_path / "there", agent.fleet, device_without=without)
    no_way.set_enabled(enabled=lacks != "template")
    before = agent.current_id()
    config = configured(agent, no_way, settings={"within": "30s"})
    with agent.running(config=config) as daemon:
        daemon.wait_connected()
        done = move(config)
        assert done.status == 77, done.stderr
        said = daemon.wait_for_problem("move-failed", 60)
        assert "stays where it was" in said["title"]
        until(lambda: daemon.log.count("connected to localhost") == 2, "back", 30)
        assert daemon.end() == 0
    assert agent.current_id() == before
    reported(f"the {lacks} there is missing", done.status, said["title"])
    given_up = "dropped" if lacks == "policy" else "unresolved"
    assert sorted(events[-1] for events in agent.ledger().values()) == ["current", given_up]
    assert run_command("rotate", "--check", "--config", config).status == 1, "nothing is left over"


def test_one_that_was_begun_goes_on_with_the_next_start(agent: Agent, there: Fleet) -> None:
    script = (
        "import os, sys; from fleet_agent import cli; from fleet_agent.credentials import store\n"
        "store.Store.keep_registration = lambda *_: os._exit(9)\n"
        "sys.exit(cli.main(sys.argv[1:]))\n"
    )
    before = agent.current_id()
    config = configured(agent, there)
    words = [sys.executable, "-c", script, "move", "--to", "there", "--config", str(config)]
    done = subprocess.run(words, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 9, done.stderr
    (pending,) = set(agent.ledger()) - {before}
    assert run_command("rotate", "--check", "--config", config).status == 1
    with agent.running(config=config) as daemon:
        daemon.wait_connected()
        daemon.wait_for_line("connected to 127.0.0.1", 50)
        assert daemon.end() == 0
    assert agent.current_id() == pending


def test_goes_back_when_nobody_answers_there(agent: Agent, there: Fleet) -> None:
    before = agent.current_id()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        gone = destination(there, port=silent.getsockname()[1])
        config = configured(agent, there, settings={"allowed": {"gone": gone}})
        done = move(config, "--timeout", "3", to="gone")
    assert done.status == 69, done.stdout
    reported("nothing answers at the destination", done.status, done.error["title"])
    assert agent.current_id() == before
    assert set(agent.ledger()) == {before}


def test_another_thing_there_is_refused(agent: Agent, other: Sandbox, tmp_path: Path) -> None:
    before = agent.current_id()
    config = configured(agent, make_fleet(other, tmp_path / "there"))
    done = move(config)
    assert (done.status, done.error["code"]) == (78, "thing-changed")
    reported("the template there names another thing", done.status, done.error["title"])
    assert agent.current_id() == before


def test_off_by_default_and_never_to_where_nobody_allowed(agent: Agent, there: Fleet) -> None:
    for config in (agent.configuration(agent.folder / "c.yaml"), configured(agent, there)):
        done = move(config, to="elsewhere")
        assert (done.status, done.error["code"]) == (78, "move-not-allowed")
        reported("a destination that is not allowed", done.status, done.error["title"])


def test_a_running_agent_that_does_not_know_the_destination_yet_stays_and_says_so(
    agent: Agent, there: Fleet
) -> None:
    before = agent.current_id()
    older = agent.configuration(agent.folder / "older.yaml")
    with agent.running(config=older) as daemon:
        daemon.wait_connected()
        done = move(configured(agent, there))
        assert done.status == 78, done.stderr
        problem = daemon.wait_for_problem("move-failed")
        assert "reload" in problem["remedy"]
        reported(
            "the running agent does not know the destination yet", done.status, problem["title"]
        )
        assert daemon.end() == 0
    assert agent.current_id() == before
    assert not (agent.state_dir / "move-to").exists()


def test_by_a_message(agent: Agent, there: Fleet) -> None:
    config = configured(agent, there, settings={"order_topic": "cmd/{thing}/move"})
    cloud = aws_client(agent.fleet.sandbox, "iot-data")
    topic = f"cmd/{agent.thing_name}/move"
    with agent.running(config=config) as daemon:
        daemon.wait_for_line("subscribed to")
        refused = ('"elsewhere"', '"there", "endpoint": "evil.example"', '"here"', "5")
        for payload in (b"", *(f'{{"to": {to}}}'.encode() for to in refused)):
            cloud.publish(topic=topic, qos=1, payload=payload)
        cloud.publish(topic=topic, qos=1, payload=b'{"to": "there"}')
        daemon.wait_for_line("connected to 127.0.0.1", 30)
        refusals = [line for line in daemon.log.splitlines() if "to move was refused: " in line]
        assert len(refusals) == 5
        reported(
            "an order that contains more than a destination",
            None,
            refusals[2].partition("refused: ")[2],
        )
        assert daemon.end() == 0
    assert there.certificate_ids(agent.thing_name) == [agent.current_id()]


def test_by_a_job_which_is_told_where_it_came_from(agent: Agent, there: Fleet) -> None:
    config = configured(agent, there, settings={"jobs": True})
    iot = agent.fleet.iot
    things = iot.describe_thing(thingName=agent.thing_name)["thingArn"]

    def order(job: str, **document: str) -> None:
        text = json.dumps({"operation": "move", **document})
        iot.create_job(jobId=f"{agent.serial}-{job}", targets=[things], document=text)

    def state(job: str) -> str:
        found = iot.describe_job_execution(
            jobId=f"{agent.serial}-{job}", thingName=agent.thing_name
        )
        return str(found["execution"]["status"])

    with agent.running(config=config) as daemon:
        daemon.wait_for_line("subscribed to")
        order("nowhere", to="elsewhere")
        until(lambda: state("nowhere") == "FAILED", "refused", 30)
        order("there", to="there")
        daemon.wait_for_line("connected to 127.0.0.1", 30)
        assert state("there") == "SUCCEEDED"
        assert daemon.end() == 0
