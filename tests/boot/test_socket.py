"""The socket for readings on a booted device: held by systemd while the agent restarts and its package is upgraded."""

import json
import shutil
import socket
from pathlib import Path

from boot.machine import Machine
from support.agent import until
from support.sender import Sender

EVERYBODY = {"socket": {"allow": [{"user": "*", "topics": ["#"]}]}}
PATH = "run/fleet-agent/telemetry.sock"


def of(device: Machine) -> Path:
    """The socket, from out here."""
    leader = until(device.leader, "the machine's process 1")
    return Path(f"/proc/{leader}/root") / PATH


def test_it_stays_open_over_restarts_and_an_upgrade(device: Machine, deb: Path) -> None:
    device.configure(telemetry={"sources": [EVERYBODY]})
    shutil.copy(deb, device.root / "root/again.deb")
    with device.booted():
        device.wait_connected()
        with Sender(of(device), f"dt/{device.thing_name}/sent") as sender:
            until(lambda: len(sender.stored) > 50, "readings before", 60)
            for command in (
                "systemctl restart fleet-agent",
                "kill -KILL $(systemctl show fleet-agent -p MainPID --value)",
                "dpkg -i /root/again.deb",
            ):
                process = device.show()["MainPID"]
                device.run("sh", "-c", command)
                until(lambda was=process: device.show()["MainPID"] not in (was, "0"), "again", 60)  # type: ignore[misc]
                after = len(sender.stored) + 50
                until(lambda most=after: len(sender.stored) > most, "readings after", 60)  # type: ignore[misc]
        assert not sender.refused
        assert sender.stored == list(range(len(sender.stored)))
        device.wait_connected()
        held = device.run("systemctl", "show", "fleet-agent.socket", "-p", "ActiveState,SubState")
        assert "SubState=running" in held
        # Both stopped, nobody answers; the agent alone brings its socket along again.
        device.run("systemctl", "stop", "fleet-agent.socket", "fleet-agent")
        assert not of(device).exists()
        device.run("systemctl", "start", "fleet-agent")
        device.wait_connected()
        assert device.run("systemctl", "is-active", "fleet-agent.socket").strip() == "active"


def test_without_a_source_who_connects_reads_why(device: Machine) -> None:
    with device.booted():
        device.wait_connected()
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
            client.settimeout(30)
            client.connect(str(of(device)))
            answer = json.loads(client.recv(4096))
        assert answer["error"]["code"] == "not-allowed"
        assert "no source `socket`" in answer["error"]["title"]


def test_a_group_of_its_own_by_a_drop_in(device: Machine) -> None:
    device.configure(
        telemetry={"sources": [{"socket": {"group": "sensors", **EVERYBODY["socket"]}}]}
    )
    device.write("etc/group", (device.root / "etc/group").read_text() + "sensors:x:4711:\n")
    examples = device.root / "usr/share/fleet-agent/examples/systemd"
    device.drop_in("[Service]\nPrivateUsers=no\n")
    with device.booted():
        device.wait_shown(StatusText="cannot give it the socket")
        assert "socket-group" in device.attempt("fleet-agent", "doctor", "--json").stdout
        text = (examples / "socket-group.conf").read_text()
        device.write("etc/systemd/system/fleet-agent.socket.d/group.conf", text)
        device.run("systemctl", "daemon-reload")
        device.run("systemctl", "stop", "fleet-agent.socket", "fleet-agent")
        device.run("systemctl", "start", "fleet-agent")
        device.wait_connected()
        assert of(device).stat().st_gid == 4711
        assert not json.loads(device.run("fleet-agent", "status", "--json"))["problems"]
