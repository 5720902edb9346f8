"""AWS IoT Commands as an operator gives them, with the real ``aws``, to the installed agent; and direct messages."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from support.agent import Agent, run_command, until
from support.aws import aws_client
from support.consoles import LIMIT, Console


@pytest.fixture
def agent(taking_orders: Agent) -> Agent:
    return taking_orders


def configured(agent: Agent, commands: dict[str, Any], **handlers: Any) -> Path:
    return agent.configuration(
        agent.folder / "config.yaml",
        handlers={name: {"exec": kind} for name, kind in handlers.items()},
        commands={"enabled": True} | commands,
        telemetry={"sources": []},
    )


def test_a_command_from_the_cli_to_the_device_and_back(agent: Agent, console: Console) -> None:
    config = configured(
        agent,
        {"operations": {"greet": "greet"}, "handler": "rest"},
        greet={"argv": ["sh", "-c", 'echo "hello $1"; exit "$2"', "greet"]},
        rest={"argv": ["sh", "-c", 'echo "$FLEET_AGENT_CONTENT_TYPE"; od -An -tx1']},
    )
    with agent.running(config=config) as daemon:
        daemon.wait_for_line("subscribed to")
        payload = {"operation": "greet", "arguments": ["world", "0"]}
        reported = console.finished(console.start_by_cli(console.command_by_cli("greet", payload)))
        assert reported["status"] == "SUCCEEDED"
        assert reported["statusReason"] == {"reasonCode": "EXIT_0"}
        assert reported["result"] == {"exit": {"S": "0"}, "stdout": {"S": "hello world"}}

        failing = console.command(b'{"operation": "greet", "arguments": ["you", "3"]}')
        reported = console.finished(console.start(failing))
        assert (reported["status"], reported["statusReason"]) == (
            "FAILED",
            {"reasonCode": "EXIT_3", "reasonDescription": "sh ended with exit status 3"},
        )
        for content, kind in ((b"\xa1ahbhi", "application/cbor"), (b"\x00\xff", "image/x")):
            reported = console.finished(console.start(console.command(content, kind)))
            shown = reported["result"]["stdout"]["S"].split()
            assert shown == [kind, *(f"{byte:02x}" for byte in content)]
        assert daemon.end() == 0


def test_a_slow_one_is_in_progress_and_a_kill_neither_loses_nor_repeats_it(
    agent: Agent, console: Console
) -> None:
    log, go = agent.folder / "log", agent.folder / "go"
    script = f"echo $$ >>{log}; while ! test -e {go}; do sleep 0.1; done"
    config = configured(
        agent, {"operations": {"slow": "slow"}}, slow={"argv": ["sh", "-c", script]}
    )
    slow = console.command(b'{"operation": "slow"}')
    with agent.running(config=config) as daemon:
        daemon.wait_for_line("subscribed to")
        first = console.start(slow)
        until(lambda: console.reported(first)["status"] == "IN_PROGRESS", "in progress", LIMIT)
        second = console.start(slow)
        until(lambda: console.reported(second)["status"] == "IN_PROGRESS", "it waits", LIMIT)
        unknown = console.finished(console.start(console.command(b"{}")))
        assert (unknown["status"], unknown["statusReason"]["reasonCode"]) == (
            "REJECTED",
            "NOT-UNDERSTOOD",
        )
        daemon.end(signal.SIGKILL)
    os.kill(int(log.read_text()), signal.SIGKILL)
    go.touch()
    with agent.running(config=config) as daemon:
        reported = console.finished(first)
        assert (reported["status"], reported["statusReason"]["reasonCode"]) == (
            "FAILED",
            "STOPPED",
        )
        assert console.finished(second)["status"] == "SUCCEEDED"
        assert daemon.end() == 0
    assert log.read_text().count("\n") == 2


def test_direct_messages_are_counted_and_acknowledged_and_may_have_a_handler(
    agent: Agent,
) -> None:
    log = agent.folder / "log"
    topic = f"direct/{agent.thing_name}/x"
    data = aws_client(agent.fleet.sandbox, "iot-data")
    wanted = {"clientId": agent.thing_name, "topic": topic, "confirmation": True}
    plain = agent.configuration(agent.folder / "plain.yaml", telemetry={"sources": []})
    with agent.running(config=plain) as daemon:
        daemon.wait_connected()
        for _ in range(3):
            data.send_direct_message(**wanted, payload=b"one")
        until(lambda: daemon.shown()["messages_unmatched"] == 3, "counted", LIMIT)
        assert daemon.log.count("a message that no subscription matches") == 1
        shown = run_command("status", "--config", str(plain))
        assert "3 matched no subscription" in shown.stdout
        assert daemon.end() == 0
    config = agent.configuration(
        agent.folder / "config.yaml",
        handlers={"log": {"exec": {"argv": ["sh", "-c", f"cat >>{log}"]}}},
        direct_messages={"handler": "log"},
        telemetry={"sources": []},
    )
    with agent.running(config=config) as daemon:
        daemon.wait_connected()
        data.send_direct_message(**wanted, payload=b"two")
        until(lambda: log.exists() and log.read_text() == "two", "handled", LIMIT)
        assert daemon.end() == 0
