"""The image of packaging/container, built and run by podman as docs/how-to/container.md says."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from boot import roots
from boot.machine import HOST, Machine
from boot.network import Network
from support.agent import until
from support.fleets import Fleet

pytestmark = [pytest.mark.thorough, pytest.mark.timeout(1200)]

BASE = "localhost/debian:slim"
IMAGE = "localhost/fleet-agent"
CONTAINER = "device"
USER = 10001

Podman = Callable[..., str]


@pytest.fixture
def podman(root_dir: Path, tools: None, tmp_path: Path) -> Iterator[Podman]:  # noqa: ARG001
    """Podman with images and containers of its own; skips where none can be run."""
    install = f". {root_dir}/scripts/environment && apt_install podman runc netavark"
    subprocess.run(["bash", "-c", install], check=False, capture_output=True)
    if not (shutil.which("podman") and shutil.which("runc")):
        pytest.skip("podman and runc cannot be installed here")
    # Debian 12's crun does not know cgroups in hybrid mode, runc does.
    words = ["podman", "--root", str(tmp_path / "store"), "--runtime", "runc"]
    # podman takes no longer name than 50 characters for this.
    running = tempfile.mkdtemp()
    words += ["--runroot", running, "--cgroup-manager", "cgroupfs"]

    def run(*command: str) -> str:
        return roots.run(*words, *command)

    try:
        yield run
    finally:
        for command in (("rm", "--all", "--force"), ("rmi", "--all", "--force")):
            subprocess.run([*words, *command], check=False, capture_output=True)
        # What podman keeps mounted for itself.
        store = str(tmp_path / "store" / "overlay")
        subprocess.run(["umount", "--lazy", store], check=False, capture_output=True)
        shutil.rmtree(running)


@pytest.fixture
def image(podman: Podman, deb: Path, root_dir: Path, tmp_path: Path) -> Podman:
    """Podman that has the image, built over a Debian that is made here: no registry is asked."""
    base = tmp_path / "base.tar"
    slim = roots.base_root("trixie", "ca-certificates", ".slim")
    roots.run("tar", "-c", "-f", str(base), "-C", str(slim), ".")
    podman("import", "--quiet", str(base), BASE)
    base.unlink()
    folder = tmp_path / "dist"
    folder.mkdir()
    shutil.copy(deb, folder)
    # An older one that lies there, too, as scripts/build-deb leaves them, is not what is installed.
    (folder / "fleet-agent_0.0.1_amd64.deb").write_text("no package at all")
    build = ("build", "--format", "docker", "--pull=never", "--network=host", "--from", BASE)
    file = root_dir / "packaging" / "container" / "Containerfile"
    podman(*build, "--tag", IMAGE, "--file", str(file), str(folder))
    return podman


def test_a_device_in_a_container(
    image: Podman, wire: Network, fleet: Fleet, root_dir: Path, tmp_path: Path
) -> None:
    device = Machine(tmp_path / "device", wire, fleet, f"image{os.getpid()}")
    device.write("etc/fleet-agent/config.yaml", "")
    device.configure()
    given = device.root / "etc" / "fleet-agent"
    for path in (given / "claim").iterdir():
        path.chmod(0o600)
    roots.run("chown", "-R", str(USER), str(given))

    # The guide's own words, but for the network.
    guide = (root_dir / "docs" / "how-to" / "container.md").read_text()
    options = ["--read-only", "--cap-drop=all"]
    assert " ".join(options) in guide
    assert "podman build --format docker " in guide
    # What the guide says is enough. This machine may have no systemd, whose timers podman would use.
    assert "--ulimit nofile=16" in guide
    options += ["--ulimit=nofile=16", "--ulimit=nproc=4096", "--health-interval=disable"]
    options += [f"--network=ns:{wire.path}", f"--add-host={HOST}:{wire.host}"]
    options += ["--volume=state:/var/lib/fleet-agent", f"--volume={given}:/etc/fleet-agent:ro"]

    def start() -> None:
        image("run", "--detach", "--name", CONTAINER, *options, IMAGE)

    def healthy() -> bool:
        try:
            image("healthcheck", "run", CONTAINER)
        except AssertionError:
            return False
        return True

    def identity() -> str:
        asked = image("exec", CONTAINER, "fleet-agent", "status", "--json")
        return str(json.loads(asked)["certificate_id"])

    def stop() -> None:
        image("stop", "--time", "30", CONTAINER)
        assert image("inspect", "--format", "{{.State.ExitCode}}", CONTAINER).strip() == "0"
        assert "Traceback" not in image("logs", CONTAINER)
        image("rm", CONTAINER)

    start()
    until(healthy, "healthy", 120)
    first = identity()
    assert fleet.certificate_ids(device.thing_name) == [first]
    assert image("exec", CONTAINER, "id", "-u").strip() == str(USER)
    stop()
    # Another container over the same volume is the same device.
    start()
    until(healthy, "healthy", 120)
    assert identity() == first
    image("exec", CONTAINER, "fleet-agent", "doctor")
    stop()
    assert fleet.certificate_ids(device.thing_name) == [first]
