"""What one process of the service lives through: first boot, rotation, reloads, good ones and bad ones."""

import json
import os
import re
import signal
import socket
import sys
import time
from pathlib import Path

import pytest

from support.agent import Agent, run_command, until
from support.fleets import Fleet

SOCKET = {"socket": {"allow": [{"user": str(os.getuid()), "topics": ["dt/{thing}/#"]}]}}

# Notes how many threads there are at each fork of this process; programs are started without one.
COUNTING = """
import os, sys
from pathlib import Path
def note(event, _):
    if event in ("os.fork", "os.forkpty"):
        with open({where!r}, "a") as file:
            file.write(f"{{len(os.listdir('/proc/self/task'))}}\\n")
sys.addaudithook(note)
from fleet_agent.__main__ import main
sys.exit(main())
"""


@pytest.fixture
def agent(fleet: Fleet, tmp_path: Path) -> Agent:
    return Agent(fleet, tmp_path)


def configured(agent: Agent, **more: object) -> Path:
    telemetry = {"sources": [{"system": {"interval": "1s"}}, SOCKET]}
    return agent.configuration(
        agent.folder / "one.yaml",
        telemetry=telemetry,
        subscriptions=[{"topic": "cmd/{thing}/#", "log": True}],
        **more,
    )


def ask(path: Path, payload: object) -> dict[str, object]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        client.settimeout(60)
        client.connect(str(path))
        client.send(json.dumps({"payload": payload}).encode())
        answer: dict[str, object] = json.loads(client.recv(1 << 16))
        return answer


def test_it_forks_once_before_any_thread_and_never_again(agent: Agent, tmp_path: Path) -> None:
    noted = tmp_path / "forks"
    script = tmp_path / "counting.py"
    script.write_text(COUNTING.format(where=str(noted)))
    config = configured(agent, rotation={"credential": "claim"})
    with agent.running(config=config, command=[sys.executable, str(script)]) as daemon:
        daemon.wait_connected()
        daemon.process.send_signal(signal.SIGUSR1)
        daemon.wait_for_line("rotated:", 60)
        until(lambda: daemon.log.count("connected to") == 2, "connected with the new one", 60)
        assert noted.read_text() == "1\n"
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_for_line("reloaded:", 60)
        until(lambda: daemon.log.count("connected to") == 3, "connected again", 60)
        # A new image of the process has its own first moment.
        assert noted.read_text() == "1\n1\n"
        assert daemon.end() == 0


def test_a_configuration_that_was_checked_is_neither_parsed_nor_checked(agent: Agent) -> None:
    config = configured(agent)
    timed = [sys.executable, "-X", "importtime", "-m", "fleet_agent"]
    with agent.running(config=config) as daemon:
        daemon.wait_connected()
        assert daemon.end() == 0
    assert run_command("config", "check", "--keep", "--config", str(config)).status == 0
    with agent.running(config=config, command=timed) as daemon:
        daemon.wait_connected()
        # Neither by the daemon nor by its fork, whose streams are the same.
        assert not re.findall(r"\| +(yaml|argparse|fleet_agent.config.load)\n", daemon.log)
        # Anything else, and it is read anew.
        configured(agent, endpoint="no host")
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_for_problem("configuration")
        configured(agent, connection={"keep_alive": "5m"})
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_for_line("reloaded:", 60)
        assert daemon.end() == 0


def test_a_reload_keeps_the_socket_and_the_process(agent: Agent) -> None:
    config = configured(agent)
    with agent.running(config=config) as daemon:
        daemon.wait_connected()
        path = agent.state_dir / "run/telemetry.sock"
        until(path.is_socket, "the socket")
        inode, pid = path.stat().st_ino, daemon.shown()["pid"]
        daemon.process.send_signal(signal.SIGHUP)
        # Asked while there is perhaps no one to answer: the new image does.
        assert ask(path, {"n": 1})["ok"]
        daemon.wait_for_line("reloaded:", 60)
        until(lambda: daemon.log.count("connected to") == 2, "connected again", 60)
        assert (path.stat().st_ino, daemon.shown()["pid"]) == (inode, pid)
        assert ask(path, {"n": 2})["ok"]
        assert daemon.end() == 0
        assert not path.exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"telemetry": {"sources": [{"system": {"interval": "never"}}]}}, "interval"),
        ({"ca_file": "/nonexistent/ca.pem"}, "/nonexistent/ca.pem"),
        ({"state_dir": "/nonexistent/state"}, "cannot change"),
    ],
    ids=["no configuration", "no CA", "another place"],
)
def test_a_configuration_that_would_not_work_is_a_problem_and_nothing_changes(
    agent: Agent, change: dict[str, object], words: str
) -> None:
    config = configured(agent)
    good = config.read_text()
    with agent.running(config=config) as daemon:
        daemon.wait_connected()
        started = daemon.shown()["started"]
        agent.configuration(config, **change)
        daemon.process.send_signal(signal.SIGHUP)
        problem = daemon.wait_for_problem("configuration")
        assert words in problem["title"]
        assert "keeps the previous one" in problem["title"]
        assert daemon.shown()["started"] == started
        config.write_text(good)
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_for_line("reloaded:", 60)
        until(lambda: not daemon.shown()["problems"], "no problem any more", 60)
        assert daemon.end() == 0


@pytest.mark.parametrize("moment", [0.0, 0.05, 0.15, 0.3])
def test_a_stop_is_heard_while_the_process_is_replaced(agent: Agent, moment: float) -> None:
    """It came to a loop that had ended already, or to an image that was gone, and was lost with it."""
    with agent.running(config=configured(agent)) as daemon:
        daemon.wait_connected()
        os.kill(daemon.pid, signal.SIGHUP)
        time.sleep(moment)
        assert daemon.end() == 0
