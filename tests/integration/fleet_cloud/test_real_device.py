"""What an operator orders with ``fleet-cloud``, carried out by the agent itself: run, by command and job; send."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from iot_sandbox.launch import Sandbox
from support.agent import Agent, Daemon, until
from support.aws import aws_client
from support.companion import FleetCloud, answer
from support.fleets import Claim, Fleet

pytestmark = pytest.mark.slow

NAME = "locks"
NAMED = ("--name", NAME)
LIMIT = 60.0  # seconds
SCRIPT = """\
case "$1" in
  fail) echo "it is stuck" >&2; exit 4 ;;
  slow) sleep 3 ;;
esac
for one; do echo "<$one>"; done
"""


@dataclass
class Lock:
    """A device that runs, and its thing."""

    daemon: Daemon
    thing: str
    took: Path

    def text(self) -> str:
        """What the program of the topic ``put`` was given."""
        return self.took.read_text() if self.took.exists() else ""


@pytest.fixture(scope="module")
def lock(
    fleet_cloud: FleetCloud, sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Lock]:
    folder = tmp_path_factory.mktemp("lock")
    fleet_cloud("up", "--jobs", "--commands", "--no-hook", *NAMED)
    claim_words = ("claim", "new", *NAMED, "--out", folder / "claim", "--no-config", "--json")
    made = answer(fleet_cloud(*claim_words))
    files = Path(made["certificate_file"]), Path(made["private_key_file"])
    claim = Claim(made["certificate_id"], *files)
    agent = Agent(Fleet(sandbox, NAME, NAME, f"{NAME}-device", f"{NAME}-claim", claim), folder)
    assert agent.provision().status == 0
    took = folder / "took"
    config = agent.configuration(
        folder / "config.yaml",
        handlers={
            "say": {"exec": {"argv": ["sh", "-c", SCRIPT, "say"], "timeout": "10s"}},
            "put": {"exec": {"argv": ["sh", "-c", f"cat >>{took}; echo put"]}},
            "hang": {"exec": {"argv": ["sleep", "60"], "timeout": "2s"}},
        },
        jobs={"enabled": True, "operations": {"say": "say", "hang": "hang"}},
        commands={"enabled": True, "operations": {"say": "say", "hang": "hang"}},
        subscriptions=[{"topic": "cmd/{thing}/put", "handler": "put"}],
        direct_messages={"handler": "put"},
        telemetry={"sources": []},
    )
    iot = aws_client(sandbox, "iot")
    with agent.running(config=config) as daemon:
        daemon.wait_for_line("subscribed to")
        yield Lock(daemon, agent.thing_name, took)
        # Of the handlers some were asked to fail.
        assert {problem["code"] for problem in daemon.shown()["problems"]} <= {"handler-failed"}
        assert daemon.end() == 0
    # Others look at the account's jobs, too.
    for job in iot.list_jobs()["jobs"]:
        if job["jobId"].startswith(f"{NAME}-"):
            iot.delete_job(jobId=job["jobId"], force=True)


def ordered(fleet_cloud: FleetCloud, *words: str, status: int = 0) -> tuple[str, dict[str, str]]:
    """What ``run`` tells of the one device."""
    (device,) = answer(fleet_cloud("run", *NAMED, "--json", *words, status=status))["devices"]
    return device["status"], device["said"]


@pytest.mark.parametrize("how", ["--command", "--job"])
def test_an_order_is_carried_out_with_its_arguments(
    fleet_cloud: FleetCloud, lock: Lock, how: str
) -> None:
    arguments = ("today", "two words", "--", "-n", "ü, $HOME")
    status, said = ordered(fleet_cloud, how, lock.thing, "say", *arguments)
    assert status == "SUCCEEDED", said
    shown = ["<today>", "<two words>", "<-n>", "<ü, $HOME>"]
    assert said["stdout"].replace(" | ", "\n").splitlines() == shown
    assert said["exit" if how == "--command" else "exit-status"] == "0"
    assert said.get("code") == ("EXIT_0" if how == "--command" else None)
    # And without any, which for a command is asked for by its id first.
    assert ordered(fleet_cloud, how, lock.thing, "say")[0] == "SUCCEEDED"


@pytest.mark.parametrize("how", ["--command", "--job"])
def test_what_goes_wrong_on_the_device_is_told(
    fleet_cloud: FleetCloud, lock: Lock, how: str
) -> None:
    status, said = ordered(fleet_cloud, how, lock.thing, "say", "fail", status=1)
    assert status == "FAILED"
    assert "it is stuck" in said["reason"] + said.get("stderr", "")
    assert "4" in said.get("exit", "") + said.get("exit-status", "")
    status, said = ordered(fleet_cloud, how, lock.thing, "dance", status=1)
    assert status == "REJECTED"
    assert "dance" in said["reason"]
    status, said = ordered(fleet_cloud, how, lock.thing, "hang", status=1)
    assert status == ("TIMED_OUT" if how == "--command" else "FAILED"), said
    assert "2 s" in said["reason"], said


def test_a_slow_one_is_followed_and_shown_with_the_device(
    fleet_cloud: FleetCloud, lock: Lock
) -> None:
    done = fleet_cloud("run", lock.thing, "say", "slow", *NAMED)
    assert f"{lock.thing}: in progress" in done.stdout + done.stderr
    assert f"{lock.thing}: succeeded" in done.stdout
    shown = answer(fleet_cloud("devices", "show", lock.thing, "--json"))
    assert {"SUCCEEDED"} <= {order["status"] for order in shown["orders"]}
    assert shown["connection"]["connected"] is True


@pytest.mark.parametrize("topic", ["put", "unasked"])
def test_a_message_is_delivered_and_answered(
    fleet_cloud: FleetCloud, lock: Lock, topic: str
) -> None:
    send = ("send", lock.thing, f"cmd/{lock.thing}/{topic}")
    found = answer(fleet_cloud(*send, "one;", "--wait", "--json"))
    assert found["delivered"] is True
    until(lambda: lock.text().endswith("one;"), "handled", LIMIT)
    answered: Any = answer(fleet_cloud(*send, "two;", "--answer", "--json"))
    assert (answered["delivered"], answered["answer"]["status"]) == (True, 0)
    assert answered["answer"]["stdout"] == "put\n"
    assert lock.text().endswith("one;two;")
