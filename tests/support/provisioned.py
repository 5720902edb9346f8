"""A device that somebody provisioned, as it is on disk."""

import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path

from fleet_agent.clock import SystemClock
from fleet_agent.credentials.model import Attempt, Issued, Registration, Secret
from fleet_agent.credentials.store import Store
from support.certificates import make_certificate
from support.csr import key_pem, make_key


@dataclasses.dataclass(frozen=True, kw_only=True)
class Device:
    """A provisioned device: its state directory, its thing name and its files."""

    state_dir: Path
    thing_name: str
    certificate: Path
    private_key: Path


def provisioned(
    state_dir: Path, thing_name: str, configuration: Mapping[str, str] | None = None
) -> Device:
    """Writes the state of a device that was provisioned an hour ago, with a certificate of its own making."""
    key = make_key()
    certificate = make_certificate(key, name=thing_name)
    state_dir.mkdir(mode=0o700)
    store = Store(state_dir, SystemClock())
    now = time.time() - 3600
    found = store.open(
        Attempt(
            endpoint="localhost",
            template="bench",
            method="csr",
            parameters_hash="",
            csr_hash=None,
            tries=1,
            not_before=0.0,
            opened=now,
        )
    )
    found = store.keep_key(found, Secret(key_pem(key).decode()))
    issued = Issued(certificate_id=f"{thing_name}0", ownership_token=Secret("none"), received=now)
    found = store.keep_certificate(found, issued, certificate, None)
    registration = Registration(thing_name=thing_name, device_configuration=configuration or {})
    found = store.keep_registration(found, registration)
    credential = store.promote(store.mark_proven(found, "for the bench"))
    folder = store.folder(credential.generation)
    return Device(
        state_dir=state_dir,
        thing_name=thing_name,
        certificate=folder / "certificate.pem.crt",
        private_key=folder / "private.pem.key",
    )
