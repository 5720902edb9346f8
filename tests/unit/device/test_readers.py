import tempfile
from pathlib import Path

import pytest

from fleet_agent.config.sources import DeviceTree, Dmi, FromEnvironment, FromFile
from support.devices import Tree
from support.users import as_nobody


def test_a_files_text_without_the_white_space_around_it(tree: Tree) -> None:
    tree.write("etc/site-code", "  OSL 7 \n\n")
    assert tree.found(FromFile(file="/etc/site-code")) == ("OSL 7", "file:/etc/site-code")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\xff", "file:/f is not UTF-8: byte 0xFF"),
        (b"a" * 20_000, "file:/f is larger than 16384 bytes"),
        (b"a\nb\n", "file:/f has more than one line"),
        (b" \n", "file:/f is empty"),
    ],
)
def test_a_file_that_holds_no_value(tree: Tree, content: bytes, reason: str) -> None:
    tree.write("f", content)
    assert tree.reason(FromFile(file="/f")) == reason


def test_a_file_that_is_not_there_or_is_a_folder(tree: Tree) -> None:
    assert tree.reason(FromFile(file="/f")) == "file:/f does not exist"
    (tree.root / "f").mkdir()
    assert tree.reason(FromFile(file="/f")) == "file:/f is a folder"


def test_a_credential_is_read_from_where_systemd_put_it(tree: Tree) -> None:
    tree.write("run/credentials/serial", "SN-9\n")
    environment = {"CREDENTIALS_DIRECTORY": str(tree.root / "run/credentials")}
    source = FromFile(file="credential:serial")
    assert tree.found(source, environment) == ("SN-9", "credential:serial")
    assert "CREDENTIALS_DIRECTORY is not set" in tree.reason(source)
    assert tree.reason(FromFile(file="credential:x"), environment) == "credential:x does not exist"


def test_an_environment_variable(tree: Tree) -> None:
    assert tree.found(FromEnvironment(env="LINE"), {"LINE": " 7 "}) == ("7", "env:LINE")
    assert tree.reason(FromEnvironment(env="LINE")) == "env:LINE is not set"


def test_a_field_of_dmi(tree: Tree) -> None:
    tree.write("sys/class/dmi/id/product_name", "Box 3000\n")
    assert tree.found(Dmi(dmi="product_name")) == ("Box 3000", "dmi:product_name")


def test_a_field_that_dmi_has_not_gets_the_one_that_was_meant(tree: Tree) -> None:
    tree.write("sys/class/dmi/id/product_serial", "x")
    reason = tree.reason(Dmi(dmi="product_seral"))
    assert reason == "dmi:product_seral does not exist; did you mean product_serial?"


def test_a_device_without_dmi(tree: Tree) -> None:
    reason = tree.reason(Dmi(dmi="product_serial"))
    assert reason == "dmi:product_serial does not exist: this device has no /sys/class/dmi/id"


def test_a_field_for_root_alone_says_how_to_pass_it_on() -> None:
    with tempfile.TemporaryDirectory() as name:
        tree = Tree(Path(name))
        tree.root.chmod(0o755)
        tree.write("sys/class/dmi/id/product_serial", "SN-1\n").chmod(0)
        with as_nobody():
            reason = tree.reason(Dmi(dmi="product_serial"))
    assert reason.startswith("dmi:product_serial can be read only by root")
    assert "LoadCredential=dmi-product_serial:/sys/class/dmi/id/product_serial" in reason
    assert "{file: credential:dmi-product_serial}" in reason


def test_a_property_of_the_device_tree_without_its_nul(tree: Tree) -> None:
    tree.write("proc/device-tree/serial-number", b"10000000c0ffee42\0")
    tree.write("proc/device-tree/chosen/board,rev", b"b2\0")
    wanted = ("10000000c0ffee42", "device-tree:serial-number")
    assert tree.found(DeviceTree(device_tree="serial-number")) == wanted
    assert tree.found(DeviceTree(device_tree="chosen/board,rev"))[0] == "b2"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\x00\x00\x00\x01", "is binary data, not text"),
        (b"\x00\x00\xd0\x0d", "is not UTF-8: byte 0xD0"),
        (b"one\0two\0", "is a list; a single text is expected"),
        (b"\0", "is empty"),
    ],
)
def test_a_property_that_is_no_text(tree: Tree, content: bytes, reason: str) -> None:
    tree.write("proc/device-tree/x", content)
    assert tree.reason(DeviceTree(device_tree="x")) == f"device-tree:x {reason}"


def test_a_property_that_is_not_there(tree: Tree) -> None:
    reason = tree.reason(DeviceTree(device_tree="serial-number"))
    assert reason == "device-tree:serial-number does not exist: this device has no device tree"
    (tree.root / "proc/device-tree").mkdir(parents=True)
    reason = tree.reason(DeviceTree(device_tree="serial-number"))
    assert reason == "device-tree:serial-number does not exist"
