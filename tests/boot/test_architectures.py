"""The packages for ARM, run by qemu-user: from the claim to readings, in a root of that architecture.

The root is unpacked and not configured: its maintainer scripts would start hundreds of emulated programs. The agent's
own package is installed and purged in it, with its scripts. systemd is not booted. How fast it is says nothing.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from boot import roots
from boot.machine import HOST
from boot.network import Network
from support.agent import until
from support.fleets import Fleet, allow_rotation

pytestmark = [pytest.mark.thorough, pytest.mark.timeout(1800)]

BINFMT = Path("/proc/sys/fs/binfmt_misc")
QEMU = {"arm64": "aarch64", "armhf": "arm"}


@pytest.fixture(params=roots.SUITES)
def release(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=sorted(QEMU))
def architecture(request: pytest.FixtureRequest, root_dir: Path, tools: None) -> str:  # noqa: ARG001
    """One that programs of can run here; the kernel is told to give them to qemu."""
    name = str(request.param)
    install = f". {root_dir}/scripts/environment && apt_install qemu-user-static"
    subprocess.run(["bash", "-c", install], check=False, capture_output=True)
    if not (BINFMT / "register").exists():
        mount = ["mount", "-t", "binfmt_misc", "binfmt_misc", str(BINFMT)]
        subprocess.run(mount, check=False, capture_output=True)
    entry = f"qemu-{QEMU[name]}"
    given = Path(f"/usr/lib/binfmt.d/{entry}.conf")
    if not (BINFMT / entry).exists():
        if not (given.exists() and (BINFMT / "register").exists()):
            pytest.skip(f"this kernel cannot be told to run {name} by qemu")
        (BINFMT / "register").write_text(given.read_text().strip())
    return name


@pytest.fixture
def package(architecture: str, root_dir: Path) -> Path:
    command = [str(root_dir / "scripts" / "build-deb"), "--arch", architecture]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return Path(built.stdout.strip())


@pytest.fixture
def place(release: str, architecture: str, tmp_path: Path) -> Iterator[Path]:
    """A root of that architecture."""
    root = roots.mount(roots.foreign_root(release, architecture), tmp_path / architecture)
    try:
        # As root the agent opens what it has looked at once more, by its descriptor.
        roots.run("mount", "-t", "proc", "proc", str(root / "proc"))
        yield root
    finally:
        subprocess.run(["umount", "--lazy", str(root / "proc")], check=False, capture_output=True)
        roots.unmount(root)


def test_a_device_of_another_processor(
    place: Path, release: str, package: Path, wire: Network, fleet: Fleet
) -> None:
    said = dpkg(place, "--install", str(package))
    assert "_fleet-agent:" in (place / "etc" / "passwd").read_text(), said
    assert list((place / "usr/lib/fleet-agent").rglob("*.pyc")), "compiled for this Python"

    allow_rotation(fleet)
    serial = f"{release}x{place.parent.name}x{os.getpid()}"
    configure(place, wire, fleet, serial)
    done = agent(place, wire, "provision", "--json", "--timeout", "300")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["proven"]
    assert fleet.certificate_ids(fleet.thing_name(serial)) == [answer["certificate_id"]]
    with subprocess.Popen(
        words(place, wire, "run", "--verbose"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as daemon:
        try:
            until(lambda: agent(place, wire, "status").returncode == 0, "healthy", 300)
            shown = json.loads(agent(place, wire, "status", "--json").stdout)
            assert shown["daemon"]["readings_acknowledged"] > 0
        finally:
            daemon.terminate()
        assert daemon.wait(60) == 0
    # A certificate of AWS IoT ends in 2049, which a time_t of 32 bits does not hold.
    looked = agent(place, wire, "doctor")
    assert looked.returncode == 0, looked.stdout + looked.stderr
    assert re.search("2049|20[5-9][0-9]", looked.stdout), looked.stdout
    due = agent(place, wire, "rotate", "--check")
    assert due.returncode == 1, due.stderr  # not due

    dpkg(place, "--purge", "fleet-agent")
    assert not (place / "var/lib/fleet-agent").exists()
    assert not (place / "etc/fleet-agent").exists()


def dpkg(root: Path, *command: str) -> str:
    """This machine's dpkg on that root; the package's scripts run in it, emulated."""
    foreign = ("--force-architecture", "--force-depends")  # unpacked packages are not known there
    return roots.run("dpkg", f"--root={root}", *foreign, *command)


def configure(root: Path, wire: Network, fleet: Fleet, serial: str) -> None:
    folder = root / "etc" / "fleet-agent"
    (folder / "claim").mkdir(parents=True, exist_ok=True)
    lines = (root / "etc" / "group").read_text().splitlines()
    group = next(int(line.split(":")[2]) for line in lines if line.startswith("_fleet-agent:"))
    for source, name in (
        (fleet.claim.certificate, "claim.crt"),
        (fleet.claim.private_key, "claim.key"),
    ):
        copy = folder / "claim" / name
        shutil.copyfile(source, copy)
        copy.chmod(0o640)
        os.chown(copy, 0, group)
    (folder / "ca.pem").write_bytes(fleet.sandbox.ca_file.read_bytes())
    (folder / "config.yaml").write_text(
        json.dumps(
            {
                "endpoint": HOST,
                "port": fleet.sandbox.mqtt_port,
                "ca_file": "/etc/fleet-agent/ca.pem",
                "claim": {"certificate": "claim/claim.crt", "private_key": "claim/claim.key"},
                "provisioning": {
                    "template": fleet.template,
                    "parameters": {"SerialNumber": serial},
                },
                "telemetry": {"sources": [{"system": {"interval": "2s"}}]},
                "rotation": {"max_age": "90d"},
            }
        )
    )
    (root / "etc" / "hosts").write_text(f"127.0.0.1 localhost\n{wire.host} {HOST}\n")


def words(root: Path, wire: Network, *command: str) -> list[str]:
    """The agent's command in that root, on the device's network."""
    # Nothing of the root but Python: it has no env of its own.
    clean = ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8"]
    entered = ["ip", "netns", "exec", wire.namespace, *clean, "chroot", str(root)]
    return [*entered, "fleet-agent", *command]


def agent(root: Path, wire: Network, *command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        words(root, wire, *command), capture_output=True, text=True, check=False, timeout=600
    )
