"""The machine id, hashed for this application.

/etc/machine-id identifies a device to all its software and is confidential (machine-id(5)): what
leaves the device is an HMAC of it, the one that ``systemd-id128 machine-id --app-specific`` prints.
"""

import hashlib
import hmac
import re
import uuid
from pathlib import Path

from fleet_agent.config.reading import UnreadableError
from fleet_agent.device.finding import Finding, NothingFoundError
from fleet_agent.device.readers import text_of

# Ours for good: another one would give every device another identity.
APPLICATION = uuid.UUID("2cea2ca7-4d1d-492b-aeec-5cd8bb42e396")

PATH = "etc/machine-id"


def machine_id(root: Path) -> Finding:
    """Returns the application's machine id: 32 lower-case hexadecimal digits."""
    source = "machine-id:app"
    try:
        text = text_of(root / PATH)
    except UnreadableError as error:
        raise NothingFoundError(f"{source}: /{PATH} {error}") from error
    if not re.fullmatch(r"[0-9a-f]{32}", text) or not int(text, 16):
        state = "is empty" if not text else "holds no machine id"
        raise NothingFoundError(f"{source}: /{PATH} {state}; systemd writes it during boot")
    made = _by_systemd() if root == Path("/") else None
    return Finding((made or hashed(uuid.UUID(text))).hex, source)


def _by_systemd() -> uuid.UUID | None:
    try:
        from systemd import id128

        made = id128.get_machine_app_specific(APPLICATION)
    except (ImportError, AttributeError, OSError):
        return None  # an older library, or no id for it: the same by hand
    return made if isinstance(made, uuid.UUID) else None


def hashed(machine: uuid.UUID) -> uuid.UUID:
    """Computes what systemd does: HMAC-SHA256 keyed with the machine id, marked as UUID version 4."""
    digest = bytearray(hmac.new(machine.bytes, APPLICATION.bytes, hashlib.sha256).digest()[:16])
    digest[6] = (digest[6] & 0x0F) | 0x40
    digest[8] = (digest[8] & 0x3F) | 0x80
    return uuid.UUID(bytes=bytes(digest))
