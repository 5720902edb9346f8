"""AWS IoT Jobs as an operator gives them, with the real ``aws``, to the installed agent."""

import getpass
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from awscrt import mqtt_request_response
from awsiot import ServiceStreamOptions, iotjobs

from support.agent import Agent, run_command, until
from support.consoles import Console
from support.operators import operating

LIMIT = 60.0  # seconds


@pytest.fixture
def agent(taking_orders: Agent) -> Agent:
    return taking_orders


HANDLERS = "/opt/handlers"
URL = "https://x.example/f?X-Amz-Signature=1"
# AWS's managed template → its parameters, the script that it names, and what the program is given.
TEMPLATES: dict[str, tuple[dict[str, str], str, Sequence[str]]] = {
    "AWS-Download-File": (
        {"downloadUrl": URL, "filePath": "/f"}, "download-file.sh", [URL, "/f"]
    ),
    "AWS-Install-Application": ({"packages": "htop jq"}, "install-packages.sh", ["htop jq"]),
    "AWS-Remove-Application": (
        {"packages": "htop", "runAsUser": getpass.getuser()}, "remove-packages.sh", ["htop"]
    ),
    "AWS-Start-Application": ({"services": "nginx ssh"}, "start-services.sh", ["nginx ssh"]),
    "AWS-Stop-Application": ({"services": "nginx"}, "stop-services.sh", ["nginx"]),
    "AWS-Restart-Application": (
        {"services": "nginx", "pathToHandler": HANDLERS}, f"{HANDLERS}/restart-services.sh", ["nginx"]
    ),
    "AWS-Reboot": ({}, "reboot.sh", []),
}  # fmt: skip


def test_every_managed_template_is_carried_out_in_order(agent: Agent, console: Console) -> None:
    config = agent.configuration(
        agent.folder / "config.yaml",
        handlers={
            name: {"exec": {"argv": ["sh", "-c", 'for one; do echo "$one"; done', name]}}
            for name in TEMPLATES
        },
        jobs={
            "enabled": True,
            "operations": {script: name for name, (_, script, _) in TEMPLATES.items()},
            "run_command": True,
        },
        telemetry={"sources": []},
    )
    # They wait: the device is away.
    command = {"command": r"printf,%s-,one,two\, three"}
    console.create_by_template("tpl-command", "AWS-Run-Command", command)
    for name, (parameters, _, _) in TEMPLATES.items():
        console.create_by_template(f"tpl-{name}", name, parameters)
    other = {"services": "ssh", "runAsUser": "nobody-here"}
    console.create_by_template("tpl-other", "AWS-Start-Application", other)
    with agent.running(config=config) as daemon:
        status, details = console.ended("tpl-command")
        assert (status, details["stdout"]) == ("SUCCEEDED", "one-two, three-")
        for name, (_, _, arguments) in TEMPLATES.items():
            status, details = console.ended(f"tpl-{name}")
            assert (status, details["exit-status"]) == ("SUCCEEDED", "0"), details
            assert details.get("stdout", "") == " | ".join(arguments)
        status, details = console.ended("tpl-other")
        assert status == "REJECTED"
        assert "nobody-here" in details["reason"]
        until(lambda: len(daemon.shown()["orders"]) == len(TEMPLATES) + 1, "all in the status")
        orders = daemon.shown()["orders"]
        ids = [order["id"] for order in orders]
        assert ids[:2] == ["job:tpl-command:1:0", "job:tpl-AWS-Download-File:1:0"]
        assert {order["outcome"] for order in orders} == {"done"}
        shown = run_command("status", "--config", str(config))
        assert "done job tpl-AWS-Reboot:1:0 by AWS-Reboot" in shown.stdout
        assert daemon.end() == 0
    # What a presigned address is signed with is in no log.
    assert "X-Amz-Signature" not in daemon.log


