"""``fleet-agent rotate`` as installed: alone, by a running agent, by a message, and when it is refused."""

import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from iot_sandbox.client import FaultClient
from support.agent import Agent, environment, run_command, until
from support.aws import aws_client
from support.fleets import Fleet, allow_rotation, make_fleet


@pytest.fixture(scope="module")
def rotating(sandbox: Any, tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    fleet = make_fleet(sandbox, tmp_path_factory.mktemp("rotating"))
    allow_rotation(fleet)
    return fleet


@pytest.fixture
def agent(rotating: Fleet, tmp_path: Path) -> Agent:
    agent = Agent(rotating, tmp_path)
    done = agent.provision()
    assert done.status == 0, done.stderr
    return agent


def rotate(agent: Agent, *words: str, **sections: object) -> Any:
    config = agent.configuration(agent.folder / "rotate.yaml", **sections)
    return run_command("rotate", "--config", str(config), *words)


def test_alone(agent: Agent) -> None:
    before = agent.current_id()
    assert rotate(agent, "--check").status == 1
    assert rotate(agent).status == 0
    assert agent.current_id() == before
    done = rotate(agent, "--force", "--json")
    assert done.status == 0, done.stderr
    assert done.answer["replaced"] == before
    assert agent.current_id() == done.answer["certificate_id"] != before
    assert agent.ledger()[str(before)][-1] == "retired"
    assert set(agent.fleet.certificate_ids(agent.thing_name)) == {before, agent.current_id()}


def test_due_by_age_and_no_identity(agent: Agent, rotating: Fleet, tmp_path: Path) -> None:
    found = rotate(agent, "--check", "--json", rotation={"before_expiry": "3650d"})
    assert found.status in (0, 1)
    (tmp_path / "empty").mkdir()
    empty = Agent(rotating, tmp_path / "empty")
    assert rotate(empty, "--check").status == 2
    assert rotate(empty, "--force").status == 78


def test_another_thing_is_refused_and_the_identity_stays(agent: Agent, tmp_path: Path) -> None:
    """A parameter's source says something else by then."""
    before, other = agent.current_id(), f"other{agent.serial}"
    text = tmp_path / "serial"
    text.write_text(agent.serial)
    provisioning = {
        "template": agent.fleet.template,
        "parameters": {"SerialNumber": {"file": str(text)}},
    }
    config = agent.configuration(tmp_path / "c.yaml", provisioning=provisioning)
    with agent.running(config=config) as daemon:
        daemon.wait_connected()
        text.write_text(other)
        daemon.process.send_signal(signal.SIGUSR1)
        said = daemon.wait_for_problem("rotation-failed", 60)
        assert agent.thing_name in said["title"]
        assert other in said["title"]
        until(lambda: daemon.log.count("connected to") == 2, "connected again")
        assert daemon.end() == 0
    assert agent.current_id() == before
    (dropped,) = {name for name, events in agent.ledger().items() if events[-1] == "dropped"}
    assert dropped in said["title"]
    done = rotate(agent, "--force", provisioning=provisioning)
    assert done.status == 78
    assert "is for the thing" in done.stderr
    assert agent.current_id() == before
    text.write_text(agent.serial)
    assert rotate(agent, "--check", provisioning=provisioning).status == 1, "nothing is left over"
    assert rotate(agent, "--force", provisioning=provisioning).status == 0
    assert agent.current_id() not in (before, dropped)


def test_running_agent_reconnects_with_the_new_one(agent: Agent) -> None:
    before = agent.current_id()
    with agent.running() as daemon:
        daemon.wait_connected()
        process = daemon.shown()["started"], daemon.shown()["pid"]
        done = rotate(agent, "--force", "--json")
        assert done.status == 0, done.stderr + daemon.log
        assert agent.current_id() != before
        until(lambda: daemon.log.count("connected to") == 2, "connected again")
        until(lambda: daemon.shown().get("readings_acknowledged", 0) >= 1, "published again")
        assert (daemon.shown()["started"], daemon.shown()["pid"]) == process
        assert daemon.end() == 0


def test_orders_that_come_while_it_rotates_do_not_end_it(agent: Agent) -> None:
    with agent.running() as daemon:
        daemon.wait_connected()
        before = agent.current_id()
        daemon.process.send_signal(signal.SIGUSR1)
        daemon.wait_for_line("rotated:", 60)
        for _ in range(20):
            daemon.process.send_signal(signal.SIGUSR1)
            time.sleep(0.02)
        until(lambda: daemon.log.count("connected to") >= 2, "connected again", 60)
        assert daemon.process.poll() is None, daemon.log
        assert agent.current_id() != before
        assert daemon.end() == 0


def test_who_waits_for_an_agent_that_ends_does_not_wait_on(agent: Agent) -> None:
    before = agent.current_id()
    with agent.running() as daemon:
        daemon.wait_connected()
        daemon.process.send_signal(signal.SIGSTOP)  # it hears of it, and does nothing
        threading.Timer(1.5, daemon.process.kill).start()
        done = rotate(agent, "--force", "--json")
    assert (done.status, done.error["code"]) == (75, "agent-ended"), done.stderr
    assert agent.current_id() == before


def test_refused_by_policy_the_agent_goes_on_with_what_it_had(
    fleet: Fleet, tmp_path: Path
) -> None:
    agent = Agent(fleet, tmp_path)
    assert agent.provision().status == 0
    before = agent.current_id()
    with agent.running() as daemon:
        daemon.wait_connected()
        done = rotate(agent, "--force", "--json", "--timeout", "60")
        assert done.status == 77, done.stderr
        assert "The thing's policy does not allow iot:Subscribe" in done.stderr
        until(lambda: daemon.log.count("connected to") == 2, "connected again")
        daemon.wait_for_problem("rotation-failed")
        assert daemon.end() == 0
    assert agent.current_id() == before


def test_refused_by_the_hook_the_parameters_are_named_first(
    agent: Agent, faults: FaultClient
) -> None:
    """As where they came by a flag when the device was provisioned, and do not now."""
    faults.add("register-thing", "reject", status_code=403)
    done = rotate(agent, "--force", "--json")
    assert done.status == 77, done.stderr
    assert f"still name {agent.thing_name} (fleet-agent parameters)" in done.error["remedy"]


def test_by_a_message(agent: Agent) -> None:
    # Straight after provisioning an order is left alone: make the credential older.
    proven = agent.credentials / "current" / "proven"
    known = json.loads(proven.read_text())
    # By the wall clock alone, as an earlier version wrote it.
    aged = {key: known[key] for key in known if key not in ("boot", "monotonic")}
    proven.write_text(json.dumps({**aged, "proven": time.time() - 9999}))
    before = agent.current_id()
    config = agent.configuration(
        agent.folder / "orders.yaml", rotation={"order_topic": "cmd/{thing}/rotate"}
    )
    with agent.running(config=config) as daemon:
        daemon.wait_for_line("subscribed to")
        cloud = aws_client(agent.fleet.sandbox, "iot-data")
        cloud.publish(topic=f"cmd/{agent.thing_name}/rotate", qos=1, payload=b"{}")
        until(lambda: agent.current_id() != before, "rotated", 30)
        until(lambda: daemon.log.count("connected to") == 2, "connected again")
        assert daemon.end() == 0


def begun(agent: Agent) -> Path:
    """A rotation that was killed once the certificate was stored: its token is still good."""
    script = (
        "import os, sys; from fleet_agent import cli; from fleet_agent.credentials import store\n"
        "store.Store.keep_registration = lambda *_: os._exit(9)\n"
        "sys.exit(cli.main(sys.argv[1:]))\n"
    )
    config = agent.configuration(agent.folder / "begun.yaml")
    words = [sys.executable, "-c", script, "rotate", "--force", "--config", str(config)]
    done = subprocess.run(words, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 9, done.stderr
    return config


def test_one_that_was_begun_is_due_and_goes_on_with_the_same_certificate(agent: Agent) -> None:
    before = agent.current_id()
    config = begun(agent)
    assert agent.current_id() == before
    (pending,) = set(agent.ledger()) - {before}
    look = run_command("rotate", "--check", "--json", "--config", str(config))
    assert (look.status, look.answer["due"]) == (0, True)
    plan = run_command("rotate", "--dry-run", "--json", "--config", str(config))
    assert plan.answer["dry_run"]
    assert agent.current_id() == before
    done = run_command("rotate", "--json", "--config", str(config))
    assert done.status == 0, done.stderr
    assert done.answer["certificate_id"] == pending


def test_check_tells_systemd_apart_what_is_wrong(agent: Agent) -> None:
    wrong = agent.folder / "wrong.yaml"
    wrong.write_text("endpoint: [")
    assert run_command("rotate", "--check", "--config", str(wrong)).status == 255
    failed = run_command("rotate", "--json", "--config", str(wrong))
    assert failed.status == 78
    assert {"code", "step", "title", "remedy"} <= set(failed.error)
    assert rotate(agent, "--check", "--json").answer["due"] is False
    (agent.credentials / "current" / "certificate.pem.crt").write_text("torn")
    assert rotate(agent, "--check").status == 255
