"""The unit and its drop-ins, as systemd itself reads them."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)

UNIT = "fleet-agent.service"
SOCKET = "fleet-agent.socket"
OF = {"socket-group.conf": SOCKET}  # the others are for the service
EXPOSURE = 1.5  # promised of the unit as it comes
HELPER_EXPOSURE = 2.5
# What a drop-in opens, it opens for a reason; more than this needs a second thought.
EXAMPLES = {
    "claim-credentials.conf": 1.5,
    "claim-encrypted.conf": 1.5,
    "dmi-serial.conf": 1.5,
    "handlers.conf": 2.0,
    "pkcs11.conf": 1.5,
    "credentials.conf": 1.7,
    "socket.conf": 1.7,
    "socket-group.conf": 1.5,
    "state-on-data.conf": 1.5,
    "tpm.conf": 1.5,
}


def analyze(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, check=False)


def with_drop_in(root_dir: Path, folder: Path, name: str | None) -> Path:
    """The unit alone or with an example, where the command it starts exists."""
    unit = folder / UNIT
    text = (root_dir / "systemd" / UNIT).read_text()
    unit.write_text(text.replace("/usr/bin/fleet-agent", "/bin/true"))
    for other in (SOCKET, "fleet-agent-check.path", "fleet-agent-check.service"):
        text = (root_dir / "systemd" / other).read_text()
        (folder / other).write_text(text.replace("/usr/bin/fleet-agent", "/bin/true"))
    if name is not None:
        drop_ins = folder / f"{OF.get(name, UNIT)}.d"
        drop_ins.mkdir()
        shutil.copy(root_dir / "systemd" / "examples" / name, drop_ins)
    return unit


def test_every_example_is_tested(root_dir: Path) -> None:
    assert {path.name for path in (root_dir / "systemd" / "examples").iterdir()} == set(EXAMPLES)


@pytest.mark.parametrize("name", [None, *EXAMPLES])
def test_systemd_finds_nothing_wrong(root_dir: Path, tmp_path: Path, name: str | None) -> None:
    unit = with_drop_in(root_dir, tmp_path, name)
    found = analyze("verify", "--man=no", str(unit), str(unit.with_name(SOCKET)))
    assert (found.returncode, found.stdout + found.stderr) == (0, "")


@pytest.mark.parametrize(("name", "most"), [(None, EXPOSURE), *EXAMPLES.items()])
def test_exposure(root_dir: Path, tmp_path: Path, name: str | None, most: float) -> None:
    assert exposure(with_drop_in(root_dir, tmp_path, name)) <= most


def exposure(unit: Path) -> float:
    found = analyze("security", "--offline=true", "--no-pager", str(unit))
    overall = re.search(r"exposure level for \S+: ([0-9.]+)", found.stdout)
    assert overall, found.stdout + found.stderr
    return float(overall[1])


@pytest.mark.parametrize(
    ("unit", "starter", "program"),
    [
        (
            "fleet-agent-helper@.service",
            "fleet-agent-helper.socket",
            "/usr/lib/fleet-agent/helper",
        ),
        ("fleet-agent-check.service", "fleet-agent-check.path", "/usr/bin/fleet-agent"),
    ],
)
def test_what_runs_as_root_may_next_to_nothing_itself(
    root_dir: Path, tmp_path: Path, unit: str, starter: str, program: str
) -> None:
    text = (root_dir / "systemd" / unit).read_text()
    (tmp_path / unit).write_text(text.replace(program, "/bin/true"))
    shutil.copy(root_dir / "systemd" / starter, tmp_path)
    found = analyze("verify", "--man=no", str(tmp_path / unit), str(tmp_path / starter))
    assert (found.returncode, found.stdout + found.stderr) == (0, "")
    assert exposure(tmp_path / unit) <= HELPER_EXPOSURE


def test_the_agents_user_cannot_have_root_check_without_end(root_dir: Path) -> None:
    lines = (root_dir / "systemd/fleet-agent-check.service").read_text().splitlines()
    # Whatever it leaves in its runtime directory, as a mark that cannot be removed.
    assert {"StartLimitIntervalSec=1h", "StartLimitBurst=20"} <= set(
        lines[: lines.index("[Service]")]
    )


def test_nothing_is_switched_on_by_the_first_boot_of_an_image(root_dir: Path) -> None:
    preset = (root_dir / "systemd" / "system-preset" / "80-fleet-agent.preset").read_text()
    units = [*(root_dir / "systemd").glob("*.socket"), *(root_dir / "systemd").glob("*.timer")]
    # The agent's own socket goes with its service.
    others = [unit for unit in units if unit.name != "fleet-agent.socket"]
    assert len(others) == 2
    assert all(f"disable {unit.name}\n" in preset for unit in others)


def test_restarts_all_but_what_is_wrong_on_the_device(root_dir: Path) -> None:
    lines = (root_dir / "systemd" / UNIT).read_text().splitlines()
    assert "Restart=on-failure" in lines
    assert "RestartPreventExitStatus=2 78" in lines
    assert "StartLimitIntervalSec=0" in lines
