"""What must hold of a state directory at any moment, whatever was done to the agent."""

import stat
from collections.abc import Collection
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from fleet_agent.clock import SystemClock
from fleet_agent.credentials import certificates
from fleet_agent.credentials.model import Credential
from fleet_agent.credentials.store import Store


def look_at(state_dir: Path) -> Credential | None:
    """It opens, the identity in use is whole, what is stored is in the ledger, and keys are nobody else's to read.

    Raises:
        AssertionError, AgentError: It does not hold.
    """
    store = Store(state_dir, SystemClock())
    store.pending()
    found = store.current()
    if found is not None:
        certificates.check_pair(store.key_pair(found.generation))
    known = store.ledger.latest()
    for path in state_dir.rglob("*"):
        if path.is_symlink() or not path.is_file():
            continue
        if "key" in path.name:
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, f"others may read {path}"
        if path.name == "certificate.pem.crt":
            assert certificate_id(path) in known, "a stored certificate is not in the ledger"
    return found


def look_at_identity(state_dir: Path, expected: Collection[str | None]) -> None:
    """``look_at``, and the certificate in use is one of these; None among them: there may be none yet."""
    found = look_at(state_dir)
    in_use = found.certificate_id if found else None
    assert in_use in expected, f"the identity is {in_use}, which is none of {expected}"


def certificate_id(path: Path) -> str:
    """AWS IoT's: the SHA-256 of the certificate."""
    return x509.load_pem_x509_certificate(path.read_bytes()).fingerprint(hashes.SHA256()).hex()
