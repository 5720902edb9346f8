"""Hardware as sysfs shows it, moved under an identity."""

import json
import os
import shutil
from pathlib import Path

import pytest

from fleet_agent.device import fingerprint

IDENTITY = "0a" * 32


def board(root: Path, serial: str) -> None:
    path = root / "sys/firmware/devicetree/base/serial-number"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(serial.encode() + b"\0")


def card(root: Path, name: str, address: str, assigned: str = "0", bus: str = "pci") -> None:
    folder = root / "sys/devices" / bus / name
    folder.mkdir(parents=True)
    (folder / "address").write_text(f"{address}\n")
    (folder / "type").write_text("1\n")
    (folder / "addr_assign_type").write_text(f"{assigned}\n")
    (folder / "device").mkdir()
    net = root / "sys/class/net"
    net.mkdir(parents=True, exist_ok=True)
    (net / name).symlink_to(folder)


def disk(root: Path, kind: str, cid: str) -> None:
    folder = root / "sys/block/mmcblk0/device"
    folder.mkdir(parents=True)
    (folder / "type").write_text(kind)
    (folder / "cid").write_text(cid)


@pytest.fixture
def device(tmp_path: Path) -> Path:
    """The root of a device with a board, soldered storage and a network card."""
    root = tmp_path / "device"
    board(root, "10000000abcd")
    disk(root, "MMC", "15010042")
    card(root, "eth0", "dc:a6:32:01:02:03")
    return root


@pytest.fixture
def other(tmp_path: Path) -> Path:
    root = tmp_path / "other"
    root.mkdir()
    return root


def test_the_same_device(tmp_path: Path, device: Path) -> None:
    fingerprint.keep(tmp_path, IDENTITY, device)
    assert fingerprint.difference(tmp_path, IDENTITY, device) is None
    path = tmp_path / fingerprint.FILE
    assert path.stat().st_mode & 0o777 == 0o600
    for reported in ("10000000abcd", "15010042", "dc:a6:32"):
        assert reported not in path.read_text()


def test_another_board_is_another_device(tmp_path: Path, device: Path, other: Path) -> None:
    fingerprint.keep(tmp_path, IDENTITY, device)
    board(other, "10000000ffff")
    card(other, "eth0", "dc:a6:32:01:02:03")
    assert fingerprint.difference(tmp_path, IDENTITY, other) == "board"


def test_another_network_card_on_the_same_board_is_not(
    tmp_path: Path, device: Path, other: Path
) -> None:
    fingerprint.keep(tmp_path, IDENTITY, device)
    board(other, "10000000abcd")
    card(other, "eth0", "dc:a6:32:ff:ff:ff")
    assert fingerprint.difference(tmp_path, IDENTITY, other) is None


def test_without_a_board_number_storage_and_then_cards_decide(
    tmp_path: Path, device: Path, other: Path
) -> None:
    shutil.rmtree(device / "sys/firmware")
    fingerprint.keep(tmp_path, IDENTITY, device)
    card(other, "eth7", "dc:a6:32:ff:ff:ff")
    assert fingerprint.difference(tmp_path, IDENTITY, other) == "network"
    card(other, "eth1", "dc:a6:32:01:02:03")
    assert fingerprint.difference(tmp_path, IDENTITY, other) is None
    disk(other, "MMC", "15010043")
    assert fingerprint.difference(tmp_path, IDENTITY, other) == "storage"


def test_what_is_missing_then_or_now_is_no_difference(
    tmp_path: Path, device: Path, other: Path
) -> None:
    assert fingerprint.difference(tmp_path, IDENTITY, device) is None
    fingerprint.keep(tmp_path, IDENTITY, other)
    assert not (tmp_path / fingerprint.FILE).exists()
    fingerprint.keep(tmp_path, IDENTITY, device)
    assert fingerprint.difference(tmp_path, IDENTITY, other) is None
    fingerprint.keep(tmp_path, IDENTITY, other)  # hidden today: what was known stays
    board(other, "10000000ffff")
    assert fingerprint.difference(tmp_path, IDENTITY, other) == "board"


def test_what_comes_and_goes_is_no_hardware(other: Path) -> None:
    card(other, "wlan0", "da:a6:32:01:02:03")  # locally administered
    card(other, "eth1", "dc:a6:32:01:02:04", assigned="1")  # random
    card(other, "eth2", "dc:a6:32:01:02:05", bus="usb1")
    card(other, "eth3", "00:00:00:00:00:00")
    card(other, "can0", "")
    disk(other, "SD", "15010042")
    assert fingerprint.hardware(other) == {}


def test_another_identitys_fingerprint_says_nothing(
    tmp_path: Path, device: Path, other: Path
) -> None:
    fingerprint.keep(tmp_path, IDENTITY, device)
    board(other, "10000000ffff")
    assert fingerprint.difference(tmp_path, "0b" * 32, other) is None
    fingerprint.keep(tmp_path, "0b" * 32, other)
    assert fingerprint.difference(tmp_path, "0b" * 32, device) == "board"


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "7", '{"certificate_id": 5}', '{"certificate_id": "%s", "hardware": 7}'],
)
def test_a_file_that_is_not_ours_to_understand(tmp_path: Path, device: Path, text: str) -> None:
    (tmp_path / fingerprint.FILE).write_text(text.replace("%s", IDENTITY))
    assert fingerprint.difference(tmp_path, IDENTITY, device) is None
    fingerprint.keep(tmp_path, IDENTITY, device)
    assert json.loads((tmp_path / fingerprint.FILE).read_text())["certificate_id"] == IDENTITY


def test_a_fifo_in_its_place_keeps_nobody_waiting(tmp_path: Path, device: Path) -> None:
    os.mkfifo(tmp_path / fingerprint.FILE)
    assert fingerprint.difference(tmp_path, IDENTITY, device) is None


def test_this_machines_own_hardware_can_be_read() -> None:
    assert set(fingerprint.hardware(Path("/"))) <= {"board", "storage", "network"}
