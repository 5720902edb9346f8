"""A fleet told to rotate, as its operator does it: the policy, a job, real agents that take it, retirement."""

import json
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from iot_sandbox.launch import Sandbox
from support.agent import Agent, until
from support.aws import aws_client
from support.companion import FleetCloud, answer
from support.fleets import Claim, Fleet

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ACCOUNT = "123456789012"  # the sandbox's
LIMIT = 120.0  # seconds


def make_fleet(fleet_cloud: FleetCloud, sandbox: Sandbox, folder: Path, name: str) -> Fleet:
    out = folder / "claim"
    made = answer(
        fleet_cloud("claim", "new", "--name", name, "--out", out, "--no-config", "--json")
    )
    claim = Claim(
        made["certificate_id"], Path(made["certificate_file"]), Path(made["private_key_file"])
    )
    return Fleet(sandbox, name, name, f"{name}-device", f"{name}-claim", claim)


def allow_rotation(fleet_cloud: FleetCloud, *named: str) -> None:
    """Nothing can be started before, and the next ``up`` leaves it as it is."""
    start = ("rotate", "start", "--fleet", *named)
    assert answer(fleet_cloud(*start, status=1))["error"]["code"] == "rotation-not-allowed"
    fleet_cloud("up", "--rotation", *named)
    assert not answer(fleet_cloud("up", *named))["changed"]
    fleet_cloud("up", "--no-rotation", *named)
    assert answer(fleet_cloud(*start, status=1))["error"]["code"] == "rotation-not-allowed"
    fleet_cloud("up", "--rotation", *named)
    status = answer(fleet_cloud("rotate", "status", *named, status=1))
    assert status["error"]["code"] == "no-rotation"


def test_a_fleet_rotates_by_a_job_and_what_it_replaced_is_retired(
    fleet_cloud: FleetCloud, sandbox: Sandbox, tmp_path: Path
) -> None:
    iot, named = aws_client(sandbox, "iot"), ("--name", "wells", "--json")
    fleet_cloud("up", "--name", "wells")
    fleet = make_fleet(fleet_cloud, sandbox, tmp_path, "wells")
    agents = []
    for number in ("1", "2"):
        (tmp_path / number).mkdir()
        agent = Agent(fleet, tmp_path / number)
        assert agent.provision().status == 0
        agents.append(agent)
    before = {agent.thing_name: str(agent.current_id()) for agent in agents}

    allow_rotation(fleet_cloud, *named)
    start = ("rotate", "start", "--fleet", "--rate", "100/min", *named)
    jobs = iot.list_jobs()["jobs"]
    planned = answer(fleet_cloud(*start, "--dry-run"))
    assert "create-job" in "".join(planned["script"])
    assert iot.list_jobs()["jobs"] == jobs
    started = answer(fleet_cloud(*start))
    assert started["targets"] == [
        f"arn:aws:iot:{sandbox.region}:{ACCOUNT}:thing/{name}" for name in sorted(before)
    ]
    job = iot.describe_job(jobId=started["job"])["job"]
    assert job["jobExecutionsRolloutConfig"] == {"maximumPerMinute": 100}
    announced: Any = answer(fleet_cloud("rotate", "status", *named))
    assert (announced["job"], announced["counts"]) == (started["job"], {"QUEUED": 2})

    with ExitStack() as stack:
        for agent in agents:
            config = agent.configuration(agent.folder / "c.yaml", rotation={"jobs": True})
            daemon = stack.enter_context(agent.running(config=config))
            until(
                lambda agent=agent: agent.current_id() != before[agent.thing_name],  # type: ignore[misc]
                "rotated",
                LIMIT,
            )
            until(lambda daemon=daemon: "is SUCCEEDED" in daemon.log, "reported", LIMIT)  # type: ignore[misc]

        def done() -> bool:
            found: Any = answer(fleet_cloud("rotate", "status", *named))
            return bool(found["counts"] == {"SUCCEEDED": 2})

        until(done, "both succeeded", LIMIT)
        for agent in agents:  # both until somebody retires the one
            assert len(fleet.certificate_ids(agent.thing_name)) == 2
        look = ("rotate", "status", "--retire", *named)
        assert answer(fleet_cloud(*look, status=1))["error"]["code"] == "not-confirmed"
        retired = answer(fleet_cloud(*look, "--yes"))["retired"]
        assert {each["thing"]: each["certificate_id"] for each in retired} == before
        assert all(each["retired"] for each in retired)
        for agent in agents:
            assert fleet.certificate_ids(agent.thing_name) == [agent.current_id()]
            assert fleet.certificate_status(before[agent.thing_name]) is None
        again = answer(fleet_cloud(*look, "--yes"))["retired"]
        assert {each["why"] for each in again} == {"retired already"}


def test_a_rotation_that_fails_is_reported_and_nothing_is_retired(
    fleet_cloud: FleetCloud, sandbox: Sandbox, tmp_path: Path
) -> None:
    iot, named = aws_client(sandbox, "iot"), ("--name", "vents", "--json")
    fleet_cloud("up", "--rotation", "--name", "vents")
    fleet = make_fleet(fleet_cloud, sandbox, tmp_path, "vents")
    agent = Agent(fleet, tmp_path)
    assert agent.provision().status == 0
    before = agent.current_id()
    # Provisioning is taken from the policy, jobs are left.
    document = json.loads(iot.get_policy(policyName="vents-device")["policyDocument"])
    for statement in document["Statement"][1:]:
        statement["Resource"] = [each for each in statement["Resource"] if "create" not in each]
    iot.create_policy_version(
        policyName="vents-device", policyDocument=json.dumps(document), setAsDefault=True
    )
    began = time.monotonic()
    fleet_cloud("rotate", "start", "--thing", agent.thing_name, *named)
    config = agent.configuration(agent.folder / "c.yaml", rotation={"jobs": True})
    with agent.running(config=config) as daemon:

        def failed() -> bool:
            found = iot.list_job_executions_for_thing(thingName=agent.thing_name)
            (one,) = found["executionSummaries"]
            return bool(one["jobExecutionSummary"]["status"] == "FAILED")

        until(failed, f"reported after {time.monotonic() - began:.0f} s", LIMIT)
        until(lambda: daemon.log.count("connected to") == 2, "connected again", LIMIT)
        look = ("rotate", "status", "--retire", "--yes", *named)
        announced = answer(fleet_cloud(*look, status=1))
        (device,) = announced["devices"]
        assert "iot:Subscribe" in device["reason"]
        assert announced["retired"] == []
        assert daemon.log.count("orders: rotate-credential") == 1
    assert agent.current_id() == before
    assert before in fleet.certificate_ids(agent.thing_name)
