"""``doctor --online`` against the sandbox: each fault is found and named, and the statement that it prints heals it."""

import json
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from fleet_agent.doctor import network
from fleet_agent.doctor.finding import Level
from iot_sandbox.launch import Sandbox
from support.agent import Agent
from support.fleets import Fleet, make_fleet
from support.seeded_online import CLOUD, COMMANDS, WAY, InTheCloud, OnTheWay, doctor, lose


@pytest.mark.parametrize("seeded", WAY, ids=lambda seeded: seeded.fault.title)
def test_a_fault_on_the_way(seeded: OnTheWay, sandbox: Sandbox, tmp_path: Path) -> None:
    with ExitStack() as stack:
        found = list(network.check(seeded.route(sandbox, tmp_path, stack), None, time.time()))
    failed = [each for each in found if each.level is Level.FAILED]
    assert [each.code for each in failed] == [seeded.fault.code]
    assert seeded.fault.names in f"{failed[0].title} {failed[0].where}"
    assert failed[0].remedy


@pytest.mark.slow
@pytest.mark.parametrize("seeded", CLOUD, ids=lambda seeded: seeded.faults[-1].title)
def test_faults_in_the_cloud(seeded: InTheCloud, sandbox: Sandbox, tmp_path: Path) -> None:
    done = seeded.examine(sandbox, tmp_path)
    assert done.status == 1, done.stdout
    failed = [finding for finding in done.answer["findings"] if finding["level"] == "failed"]
    assert len(failed) == len(seeded.faults), json.dumps(failed, indent=1)
    for fault, each in zip(seeded.faults, failed, strict=True):
        assert each["code"] == fault.code
        assert fault.names in f"{each['title']} {each['where']}"
        assert each["remedy"]
        assert (each["statement"] or {}).get("Action", "") == fault.action


@pytest.mark.slow
def test_the_statements_that_it_prints_heal(sandbox: Sandbox, tmp_path: Path) -> None:
    fleet = make_fleet(sandbox, tmp_path / "claim")
    agent = Agent(fleet, tmp_path)
    file = agent.configuration(tmp_path / "config.yaml", subscriptions=COMMANDS)
    lost = ["subscribe register-thing", "publish create-from-csr"]
    lose(agent, claim=lost)
    statements = [
        finding["statement"]
        for finding in doctor(agent, file).answer["findings"]
        if finding["level"] == "failed"
    ]
    assert len(statements) == len(lost)
    left = fleet.iot.get_policy(policyName=fleet.claim_policy)["policyDocument"]
    document = json.loads(left) if isinstance(left, str) else left
    document["Statement"] += statements
    fleet.iot.create_policy_version(
        policyName=fleet.claim_policy, policyDocument=json.dumps(document), setAsDefault=True
    )
    assert doctor(agent, file).status == 0


@pytest.mark.slow
def test_nothing_is_made_and_nobody_thrown_out(fleet: Fleet, tmp_path: Path) -> None:
    agent = Agent(fleet, tmp_path)
    file = agent.configuration(tmp_path / "config.yaml", subscriptions=COMMANDS)
    before = len(fleet.iot.list_certificates(pageSize=250)["certificates"])
    unprovisioned = doctor(agent, file)
    assert unprovisioned.status == 0, unprovisioned.stdout
    assert len(fleet.iot.list_certificates(pageSize=250)["certificates"]) == before
    assert not agent.state_dir.exists()

    assert agent.provision().status == 0
    with agent.running(config=file) as daemon:
        daemon.wait_connected()
        done = doctor(agent, file)
        assert done.status == 0, done.stdout
        assert "device-in-use" in {finding["code"] for finding in done.answer["findings"]}
        daemon.end()
        assert "taken over" not in daemon.log
        assert daemon.log.count("connected to") == 1
    assert len(agent.ledger()) == 1
