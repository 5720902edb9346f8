import pytest

from fleet_agent.config.sources import Mac
from fleet_agent.device import Parameter
from support.devices import Tree

AUTO = Mac(mac="auto")


def test_a_named_interface_in_lower_case(tree: Tree) -> None:
    tree.interface("eth0", 2, "00:1A:2B:3C:4D:5E")
    assert tree.look(Mac(mac="eth0")) == Parameter("P", "00:1a:2b:3c:4d:5e", "mac:eth0")


def test_auto_takes_the_physical_one_with_the_lowest_index(tree: Tree) -> None:
    tree.interface("br0", 1, "00:00:00:00:00:b0", physical=False)
    tree.interface("aaa", 10, "00:1a:2b:00:00:10")
    tree.interface("zzz", 9, "00:1a:2b:00:00:09")
    assert tree.found(AUTO) == ("00:1a:2b:00:00:09", "mac:zzz")


def test_auto_passes_over_what_is_no_ethernet(tree: Tree) -> None:
    folder = tree.interface("can0", 2, "")
    (folder / "type").write_text("280\n")
    tree.interface("wlan0", 3, "00:1a:2b:00:00:03")
    assert tree.found(AUTO)[1] == "mac:wlan0"


def test_auto_without_a_physical_interface_lists_what_there_is(tree: Tree) -> None:
    assert tree.reason(AUTO) == "mac:auto finds no physical interface (interfaces: none)"
    tree.interface("lo", 1, "00:00:00:00:00:00", physical=False)
    assert tree.reason(AUTO) == "mac:auto finds no physical interface (interfaces: lo)"


def test_an_interface_that_is_not_there(tree: Tree) -> None:
    assert tree.reason(Mac(mac="eth1")) == "mac:eth1 has no address: the interface does not exist"


def test_a_locally_administered_address_gets_a_warning(tree: Tree) -> None:
    tree.interface("eth0", 2, "02:fc:00:00:00:01")
    found = tree.look(AUTO)
    assert isinstance(found, Parameter)
    assert found.value == "02:fc:00:00:00:01"
    (warning,) = found.warnings
    assert "locally administered" in warning


def test_a_random_address_is_refused(tree: Tree) -> None:
    folder = tree.interface("eth0", 2, "02:fc:00:00:00:01")
    (folder / "addr_assign_type").write_text("1\n")
    assert tree.reason(AUTO) == "mac:eth0 has a random address, which changes at each boot"


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("00:00:00:00:00:00", 'mac:eth0 has the placeholder "00:00:00:00:00:00"'),
        ("ff:ff:ff:ff:ff:ff", "mac:eth0 has a multicast address, ff:ff:ff:ff:ff:ff"),
        ("01:00:5e:00:00:01", "mac:eth0 has a multicast address, 01:00:5e:00:00:01"),
        ("10.0.0.1", "mac:eth0 has no Ethernet address"),
        ("", "mac:eth0 has no Ethernet address"),
    ],
)
def test_an_address_that_names_no_device(tree: Tree, address: str, reason: str) -> None:
    tree.interface("eth0", 2, address)
    assert tree.reason(Mac(mac="eth0")) == reason
