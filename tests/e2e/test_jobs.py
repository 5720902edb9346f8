"""AWS IoT Jobs as an operator gives them, with the real ``aws``, to the installed agent."""

import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from iot_sandbox.launch import Sandbox
from support.agent import Agent, run_command, until
from support.consoles import Console
from support.fleets import Fleet, allow_orders, make_fleet

LIMIT = 60.0  # seconds


@pytest.fixture(scope="module")
def ordered(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    fleet = make_fleet(sandbox, tmp_path_factory.mktemp("fleet"))
    allow_orders(fleet)
    return fleet


@pytest.fixture
def agent(ordered: Fleet, tmp_path: Path) -> Agent:
    found = Agent(ordered, tmp_path)
    assert found.provision().status == 0
    return found


def template(name: str, handler: str, *args: str) -> dict[str, Any]:
    """A document as the managed template of that name makes it, the optional parameters left out."""
    values: dict[str, Any] = {"handler": handler, "path": ""} | ({"args": [*args]} if args else {})
    action = {"name": name, "type": "runHandler", "input": values, "runAsUser": ""}
    return {"version": "1.0", "steps": [{"action": action}]}


COMMAND = {
    "version": "1.0",
    "steps": [
        {
            "action": {
                "name": "Run-Command",
                "type": "runCommand",
                "input": {"command": "printf,%s-,one,two\\, three"},
                "runAsUser": "",
            }
        }
    ],
}
# Job → document and what the program is given.
TEMPLATES: dict[str, tuple[dict[str, Any], Sequence[str]]] = {
    "download": (
        template(
            "Download-File", "download-file.sh", "https://x.example/f?X-Amz-Signature=1", "/f"
        ),
        ["https://x.example/f?X-Amz-Signature=1", "/f"],
    ),
    "install": (template("Install-Application", "install-packages.sh", "htop jq"), ["htop jq"]),
    "remove": (template("Remove-Application", "remove-packages.sh", "htop"), ["htop"]),
    "start": (template("Start-Application", "start-services.sh", "nginx ssh"), ["nginx ssh"]),
    "stop": (template("Stop-Application", "stop-services.sh", "nginx"), ["nginx"]),
    "restart": (template("Restart-Application", "restart-services.sh", "nginx"), ["nginx"]),
    "reboot": (template("Reboot", "reboot.sh"), []),
}


def test_every_managed_template_is_carried_out_in_order(agent: Agent) -> None:
    handlers = {
        document["steps"][0]["action"]["input"]["handler"]: name
        for name, (document, _) in TEMPLATES.items()
    }
    config = agent.configuration(
        agent.folder / "config.yaml",
        handlers={
            name: {"exec": {"argv": ["sh", "-c", 'for one; do echo "$one"; done', name]}}
            for name in TEMPLATES
        },
        jobs={"enabled": True, "operations": handlers, "run_command": True},
        telemetry={"sources": []},
    )
    console = Console(agent)
    # They wait: the device is away.
    console.create_by_cli("tpl-command", COMMAND)
    for name, (document, _) in TEMPLATES.items():
        console.create(f"tpl-{name}", document)
    with agent.running(config=config) as daemon:
        status, details = console.ended("tpl-command")
        assert (status, details["stdout"]) == ("SUCCEEDED", "one-two, three-")
        for name, (_, arguments) in TEMPLATES.items():
            status, details = console.ended(f"tpl-{name}")
            assert (status, details["exit-status"]) == ("SUCCEEDED", "0"), details
            assert details.get("stdout", "") == " | ".join(arguments)
        until(lambda: len(daemon.shown()["orders"]) == len(TEMPLATES) + 1, "all in the status")
        orders = daemon.shown()["orders"]
        assert [one["id"] for one in orders][:2] == ["job:tpl-command:1:0", "job:tpl-download:1:0"]
        assert {one["outcome"] for one in orders} == {"done"}
        shown = run_command("status", "--config", str(config))
        assert "done job job:tpl-reboot:1:0 by reboot" in shown.stdout
        assert daemon.end() == 0
    # What a presigned address is signed with is in no log.
    assert "X-Amz-Signature" not in daemon.log


def test_a_job_that_is_canceled_or_killed_is_ended_and_reported(agent: Agent) -> None:
    pids = agent.folder / "pids"
    config = agent.configuration(
        agent.folder / "config.yaml",
        handlers={"slow": {"exec": {"argv": ["sh", "-c", f"echo $$ >>{pids}; exec sleep 60"]}}},
        jobs={"enabled": True, "operations": {"slow": "slow"}},
        telemetry={"sources": []},
    )
    console = Console(agent)

    def running(count: int) -> int:
        until(lambda: pids.exists() and pids.read_text().count("\n") == count, "it runs", LIMIT)
        return int(pids.read_text().split()[-1])

    with agent.running(config=config) as daemon:
        console.create("slow-1", {"operation": "slow"})
        process = running(1)
        assert console.execution("slow-1")["statusDetails"]["detailsMap"] == {
            "step": "1 of 1: slow"
        }
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
            "the agent ended while it was carried out; it is not begun again",
        )
        console.create("other", {"operation": "dance"})
        assert console.ended("other") == (
            "REJECTED",
            {"reason": 'the operation "dance" is not in jobs.operations'},
        )
        assert daemon.end() == 0
    assert pids.read_text().count("\n") == 2


def test_jobs_of_another_program_are_left_and_block_nothing(agent: Agent) -> None:
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
    console = Console(agent)
    console.create("theirs", {"operation": "firmware"})
    console.create("mine-1", {"operation": "mine"})
    with agent.running(config=config) as daemon:
        assert console.ended("mine-1")[0] == "SUCCEEDED"
        console.create("mine-2", {"operation": "mine"})
        assert console.ended("mine-2")[0] == "SUCCEEDED"
        assert daemon.end() == 0
    assert console.execution("theirs")["status"] == "QUEUED"