def test_a_job_that_is_canceled_or_killed_is_ended_and_reported(
    agent: Agent, console: Console
) -> None:
    pids = agent.folder / "pids"
    config = agent.configuration(
        agent.folder / "config.yaml",
        handlers={"slow": {"exec": {"argv": ["sh", "-c", f"echo $$ >>{pids}; exec sleep 60"]}}},
        jobs={"enabled": True, "operations": {"slow": "slow"}},
        telemetry={"sources": []},
    )

    def running(count: int) -> int:
        until(lambda: pids.exists() and pids.read_text().count("\n") == count, "it runs", LIMIT)
        return int(pids.read_text().split()[-1])

    with agent.running(config=config) as daemon:
        console.create("slow-1", {"operation": "slow"})
        process = running(1)
        until(lambda: console.details("slow-1") == {"step": "1 of 1: slow"}, "it is told", LIMIT)
        console.cancel("slow-1")
        until(lambda: not Path(f"/proc/{process}").exists(), "it is ended", LIMIT)
        console.create("slow-2", {"operation": "slow"})
        process = running(2)
        daemon.end(signal.SIGKILL)
    os.kill(process, signal.SIGKILL)
    with agent.running(config=config) as daemon:
        status, details = console.ended("slow-2")
        assert (status, details["reason"]) == (
            "FAILED",
            "the agent ended while it was carried out; it is not started again",
        )
        console.create("other", {"operation": "dance"})
        assert console.ended("other") == (
            "REJECTED",
            {"reason": 'the operation "dance" is not in jobs.operations'},
        )
        assert daemon.end() == 0
    assert pids.read_text().count("\n") == 2


def test_jobs_of_another_program_are_left_and_block_nothing(
    agent: Agent, console: Console
) -> None:
    config = agent.configuration(
        agent.folder / "config.yaml",
        handlers={"true": {"exec": {"argv": ["true"]}}},
        jobs={
            "enabled": True,
            "operations": {"mine": "true"},
            "leave": [{"operation": "firmware"}],
        },
        telemetry={"sources": []},
    )
    console.create("theirs", {"operation": "firmware"})
    console.create("mine-1", {"operation": "mine"})
    with agent.running(config=config) as daemon:
        assert console.ended("mine-1")[0] == "SUCCEEDED"
        console.create("mine-2", {"operation": "mine"})
        assert console.ended("mine-2")[0] == "SUCCEEDED"
        assert daemon.end() == 0
    assert console.execution("theirs")["status"] == "QUEUED"


def test_the_sdks_own_client_sees_the_same_states(agent: Agent, console: Console) -> None:
    go = agent.folder / "go"
    config = agent.configuration(
        agent.folder / "config.yaml",
        handlers={
            "wait": {"exec": {"argv": ["sh", "-c", f"while ! test -e {go}; do sleep 0.1; done"]}}
        },
        jobs={"enabled": True, "operations": {"wait": "wait"}},
        telemetry={"sources": []},
    )
    options = mqtt_request_response.ClientOptions(
        max_request_response_subscriptions=4,
        max_streaming_subscriptions=2,
        operation_timeout_in_seconds=20,
    )
    thing = agent.thing_name
    next_jobs: list[str | None] = []

    def changed(event: Any) -> None:
        next_jobs.append(event.execution and f"{event.execution.job_id} {event.execution.status}")

    with operating(agent.fleet, agent.folder / "operator") as operator:
        client = iotjobs.IotJobsClientV2(operator._client, options)
        stream = client.create_next_job_execution_changed_stream(
            iotjobs.NextJobExecutionChangedSubscriptionRequest(thing_name=thing),
            ServiceStreamOptions(incoming_event_listener=changed),
        )
        stream.open()

        def seen(job: str) -> Any:
            wanted = iotjobs.DescribeJobExecutionRequest(thing_name=thing, job_id=job)
            return client.describe_job_execution(wanted).result(LIMIT).execution

        time.sleep(1)  # until it listens
        console.create("seen-1", {"operation": "wait"})
        console.create("seen-2", {"operation": "wait"})
        assert (seen("seen-1").status, seen("seen-1").version_number) == ("QUEUED", 1)
        with agent.running(config=config) as daemon:
            until(lambda: seen("seen-1").status_details, "progress", LIMIT)
            found = seen("seen-1")
            assert (found.status, found.status_details) == (
                "IN_PROGRESS",
                {"step": "1 of 1: wait"},
            )
            assert seen("seen-2").status == "QUEUED"
            go.touch()
            assert console.ended("seen-2")[0] == "SUCCEEDED"
            until(lambda: next_jobs[-1] is None, "no job is next", LIMIT)
            assert daemon.end() == 0
    assert console.execution("seen-1")["status"] == "SUCCEEDED"
    assert [each for each in next_jobs if each] == ["seen-1 QUEUED", "seen-2 QUEUED"]
