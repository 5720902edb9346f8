"""``fleet-agent run``: provisions, goes on without the claim, carries readings up and orders down, ends cleanly."""

import itertools
import json
import os
import shlex
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from iot_sandbox.client import FaultClient
from support.agent import COMMAND, Agent, run_command, until
from support.claimant import Provisioned
from support.descriptors import opened
from support.fleets import Claim, Fleet, make_fleet, make_unbound
from support.mqtt import Device, connected

READING = {"time", "uptime_s", "load_1m", "memory_total_bytes", "memory_available_bytes"}


@pytest.fixture
def agent(fleet: Fleet, tmp_path: Path) -> Agent:
    return Agent(fleet, tmp_path)


@pytest.fixture
def provisioned(agent: Agent) -> Agent:
    done = agent.provision()
    assert done.status == 0, done.stderr
    return agent


@pytest.fixture(scope="session")
def watcher(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Claim:
    """A certificate that may do anything: an application in the cloud."""
    return make_unbound(fleet.sandbox, tmp_path_factory.mktemp("watcher"))


@contextmanager
def watching(agent: Agent, watcher: Claim, topic_filter: str) -> Iterator[Device]:
    """An application subscribed to what the device publishes."""
    client_id = f"watcher-{agent.serial}-{os.getpid()}"
    with connected(agent.fleet.sandbox, watcher, client_id) as application:
        assert application.subscribe(topic_filter) == [1]
        yield application


def every_second(agent: Agent, **sections: object) -> Path:
    """A configuration with a reading a second."""
    telemetry = {"sources": [{"system": {"interval": "1s"}}]}
    return agent.configuration(
        agent.folder / "config.yaml",
        **{"telemetry": telemetry, "subscriptions": [{"topic": "cmd/{thing}/#"}], **sections},
    )


# One process ----------------------------------------------------------------------------------------------------------


def launchers(folder: Path) -> dict[str, list[str]]:
    """The ways in which people and packages start the command."""
    packaged = folder / "packaged"
    script = "import sys\nfrom fleet_agent.__main__ import main\nsys.exit(main())\n"
    packaged.write_text(f"#!{sys.executable} -I\n{script}")
    packaged.chmod(0o755)
    return {
        "console script": [str(COMMAND)],
        "python -m": [sys.executable, "-m", "fleet_agent"],
        "packaged launcher": [str(packaged)],
        "by PATH": ["env", f"PATH={COMMAND.parent}:{os.environ['PATH']}", COMMAND.name],
    }


@pytest.mark.parametrize("way", ["console script", "python -m", "packaged launcher", "by PATH"])
def test_the_session_that_proved_the_credential_stays(
    agent: Agent, tmp_path: Path, way: str
) -> None:
    with agent.running(command=launchers(tmp_path)[way]) as daemon:
        daemon.wait_connected()
        assert daemon.log.count("connected to") == 1
        assert "connection ended" not in daemon.log
        assert "restarted in place" not in daemon.log
        assert daemon.shown()["pid"] == daemon.pid
        status = agent.status()
        assert status.status == 0, status.stdout
        held = agent.provision("--force")
        assert held.status == 75
        assert f"process {daemon.pid}" in held.error["title"]
        assert daemon.end() == 0


def test_what_needs_cryptography_never_enters_the_daemon(agent: Agent) -> None:
    with agent.running() as daemon:
        daemon.wait_connected()
        mapped = Path(f"/proc/{daemon.pid}/maps").read_text()
        assert "awscrt" in mapped  # else the search would prove nothing
        assert "cryptography" not in mapped
        assert "yaml" not in mapped
        until(lambda: not children_of(daemon.pid), "the worker to end")


def children_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def test_lock_is_not_inherited_by_children(agent: Agent, tmp_path: Path) -> None:
    shown = tmp_path / "descriptors"
    script = tmp_path / "serial"
    script.write_text(
        f"#!/bin/sh\nls -l /proc/self/fd > {shlex.quote(str(shown))}\necho {agent.serial}\n"
    )
    script.chmod(0o755)
    provisioning = {
        "template": agent.fleet.template,
        "parameters": {"SerialNumber": {"command": [str(script)]}},
    }
    config = every_second(agent, provisioning=provisioning)
    with agent.running(config=config) as daemon:
        daemon.wait_connected()
        assert str(agent.state_dir / "lock") not in shown.read_text()
        assert opened(daemon.pid).count(str(agent.state_dir / "lock")) == 1


# Telemetry ------------------------------------------------------------------------------------------------------------


def test_readings_come_at_their_interval(provisioned: Agent, watcher: Claim) -> None:
    topic = f"dt/{provisioned.thing_name}/system"
    with (
        watching(provisioned, watcher, f"dt/{provisioned.thing_name}/#") as application,
        provisioned.running(config=every_second(provisioned)),
    ):
        arrived = []
        for _ in range(4):
            where, reading = application.receive()
            arrived.append(time.monotonic())
            assert where == topic
            assert set(reading) >= READING
        gaps = [later - before for before, later in itertools.pairwise(arrived[1:])]
        assert all(0.5 < gap < 2.5 for gap in gaps), gaps


def test_topic_is_the_configured_one(provisioned: Agent, watcher: Claim) -> None:
    telemetry = {"topic": "dt/{thing}/a/{certificate_id}/{source}"}
    config = every_second(provisioned, telemetry=telemetry)
    with (
        watching(provisioned, watcher, f"dt/{provisioned.thing_name}/#") as application,
        provisioned.running(config=config),
    ):
        where, _ = application.receive()
    expected = f"dt/{provisioned.thing_name}/a/{provisioned.current_id()}/system"
    assert where == expected


def test_message_from_the_cloud_is_logged(provisioned: Agent, watcher: Claim) -> None:
    topic = f"cmd/{provisioned.thing_name}/restart"
    with (
        provisioned.running(config=every_second(provisioned)) as daemon,
        watching(provisioned, watcher, "nothing") as application,
    ):
        daemon.wait_for_line("subscribed to")
        assert application.publish(topic, b'{"now": true}\x1b[31m\n') == 0
        line = daemon.wait_for_line(f"message on {topic}")
        assert '{"now": true}' in line
        assert "\x1b" not in line


def test_counts_are_shown_soon_and_of_a_message_nothing_more_where_configured(
    provisioned: Agent, watcher: Claim
) -> None:
    config = every_second(provisioned, subscriptions=[{"topic": "cmd/{thing}/#", "log": False}])
    with (
        provisioned.running(config=config) as daemon,
        watching(provisioned, watcher, "nothing") as application,
    ):
        daemon.wait_for_line("subscribed to")
        assert application.publish(f"cmd/{provisioned.thing_name}/x", b"between us") == 0

        def is_counted() -> bool:
            shown = daemon.shown()
            return bool(shown["messages_received"] == 1 and shown["readings_acknowledged"] >= 2)

        until(is_counted, "a message and two readings shown", 15)
        assert daemon.shown()["readings_dropped"] == 0
        assert "between us" not in daemon.log


def test_identity_for_other_programs(provisioned: Agent) -> None:
    with provisioned.running() as daemon:
        daemon.wait_connected()
        path = provisioned.state_dir / "run" / "identity.json"
        identity = json.loads(path.read_text())
        assert path.stat().st_mode & 0o777 == 0o644
    assert identity["thing_name"] == provisioned.thing_name
    assert identity["certificate_id"] == provisioned.current_id()
    assert identity["device_configuration"] == {"Location": "unknown"}


# Trouble --------------------------------------------------------------------------------------------------------------


def test_connects_again_after_the_cloud_dropped_the_connection(
    provisioned: Agent, faults: FaultClient, watcher: Claim
) -> None:
    with (
        watching(provisioned, watcher, f"dt/{provisioned.thing_name}/#") as application,
        provisioned.running(config=every_second(provisioned)) as daemon,
    ):
        daemon.wait_connected()
        application.receive()
        faults.add("publish", "close-before", client_id=provisioned.thing_name)
        daemon.wait_for_line("connection ended")
        until(lambda: daemon.log.count("connected to") == 2, "connected again", 10)
        application.receive()
        until(lambda: daemon.log.count("subscribed to") == 2, "subscribed again")
        assert daemon.end() == 0


def test_another_client_with_the_same_identity(provisioned: Agent) -> None:
    current = provisioned.credentials / "current"
    files = current / "certificate.pem.crt", current / "private.pem.key"
    twin = Provisioned(provisioned.thing_name, provisioned.current_id() or "", *files)
    with provisioned.running() as daemon:
        daemon.wait_connected()
        with connected(provisioned.fleet.sandbox, twin, twin.thing_name):
            problem = daemon.wait_for_problem("maybe-cloned")
            assert provisioned.thing_name in problem["title"]
            assert "fleet-agent reset" in problem["remedy"]


@pytest.mark.parametrize(
    ("without", "code", "statement"),
    [
        # Half a minute: a refused topic is left alone for so long.
        pytest.param(
            *("publish", "publish-refused", "iot:Publish on topic/dt/{thing}/system"),
            marks=pytest.mark.slow,
        ),
        ("subscribe", "subscribe-refused", "iot:Subscribe on topicfilter/cmd/{thing}/#"),
    ],
)
def test_device_policy_without_a_statement(
    provisioned: Agent, without: str, code: str, statement: str
) -> None:
    fleet = provisioned.fleet
    narrow = make_fleet(fleet.sandbox, provisioned.folder / "narrow", device_without=[without])
    target = fleet.iot.describe_certificate(certificateId=provisioned.current_id())
    arn = target["certificateDescription"]["certificateArn"]
    fleet.iot.detach_policy(policyName=fleet.device_policy, target=arn)
    fleet.iot.attach_policy(policyName=narrow.device_policy, target=arn)
    with provisioned.running(config=every_second(provisioned)) as daemon:
        problem = daemon.wait_for_problem(code)
        assert statement.replace("{thing}", provisioned.thing_name) in problem["title"]
        assert '"Effect": "Allow"' in problem["remedy"]
        assert provisioned.status().status == 1
        fleet.iot.attach_policy(policyName=fleet.device_policy, target=arn)
        if without == "publish":
            until(lambda: provisioned.status().status == 0, "healed", 30)
        assert daemon.end() == 0


def test_cloud_that_is_not_there(provisioned: Agent, faults: FaultClient) -> None:
    faults.add("connect", "close-before", calls="every", client_id=provisioned.thing_name)
    with provisioned.running() as daemon:
        problem = daemon.wait_for_problem("offline")
        assert "closes the connection" in problem["title"]
        began = time.monotonic()
        assert daemon.end() == 0
        assert time.monotonic() - began < 2


@pytest.mark.parametrize("change", [{"port": 1}, {"endpoint": "nowhere.invalid"}])
def test_sigterm_before_anything_answered(agent: Agent, change: dict[str, Any]) -> None:
    with agent.running(**change) as daemon:
        daemon.wait_for_line("Trying again")
        began = time.monotonic()
        assert daemon.end() == 0
        assert time.monotonic() - began < 2


def test_sigterm_while_a_handshake_hangs(provisioned: Agent) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        provisioned.running(port=silent.getsockname()[1]) as daemon,
    ):
        peer, _ = silent.accept()
        with peer:
            began = time.monotonic()
            assert daemon.end() == 0
            assert time.monotonic() - began < 2


