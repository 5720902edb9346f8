"""What hardware an identity was proven on, so that a copy of its storage in another device is noticed.

Hardware ids that the agent's own user can read, kept as keyed hashes: the file does not show the ids. What is missing,
then or now, is no difference: a hardened unit, or a newer kernel, may hide what was there.
"""

import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fleet_agent import files, foreign
from fleet_agent.config.reading import UnreadableError
from fleet_agent.device.mac import ETHERNET, LOCALLY_ADMINISTERED, NET
from fleet_agent.device.readers import text_of
from fleet_agent.errors import StateDirectoryError

FILE = "fingerprint.json"

# The best first: the first that is known then and now decides. A new network card does not make another board.
_BOARD = ("sys/firmware/devicetree/base/serial-number", "sys/devices/soc0/serial_number")
_PERMANENT = "0"  # NET_ADDR_PERM: from the card itself

Ids = Mapping[str, frozenset[str]]


def hardware(root: Path) -> dict[str, frozenset[str]]:
    """The hardware's ids by kind, the best kind first; a kind that nothing is known of is left out."""
    found = {
        "board": frozenset(filter(None, (_text(root / name) for name in _BOARD))),
        "storage": frozenset(_soldered(root)),
        "network": frozenset(_burnt_in(root)),
    }
    return {kind: ids for kind, ids in found.items() if ids}


def difference(state_dir: Path, certificate_id: str, root: Path) -> str | None:
    """Returns the kind of hardware that differs from what this identity was proven on; None: there is no difference.

    Args:
        state_dir: Where the fingerprint is kept.
        certificate_id: The identity, which is the hashes' key: the fingerprint of another one cannot be compared.
        root: The root of the file system.
    """
    then = _read(state_dir / FILE, certificate_id)
    now = _hashed(hardware(root), certificate_id)
    for kind, ids in now.items():
        if known := then.get(kind):
            return kind if known.isdisjoint(ids) else None
    return None


def keep(state_dir: Path, certificate_id: str, root: Path) -> None:
    """Writes down what this identity runs on now, beside what was known of it before.

    Raises:
        StateDirectoryError: It cannot be written.
    """
    then = _read(state_dir / FILE, certificate_id)
    now = _hashed(hardware(root), certificate_id)
    if not now or {**then, **now} == then:
        return
    merged = {kind: sorted(ids) for kind, ids in {**then, **now}.items()}
    record = {"schema": 1, "certificate_id": certificate_id, "hardware": merged}
    files.write(state_dir / FILE, json.dumps(record, indent=1).encode() + b"\n", 0o600)


def _hashed(ids: Ids, key: str) -> dict[str, frozenset[str]]:
    return {
        kind: frozenset(
            hmac.new(key.encode(), f"{kind}:{value}".encode(), hashlib.sha256).hexdigest()
            for value in values
        )
        for kind, values in ids.items()
    }


def _read(path: Path, certificate_id: str) -> dict[str, frozenset[str]]:
    try:
        record: Any = foreign.read(files.read(path) or b"null")
        if record["certificate_id"] != certificate_id:
            return {}
        return {str(kind): frozenset(map(str, ids)) for kind, ids in record["hardware"].items()}
    except (StateDirectoryError, ValueError, LookupError, TypeError, AttributeError):
        return {}  # missing, or not ours to understand


def _soldered(root: Path) -> Iterator[str]:
    """Serial numbers of eMMC; an SD card moves from device to device."""
    for disk in sorted((root / "sys/block").glob("mmcblk*")):
        if _text(disk / "device/type") == "MMC" and (cid := _text(disk / "device/cid")):
            yield cid


def _burnt_in(root: Path) -> Iterator[str]:
    """Addresses of network cards on the board; one on USB is somebody else's tomorrow."""
    for card in sorted((root / NET).glob("*")):
        address = _text(card / "address")
        if (
            _text(card / "type") == ETHERNET
            and _text(card / "addr_assign_type") == _PERMANENT
            and (card / "device").exists()
            and "usb" not in str((card / "device").resolve().relative_to(root.resolve()))
            and address not in ("", "00:00:00:00:00:00")
            and not int(address[:2], 16) & LOCALLY_ADMINISTERED
        ):
            yield address.lower()


def _text(path: Path) -> str:
    try:
        return text_of(path).strip("\0 \n")
    except UnreadableError:
        return ""
