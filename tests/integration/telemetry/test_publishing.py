"""Readings over real TLS and MQTT 5: the installed agent at one end, a subscriber at the other."""

import json
import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest
from awscrt import mqtt5

from support.agent import Agent, until
from support.mqtt import Device
from support.operators import Operator

EVERYBODY = {"socket": {"allow": [{"user": "*", "topics": ["#"]}]}}


def configured(agent: Agent, *, more: dict[str, Any] | None = None, **telemetry: Any) -> Path:
    sections = {"telemetry": {"sources": [EVERYBODY], **telemetry}, **(more or {})}
    return agent.configuration(agent.folder / "config.yaml", **sections)


def send(agent: Agent, *payloads: object, topic: str = "", **more: object) -> list[dict[str, Any]]:
    """Sends readings over the socket; their answers."""
    path = agent.state_dir / "run" / "telemetry.sock"
    until(path.exists, "the socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        client.settimeout(30)
        client.connect(str(path))
        for payload in payloads:
            client.send(json.dumps({"topic": topic, "payload": payload, **more}).encode())
        return [json.loads(client.recv(4096)) for _ in payloads]


def arrivals(packet: mqtt5.PublishPacket) -> list[Any]:
    found = json.loads(packet.payload or b"")
    return found if isinstance(found, list) else [found]


def hear(operator: Operator, count: int) -> list[Any]:
    """So many readings, in the order of their arrival."""
    found: list[Any] = []
    while len(found) < count:
        found += arrivals(operator.hear())
    return found


def properties(packet: mqtt5.PublishPacket) -> dict[str, str]:
    return {each.name: each.value for each in packet.user_properties or ()}


@pytest.mark.parametrize("drain", ["oldest-first", "newest-first"])
def test_a_backlog_goes_in_batches_once_aws_is_reachable_again(
    agent: Agent, operator: Operator, drain: str
) -> None:
    operator.subscribe(f"dt/{agent.thing_name}/#")
    batch = {"max_readings": 40}
    down = configured(agent, more={"port": 9}, drain=drain, batch=batch)
    with agent.running(config=down) as daemon:
        assert send(agent, *range(90)) == [{"ok": True}] * 90
        assert send(agent, "late", expires=3600) == [{"ok": True}]
        daemon.wait_for_problem("offline", 40)
        configured(agent, drain=drain, batch=batch)
        daemon.process.send_signal(signal.SIGHUP)
        packets = [operator.hear() for _ in range(4)]
        daemon.wait_for_line("configuration and credential read again")
        assert daemon.end() == 0
        shown = daemon.shown()
        assert (shown["readings_waiting"], shown["problems"]) == (0, [])
    found = [arrivals(packet) for packet in packets]
    if drain == "oldest-first":
        assert found == [list(range(40)), list(range(40, 80)), list(range(80, 90)), ["late"]]
    else:
        assert found == [["late"], list(range(51, 90)), list(range(11, 51)), list(range(11))]
    first = next(packet for packet in packets if 80 in arrivals(packet))
    late = next(packet for packet in packets if "late" in arrivals(packet))
    assert first.content_type == "application/json"
    assert properties(first)["agent"].startswith("fleet-agent/")
    assert properties(first)["count"] == str(len(arrivals(first)))
    assert properties(first)["sequence"] == str(arrivals(first)[0])
    assert first.message_expiry_interval_sec is None
    assert 3000 < (late.message_expiry_interval_sec or 0) <= 3600


def test_a_refused_topic_is_told_and_left_alone_and_the_others_go_on(
    agent: Agent, operator: Operator
) -> None:
    operator.subscribe(f"dt/{agent.thing_name}/#")
    config = configured(agent)
    with agent.running(config=config) as daemon:
        daemon.wait_connected()
        send(agent, 1, 2, 3, topic="not/allowed")
        problem = daemon.wait_for_problem("publish-refused")
        assert "iot:Publish on topic/not/allowed" in problem["title"]
        send(agent, "goes on")
        assert hear(operator, 1) == ["goes on"]
        assert agent.status().status == 1
        configured(agent, when_refused="drop")
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_for_line("configuration and credential read again")
        # They waited until then.
        until(lambda: daemon.shown().get("dropped", {}).get("refused") == 3, "them to be dropped")
        assert daemon.shown()["readings_waiting"] == 0
        assert daemon.end() == 0


def test_a_reload_takes_another_source_and_keeps_the_former_configuration_when_it_is_wrong(
    agent: Agent, operator: Operator
) -> None:
    operator.subscribe(f"dt/{agent.thing_name}/#")
    config = configured(agent)
    with agent.running(config=config) as daemon:
        daemon.wait_connected()
        send(agent, *range(5))
        source = {"command": {"name": "meter", "argv": ["echo", '"read"'], "interval": "1s"}}
        configured(agent, sources=[EVERYBODY, source], topic="dt/{thing}/{source}/v2")
        daemon.process.send_signal(signal.SIGHUP)
        assert hear(operator, 5) == list(range(5))
        packet = operator.hear()
        assert (packet.topic, arrivals(packet)) == (f"dt/{agent.thing_name}/meter/v2", ["read"])
        config.write_text(config.read_text().replace("interval: 1s", "interval: never"))
        daemon.process.send_signal(signal.SIGHUP)
        problem = daemon.wait_for_problem("configuration")
        assert "keeps the previous one" in problem["title"]
        assert "config check" in problem["remedy"]
        while not operator.packets.empty():
            operator.hear()
        assert arrivals(operator.hear()) == ["read"]
        assert daemon.end() == 0


def test_a_reload_while_the_volume_of_the_state_is_gone_ends_nothing(
    agent: Agent, operator: Operator
) -> None:
    operator.subscribe(f"dt/{agent.thing_name}/#")
    away = agent.state_dir.with_name("away")
    config = configured(agent)
    with agent.running(config=config) as daemon:
        daemon.wait_connected()
        agent.state_dir.rename(away)
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_for_line("the agent keeps the previous one. Cannot write in the state")
        assert not agent.state_dir.exists()
        away.rename(agent.state_dir)
        # What it shows outlasts even the loss of where it shows that.
        (agent.state_dir / "run").rename(away)
        daemon.process.send_signal(signal.SIGHUP)
        until((agent.state_dir / "run" / "identity.json").exists, "what was shown")
        send(agent, 1)
        assert hear(operator, 1) == [1]
        assert daemon.end() == 0


def test_stopped_while_aws_is_away_it_sends_after_the_next_start(
    agent: Agent, operator: Operator
) -> None:
    operator.subscribe(f"dt/{agent.thing_name}/#")
    for number, ending in ((0, signal.SIGTERM), (10, signal.SIGKILL)):
        with agent.running(config=configured(agent, more={"port": 9})) as daemon:
            send(agent, *range(number, number + 10))
            assert daemon.end(ending) == (0 if ending == signal.SIGTERM else -ending)
    held = {"max_delay": "1h"}
    with agent.running(config=configured(agent, batch=held)) as daemon:
        daemon.wait_connected()
        assert agent.status().status == 0
        assert daemon.end() == 0  # and what waited for others to share its message goes now
    assert hear(operator, 20) == list(range(20))


def test_birth_death_and_will(agent: Agent, operator: Operator) -> None:
    topic = f"dt/{agent.thing_name}/presence"
    operator.subscribe(topic)
    presence: dict[str, object] = {
        "topic": "dt/{thing}/presence",
        "online": "here",
        "offline": "gone",
    }
    presence["retain"] = False  # the fleet's policy has no iot:RetainPublish
    config = configured(agent, more={"connection": {"presence": presence}})
    with agent.running(config=config) as daemon:
        assert operator.hear().payload == b"here"
        assert daemon.end() == 0
        assert operator.hear().payload == b"gone"
    with agent.running(config=config) as daemon:
        assert operator.hear().payload == b"here"
        daemon.end(signal.SIGKILL)
        assert operator.hear().payload == b"gone"
    assert operator.packets.empty()


def test_another_client_with_this_identity_is_noticed(agent: Agent) -> None:
    metrics = agent.folder / "agent.prom"
    config = configured(agent, prometheus_file=str(metrics))
    with agent.running(config=config) as daemon:
        daemon.wait_connected()
        send(agent, 1)
        until(lambda: "readings_acknowledged_total 1" in metrics.read_text(), "the counters")
        folder = agent.credentials / "current"
        twin = _Files(folder / "certificate.pem.crt", folder / "private.pem.key")
        Device(agent.fleet.sandbox, twin, agent.thing_name).stop()
        problem = daemon.wait_for_problem("maybe-cloned")
        assert agent.thing_name in problem["title"]
        assert daemon.end() == 0


class _Files:
    def __init__(self, certificate: Path, private_key: Path) -> None:
        self.certificate = certificate
        self.private_key = private_key


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small file system")
def test_a_full_disk_is_a_problem_until_it_is_not(agent: Agent, operator: Operator) -> None:
    operator.subscribe(f"dt/{agent.thing_name}/#")
    kept = agent.folder / "kept"
    agent.state_dir.rename(kept)
    agent.state_dir.mkdir(mode=0o700)
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m,mode=700", "none", str(agent.state_dir)]
    if subprocess.run(mount, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        shutil.copytree(kept, agent.state_dir, symlinks=True, dirs_exist_ok=True)
        with agent.running(config=configured(agent)) as daemon:
            daemon.wait_connected()
            assert send(agent, 1) == [{"ok": True}]
            ballast = agent.state_dir / "ballast"
            ballast.write_bytes(b"x" * (13 << 20))
            (answer,) = send(agent, 2)
            assert answer["error"]["code"] == "not-stored"
            assert "the disk is full" in answer["error"]["title"]
            assert "the disk is full" in daemon.wait_for_problem("queue-unusable")["title"]
            ballast.unlink()
            assert send(agent, 3) == [{"ok": True}]
            until(lambda: daemon.shown()["problems"] == [], "the problem to go")
            assert hear(operator, 2) == [1, 3]
            assert daemon.end() == 0
    finally:
        subprocess.run(["umount", "-l", agent.state_dir], check=True)