def test_wrong_configuration_ends_it_with_every_error(agent: Agent) -> None:
    config = every_second(agent, telemtry={}, port=99999)
    done = run_command("run", "--json", "--config", config)
    assert done.status == 78
    assert len(done.error["problems"]) == 2
    assert "telemetry" in done.stderr  # what was meant


# The end --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_it_with_a_real_disconnect(
    provisioned: Agent, watcher: Claim, number: int
) -> None:
    presence = f"$aws/events/presence/disconnected/{provisioned.thing_name}"
    with (
        watching(provisioned, watcher, presence) as application,
        provisioned.running() as daemon,
    ):
        daemon.wait_connected()
        began = time.monotonic()
        assert daemon.end(number) == 0
        assert time.monotonic() - began < 3
        _, event = application.receive()
    assert event["disconnectReason"] == "CLIENT_INITIATED_DISCONNECT"
    assert provisioned.status().status == 3
    assert "Traceback" not in daemon.log


def test_kill_is_no_clean_end_and_hurts_nothing(provisioned: Agent, watcher: Claim) -> None:
    presence = f"$aws/events/presence/disconnected/{provisioned.thing_name}"
    with (
        watching(provisioned, watcher, presence) as application,
        provisioned.running() as daemon,
    ):
        daemon.wait_connected()
        daemon.end(signal.SIGKILL)
        _, event = application.receive()
    assert event["disconnectReason"] == "CONNECTION_LOST"  # so the test above can fail
    assert provisioned.status().status == 3
    with provisioned.running() as daemon:
        daemon.wait_connected()


