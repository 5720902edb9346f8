"""MAC addresses of network interfaces, as the kernel writes them: ``00:1a:2b:3c:4d:5e``."""

import re
from pathlib import Path

from fleet_agent.config.reading import UnreadableError
from fleet_agent.device.finding import Finding, NothingFoundError
from fleet_agent.device.readers import text_of

NET = "sys/class/net"

ETHERNET = "1"  # ARPHRD_ETHER: wired Ethernet, and wireless too
RANDOM = "1"  # NET_ADDR_RANDOM: made up by the kernel at this very boot
LOCALLY_ADMINISTERED = 0x02
MULTICAST = 0x01


def mac(interface: str, root: Path) -> Finding:
    """Reads an interface's address.

    Args:
        interface: Its name; ``auto`` for the physical one (it has a device below it, and speaks
            Ethernet) with the lowest index, which is the order in which the kernel found them.
        root: The root of the file system.
    """
    name = _first_physical(root / NET) if interface == "auto" else interface
    source = f"mac:{name}"
    try:
        address = text_of(root / NET / name / "address").lower()
    except UnreadableError as error:
        raise NothingFoundError(
            f"{source} has no address: the interface does not exist"
        ) from error
    if not re.fullmatch(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", address):
        raise NothingFoundError(f"{source} has no Ethernet address")
    first = int(address[:2], 16)
    if first & MULTICAST:
        raise NothingFoundError(f"{source} has a multicast address, {address}")
    if _attribute(root / NET / name, "addr_assign_type") == RANDOM:
        raise NothingFoundError(f"{source} has a random address, which changes at each boot")
    if not first & LOCALLY_ADMINISTERED:
        return Finding(address, source)
    warning = f"{source} {address} is locally administered: it may not be unique"
    return Finding(address, source, (warning,))


def _first_physical(folder: Path) -> str:
    try:
        names = sorted(entry.name for entry in folder.iterdir())
    except OSError:
        names = []
    found = [
        (int(index), name)
        for name in names
        if (folder / name / "device").exists()
        and _attribute(folder / name, "type") == ETHERNET
        and (index := _attribute(folder / name, "ifindex")).isdecimal()
    ]
    if not found:
        seen = ", ".join(names) or "none"
        raise NothingFoundError(f"mac:auto finds no physical interface (interfaces: {seen})")
    return min(found)[1]


def _attribute(interface: Path, name: str) -> str:
    try:
        return text_of(interface / name)
    except UnreadableError:
        return ""
