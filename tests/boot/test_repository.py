"""An apt repository made as docs/how-to/publish.md says: install, upgrade, and the way back, with the identity kept."""

import shutil
from pathlib import Path

import pytest

from boot import roots
from boot.machine import Machine
from boot.test_package import newer

pytestmark = pytest.mark.thorough


def test_upgraded_and_downgraded_from_a_repository(
    device: Machine, deb: Path, root_dir: Path, tmp_path: Path
) -> None:
    if not shutil.which("apt-ftparchive"):
        pytest.skip("apt-utils cannot be installed here")
    guide = (root_dir / "docs/how-to/publish.md").read_text()
    assert "apt-ftparchive packages . > Packages" in guide
    repository = device.root / "srv" / "repository"
    repository.mkdir(parents=True)
    shutil.copy(deb, repository)
    shutil.copy(newer(deb, tmp_path), repository)
    made = f"cd {repository} && apt-ftparchive packages . > Packages && apt-ftparchive release . > Release"
    roots.run("sh", "-c", made)
    # Signatures are the guide's; here the folder itself is trusted.
    device.write("etc/apt/sources.list", "deb [trusted=yes] file:/srv/repository ./\n")
    first = roots.run("dpkg-deb", "--field", str(deb), "Version").strip()
    apt = ("apt-get", "-y", "-o", "APT::Sandbox::User=root")
    with device.booted():
        device.wait_connected()
        certificate_id = device.certificate_id()
        device.run(*apt, "update")
        for words, version in (
            (("install", "--only-upgrade", "fleet-agent"), f"9:{first}"),
            (("install", "--allow-downgrades", f"fleet-agent={first}"), first),
        ):
            before = device.show()["MainPID"]
            device.run(*apt, *words)
            shown = device.run("dpkg-query", "--show", "--showformat=${Version}", "fleet-agent")
            assert shown == version
            assert device.wait_connected()["MainPID"] != before
            assert device.certificate_id() == certificate_id
        assert [entry["event"] for entry in device.ledger()] == ["issued", "registered", "current"]
