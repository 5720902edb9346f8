"""Every kind of source, from the configuration in the documentation to an application in the cloud."""

import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.agent import Agent, Daemon, run_command, until
from support.fleets import Fleet, make_unbound
from support.mqtt import Device, connected

HOW_TO = "docs/how-to/send-readings.md"
OTHER = 54321  # a user that is not there


@pytest.fixture
def agent(fleet: Fleet, tmp_path: Path) -> Agent:
    agent = Agent(fleet, tmp_path)
    done = agent.provision()
    assert done.status == 0, done.stderr
    return agent


@pytest.fixture(scope="module")
def application(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    """Somebody in the cloud who hears all readings."""
    identity = make_unbound(fleet.sandbox, tmp_path_factory.mktemp("listener"))
    with connected(fleet.sandbox, identity, f"listener-{os.getpid()}") as device:
        assert device.subscribe("dt/#") == [1]
        yield device


def heard(application: Device, topic: str) -> Any:
    """The next reading on this topic; one that came alone, or the first of several."""
    while True:
        found, payload = application.receive()
        if found == topic:
            return payload[0] if isinstance(payload, list) else payload


def settings(agent: Agent, *sources: dict[str, Any]) -> Path:
    return agent.configuration(
        agent.folder / "config.yaml",
        telemetry={"sources": list(sources), "topic": "dt/{thing}/{source}"},
        runtime_dir=str(agent.folder / "run"),
    )


def listening(daemon: Daemon) -> Path:
    path = daemon.agent.folder / "run" / "telemetry.sock"
    until(path.is_socket, "the socket")
    return path


def test_every_source_reaches_the_cloud(agent: Agent, application: Device) -> None:
    log = agent.folder / "sensors.jsonl"
    config = settings(
        agent,
        {"system": {"interval": "1s", "name": "board"}},
        {"command": {"name": "meter", "argv": ["echo", '{"kwh": 2}'], "interval": "1s"}},
        {"file": {"name": "sensors", "path": str(log)}},
        {"socket": {}},
    )
    log.write_text('{"line": 1}\n')
    topic = f"dt/{agent.thing_name}"
    with agent.running(config=config) as daemon:
        listening(daemon)
        assert heard(application, f"{topic}/board")["uptime_s"] > 0
        assert heard(application, f"{topic}/meter") == {"kwh": 2}
        sent = run_command(
            "publish", "dt/{thing}/door", '{"open": true}', "--wait", "--json", "--config", config
        )
        assert sent.status == 0, sent.stderr
        assert sent.answer == {"schema": 1, "stored": True, "acknowledged": True}
        assert heard(application, f"{topic}/door") == {"open": True}
        refused = run_command("publish", "other/topic", "1", "--config", config)
        assert refused.status == 77
        status = json.loads((agent.folder / "run" / "status.json").read_text())
        assert status["problems"] == []
        assert daemon.end() == 0
    assert not (agent.folder / "run" / "telemetry.sock").exists()
    assert run_command("publish", "1", "--config", config).status == 69


def test_the_file_goes_on_after_a_restart(agent: Agent, application: Device) -> None:
    log = agent.folder / "sensors.jsonl"
    config = settings(agent, {"file": {"name": "sensors", "path": str(log), "format": "json"}})
    topic = f"dt/{agent.thing_name}/sensors"
    log.write_text('{"line": 1}\n')
    with agent.running(config=config) as daemon:
        assert heard(application, topic) == {"line": 1}
        assert daemon.end() == 0
    with log.open("a") as file:
        file.write('{"line": 2}\n')
    with agent.running(config=config):
        assert heard(application, topic) == {"line": 2}


def test_the_examples_of_the_how_to(agent: Agent, application: Device, root_dir: Path) -> None:
    text = (root_dir / HOW_TO).read_text()
    (python,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len([line for line in python.splitlines() if line]) == 5
    shell = next(block for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL))
    config = settings(agent, {"socket": {}})
    topic = f"dt/{agent.thing_name}"
    (agent.folder / "read-meter").write_text("#!/bin/sh\necho '{\"kwh\": 7}'\n")
    (agent.folder / "read-meter").chmod(0o755)
    (agent.folder / "report.json").write_text('{"report": 1}')
    with agent.running(config=config) as daemon:
        path = listening(daemon)
        ours = python.replace("/run/fleet-agent/telemetry.sock", str(path))
        done = subprocess.run(
            [sys.executable, "-c", ours], capture_output=True, text=True, check=True
        )
        assert done.stdout == "b'{\"ok\": true}'\n"
        assert heard(application, f"{topic}/meter") == {"kwh": 1.5}
        once = shell.replace("while sleep 60", "for once in 1")
        paths = (agent.folder, Path(sys.executable).parent, os.environ["PATH"])
        subprocess.run(
            ["sh", "-euc", once],
            check=True,
            cwd=agent.folder,
            env={
                **os.environ,
                "PATH": ":".join(map(str, paths)),
                "FLEET_AGENT_CONFIG": str(config),
            },
        )
        assert heard(application, f"{topic}/meter") == {"kwh": 7}
        assert heard(application, f"{topic}/socket") == {"door": "open"}
        assert heard(application, f"{topic}/socket") == {"report": 1}


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes other users")
def test_other_users_send_what_the_list_allows(agent: Agent) -> None:
    config = settings(
        agent,
        {
            "socket": {
                "group": str(OTHER),
                "allow": [{"user": str(OTHER), "topics": ["dt/{thing}/meter"]}],
            }
        },
    )
    under = ("setpriv", f"--reuid={OTHER}", "--clear-groups", f"--regid={OTHER}")
    runtime_dir = agent.folder / "run"
    agent.folder.chmod(0o755)
    for parent in agent.folder.parents:  # so that others may come as far as the socket
        if parent != Path("/") and not stat.S_IMODE(parent.stat().st_mode) & 0o001:
            parent.chmod(0o711)
    with agent.running(config=config) as daemon:
        path = listening(daemon)
        until(lambda: path.stat().st_gid == OTHER, "the group")
        words = ("--runtime-dir", runtime_dir)
        if run_command("--version", under=under).status != 0:
            pytest.skip("nobody else may run the command from here")
        sent = run_command("publish", "dt/{thing}/meter", "1", *words, under=under)
        assert sent.status == 0, sent.stderr
        assert run_command("publish", "dt/{thing}/x", "1", *words, under=under).status == 77
        assert run_command("publish", "dt/{thing}/meter", "1", *words).status == 77  # root
        stranger = ("setpriv", "--reuid=54322", "--clear-groups", "--regid=54322")
        refused = run_command("publish", "1", *words, under=stranger)
        assert refused.status == 77
        assert "may not open" in refused.stderr
