import subprocess
import uuid
from pathlib import Path

import pytest

from fleet_agent.config.sources import MachineId
from fleet_agent.device import examine
from fleet_agent.device.machine_id import APPLICATION, hashed
from support.devices import Tree
from support.reserved import NOTHING_OWN

APP = MachineId(machine_id="app")
MACHINE = uuid.UUID("0123456789abcdef0123456789abcde1")


def test_it_is_hashed_and_marked_as_a_uuid_of_version_4(tree: Tree) -> None:
    tree.write("etc/machine-id", f"{MACHINE.hex}\n")
    value, source = tree.found(APP)
    assert source == "machine-id:app"
    assert uuid.UUID(value).version == 4
    assert value == hashed(MACHINE).hex
    assert MACHINE.hex not in value


def test_the_hash_does_not_change_from_release_to_release() -> None:
    assert hashed(MACHINE).hex == "baeb76dacb5a4197b98bdcbb00362877"


def test_systemd_makes_the_same_of_this_machines_id() -> None:
    id128 = pytest.importorskip("systemd.id128")
    try:
        by_systemd = id128.get_machine_app_specific(APPLICATION)
    except OSError:
        pytest.skip("this machine has no machine id")
    assert by_systemd == hashed(uuid.UUID(Path("/etc/machine-id").read_text().strip()))
    (found,) = examine({"Id": APP}, reserved=NOTHING_OWN)
    assert getattr(found, "value", None) == by_systemd.hex


def test_the_command_named_in_the_reference_makes_the_same() -> None:
    arguments = ["systemd-id128", "machine-id", f"--app-specific={APPLICATION}"]
    try:
        made = subprocess.run(arguments, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no systemd-id128 here, or no machine id")
    assert (
        made.stdout.strip() == hashed(uuid.UUID(Path("/etc/machine-id").read_text().strip())).hex
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "is empty; systemd writes it during boot"),
        ("uninitialized\n", "holds no machine id; systemd writes it during boot"),
        ("0" * 32, "holds no machine id; systemd writes it during boot"),
        ("0123", "holds no machine id; systemd writes it during boot"),
    ],
)
def test_an_image_that_was_not_booted_has_none(tree: Tree, content: str, reason: str) -> None:
    tree.write("etc/machine-id", content)
    assert tree.reason(APP) == f"machine-id:app: /etc/machine-id {reason}"


def test_a_device_without_the_file(tree: Tree) -> None:
    assert tree.reason(APP) == "machine-id:app: /etc/machine-id does not exist"