# systemd --------------------------------------------------------------------------------------------------------------


class Manager:
    """The service manager's end of the notification socket."""

    def __init__(self, folder: str) -> None:
        self.path = f"{folder}/notify"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.settimeout(20)
        self.heard: list[str] = []

    def wait_for(self, message: str) -> str:
        """Waits for a message that begins so."""
        while True:
            found = self.socket.recv(65536).decode()
            self.heard.append(found)
            if found.startswith(message):
                return found


@pytest.fixture
def manager() -> Iterator[Manager]:
    with tempfile.TemporaryDirectory() as folder:  # short: a socket's path has 108 bytes
        found = Manager(folder)
        yield found
        found.socket.close()


def test_service_manager_is_told(agent: Agent, manager: Manager) -> None:
    env = {"NOTIFY_SOCKET": manager.path, "WATCHDOG_USEC": "1000000"}
    with agent.running(env=env) as daemon:
        manager.wait_for("READY=1")
        manager.wait_for("STATUS=provisioning")
        manager.wait_for(f"STATUS=connected as {agent.thing_name}")
        for _ in range(3):
            manager.wait_for("WATCHDOG=1")
        daemon.end()
        manager.wait_for("STOPPING=1")


def test_service_manager_hears_of_a_problem_and_life_goes_on(
    provisioned: Agent, manager: Manager
) -> None:
    env = {"NOTIFY_SOCKET": manager.path, "WATCHDOG_USEC": "1000000"}
    with provisioned.running(env=env, telemetry_topic="not/ours"):
        reported = manager.wait_for("STATUS=connected as")
        while "iot:Publish on topic/not/ours" not in reported:
            reported = manager.wait_for("STATUS=")
        manager.wait_for("WATCHDOG=1")


def test_watchdog_is_fed_while_provisioning_waits(
    agent: Agent, manager: Manager, faults: FaultClient
) -> None:
    faults.add("create-from-csr", "lose-answer")
    env = {"NOTIFY_SOCKET": manager.path, "WATCHDOG_USEC": "600000"}
    with agent.running(env=env):
        manager.wait_for("READY=1")
        until(faults.certificates, "the request")
        for _ in range(4):
            manager.wait_for("WATCHDOG=1")
