"""The package's life on a device: installed offline, upgraded in place, removed, purged; and its unit, as installed."""

import json
import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from boot import roots
from boot.machine import STATE, UNIT, Machine

MEGABYTE = 1_000_000


def test_sizes_and_what_stays_out(deb: Path) -> None:
    assert deb.stat().st_size <= 2.5 * MEGABYTE
    fields = roots.run("dpkg-deb", "--field", str(deb))
    size = next(line for line in fields.splitlines() if line.startswith("Installed-Size"))
    assert int(size.split()[1]) * 1024 <= 8 * MEGABYTE
    names = roots.run("dpkg-deb", "--contents", str(deb))
    assert "vendor/awsiot/iotidentity.py" in names
    assert "vendor/awsiot/greengrass" not in names
    assert "./etc/fleet-agent/config.yaml" not in names  # or an unconfigured machine would run it
    assert "./usr/share/fleet-agent/examples/config.yaml" in names


def test_it_asks_for_the_libc_that_its_library_needs(deb: Path, tmp_path: Path) -> None:
    roots.run("dpkg-deb", "--extract", str(deb), str(tmp_path))
    library = next(tmp_path.rglob("_awscrt*.so")).read_bytes()
    asked = {
        version(item.decode()) for item in re.findall(rb"GLIBC_([0-9]+(?:\.[0-9]+)+)", library)
    }
    found = re.search(r"libc6 \(>= ([0-9.]+)\)", roots.run("dpkg-deb", "--field", str(deb)))
    assert found
    assert asked
    assert max(asked) <= version(found[1])


def version(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(".")))


def test_two_builds_have_the_same_bits(deb: Path, root_dir: Path) -> None:
    if "FLEET_AGENT_DEB" in os.environ:
        pytest.skip("the package was not built here")
    command = ["bash", "-c", 'umask 077; exec "$0"', str(root_dir / "scripts" / "build-deb")]
    env = os.environ | {"TZ": "Asia/Tokyo", "LC_ALL": "C"}
    again = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout
    assert Path(again.strip()).read_bytes() == deb.read_bytes()


def test_lintian_finds_nothing(deb: Path) -> None:
    if not shutil.which("lintian"):
        pytest.skip("lintian cannot be installed here")
    found = subprocess.run(
        ["lintian", "--allow-root", "--fail-on", "error,warning", str(deb)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.thorough
def test_lintian_of_the_newest_debian_finds_nothing(deb: Path, tmp_path: Path) -> None:
    """Each release's lintian knows more than the one before."""
    base = roots.base_root(roots.SUITES[-1], "lintian", kind=".lintian")
    root = roots.mount(base, tmp_path / "lintian")
    try:
        shutil.copy(deb, root / "root" / deb.name)
        command = ["lintian", "--allow-root", "--fail-on", "error,warning", f"/root/{deb.name}"]
        assert "E: " not in roots.inside(root, *command)
    finally:
        roots.unmount(root)


def test_as_installed(installed: Path) -> None:
    """Commands that need no running systemd; root's and the agent's bytecode is there."""
    assert "fleet-agent 0." in roots.inside(installed, "fleet-agent", "--version")
    verified = roots.inside(
        installed, "systemd-analyze", "verify", "--man=no", f"/lib/systemd/system/{UNIT}"
    )
    assert verified.strip() == ""
    for number in (1, 3):
        pem = roots.inside(installed, "cat", f"/usr/share/fleet-agent/AmazonRootCA{number}.pem")
        assert pem.startswith("-----BEGIN CERTIFICATE")
    library = installed / "usr" / "lib" / "fleet-agent"
    sources = [path for path in library.rglob("*.py") if "__pycache__" not in path.parts]
    assert len(list(library.rglob("*.pyc"))) == len(sources)
    schema = json.loads((installed / "usr/share/fleet-agent/config.schema.json").read_text())
    assert "endpoint" in schema["properties"]


def test_claim_and_configuration_get_group_and_mode_at_boot(device: Machine) -> None:
    key = device.root / "etc/fleet-agent/claim" / device.fleet.claim.private_key.name
    assert (key.stat().st_gid, stat.S_IMODE(key.stat().st_mode)) == (0, 0o644)
    group = next(
        int(line.split(":")[2])
        for line in (device.root / "etc" / "group").read_text().splitlines()
        if line.startswith("_fleet-agent:")
    )
    with device.booted():
        device.wait_connected()
        for path in (key, device.root / "etc/fleet-agent/config.yaml"):
            found = path.stat()
            assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (0, group, 0o640)


def newer(deb: Path, folder: Path) -> Path:
    """The same package with a higher version."""
    unpacked = folder / "unpacked"
    roots.run("dpkg-deb", "--raw-extract", str(deb), str(unpacked))
    control = unpacked / "DEBIAN" / "control"
    control.write_text(control.read_text().replace("\nVersion: ", "\nVersion: 9:"))
    made = folder / "fleet-agent_newer.deb"
    roots.run("dpkg-deb", "--root-owner-group", "--build", "-z1", str(unpacked), str(made))
    return made


def test_upgraded_removed_and_purged(device: Machine, deb: Path, tmp_path: Path) -> None:
    shutil.copy(newer(deb, tmp_path), device.root / "root" / "newer.deb")
    with device.booted():
        before = device.wait_connected()["MainPID"]
        certificate_id = device.certificate_id()
        assert certificate_id is not None

        device.run("dpkg", "-i", "/root/newer.deb")
        after = device.wait_connected()["MainPID"]
        assert after != before
        assert device.certificate_id() == certificate_id
        assert len(device.ledger()) == 3

        device.run("dpkg", "--remove", "fleet-agent")
        device.wait_shown(ActiveState="inactive")
        assert device.certificate_id() == certificate_id
        assert (device.root / "etc/fleet-agent/config.yaml").exists()

        # Installed again, it is the same device.
        device.run("dpkg", "-i", "/root/newer.deb")
        device.wait_connected()
        assert device.certificate_id() == certificate_id

        said = device.attempt("dpkg", "--purge", "fleet-agent")
        assert said.returncode == 0, said.stderr
        assert certificate_id in said.stderr
        assert f"removing /{STATE}" in said.stderr
        assert not device.state.exists()
        assert not (device.root / "etc/fleet-agent").exists()
        assert not (device.root / "usr/lib/fleet-agent").exists()
