"""As a container's process 1: no systemd, a user id without a name, a read-only root, a folder for the state."""

import os
import signal
import subprocess

from boot.machine import STATE, Machine
from support.agent import until

USER = 1000660


def container(device: Machine, *command: str) -> "subprocess.Popen[str]":
    """Starts a command as process 1; systemd-nspawn is the runtime that every Debian has."""
    words = ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--pipe", "--read-only"]
    words += [f"--network-namespace-path={device.network.path}", "-D", str(device.root)]
    words += [f"--bind={device.state}:/{STATE}", "--tmpfs=/run/fleet-agent:mode=0777"]
    words += ["--setenv=RUNTIME_DIRECTORY=/run/fleet-agent", "--drop-capability=CAP_SYS_ADMIN"]
    words += ["setpriv", f"--reuid={USER}", "--regid=0", "--clear-groups", "--no-new-privs"]
    return subprocess.Popen(
        [*words, *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_it_lives_in_a_container(device: Machine) -> None:
    device.state.mkdir(mode=0o700, exist_ok=True)
    for path in (device.state, *(device.root / "etc/fleet-agent").rglob("*")):
        os.chown(path, USER, 0)
    for path in (device.root / "etc/fleet-agent/claim").iterdir():
        path.chmod(0o600)
    with container(device, "fleet-agent", "run") as process:
        device._process = process  # type: ignore[assignment]
        try:
            until(device.certificate_id, "an identity", 60)
            status = ["setpriv", f"--reuid={USER}", "--regid=0", "--clear-groups", "env"]
            status += ["RUNTIME_DIRECTORY=/run/fleet-agent", "fleet-agent", "status"]
            # What the image's health check asks.
            until(lambda: device.attempt(*status).returncode == 0, "healthy", 60)
            leader = device.leader()
            assert leader is not None
            os.kill(leader, signal.SIGTERM)
            said = process.communicate(timeout=60)[0]
        finally:
            device.cut_power()
    assert process.returncode == 0, said
    assert "Traceback" not in said
    thing = device.fleet.thing_name(device.serial)
    assert device.fleet.certificate_ids(thing) == [device.certificate_id()]
    with container(device, "fleet-agent", "doctor") as looking:
        reported = looking.communicate(timeout=60)[0]
    assert "systemd is not running here" in reported
    assert "where the unit does not let" not in reported
    assert looking.returncode == 0, reported
