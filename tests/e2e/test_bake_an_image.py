"""The how-to's own commands on a card image of a few megabytes: mounted, filled, cleaned, unmounted.

Installing the package into a whole Debian is for tests/boot.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.certificates import make_pair

TOOLS = ("sfdisk", "jq", "mke2fs", "mount")
CONFIG = """\
endpoint: a1b2c3-ats.iot.eu-west-1.amazonaws.com
claim: {certificate: claim/certificate.pem, private_key: claim/key.pem}
provisioning: {template: fleet-v1, parameters: {SerialNumber: {machine_id: app}}}
"""
SECTOR = 512
FIRST = 2048 * SECTOR  # where sfdisk puts the first partition
BOOT = 1 << 20
SIZE = 16 << 20


def make_card(folder: Path) -> None:
    """An image with a boot partition and a root partition, as far as the agent looks at it."""
    root = folder / "root"
    for name in ("etc", "usr/bin", "usr/lib/tmpfiles.d", "var/lib/fleet-agent/credentials/0001"):
        (root / name).mkdir(parents=True)
    (root / "etc/group").write_text("root:x:0:\n_fleet-agent:x:983:\n")
    (root / "etc/machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    (root / "usr/bin/fleet-agent").touch()
    card = folder / "card.img"
    with card.open("wb") as file:
        file.truncate(SIZE)
    layout = f"label: dos\nsize={BOOT // SECTOR}, type=c\ntype=83\n"
    subprocess.run(["sfdisk", "-q", str(card)], input=layout, text=True, check=True)
    start = FIRST + BOOT
    words = ["mke2fs", "-q", "-t", "ext4", "-d", str(root), "-E", f"offset={start}", str(card)]
    subprocess.run([*words, f"{(SIZE - start) // 1024}k"], check=True)


@pytest.mark.skipif(
    os.geteuid() != 0 or not all(map(shutil.which, TOOLS)),
    reason="wants root and " + " ".join(TOOLS),
)
def test_the_commands_of_the_guide(root_dir: Path, tmp_path: Path) -> None:
    make_card(tmp_path)
    (tmp_path / "image").mkdir()
    (tmp_path / "image/config.yaml").write_text(CONFIG)
    make_pair(tmp_path / "image/claim")
    mount = tmp_path / "mnt"
    mount.mkdir()
    probe = subprocess.run(["losetup", "-f"], capture_output=True, check=False)
    if probe.returncode != 0:
        pytest.skip("no loop device here")

    guide = (root_dir / "docs/how-to/bake-an-image.md").read_text()
    blocks = re.findall(r"```sh\n(.*?)```", guide, re.DOTALL)
    assert len(blocks) == 4  # mount, install, clean, unmount
    *there, unmount = [block.replace("/mnt", str(mount)) for block in blocks]
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}

    def run(script: str) -> None:
        subprocess.run(["bash", "-euc", script], check=True, cwd=tmp_path, env=environment)

    try:
        run("\n".join(there))
        home = mount / "etc/fleet-agent"
        key = (home / "claim/key.pem").stat()
        assert (key.st_mode & 0o777, key.st_uid, key.st_gid) == (0o640, 0, 983)
        assert (home / "config.yaml").read_text() == CONFIG
        assert not list((mount / "var/lib/fleet-agent").iterdir())
        assert (mount / "etc/machine-id").read_text() == ""
        run(f"fleet-agent config check --config {home}/config.yaml")
    finally:
        run(unmount)
    assert not list(mount.iterdir())
