"""Walks a store through a whole attempt, without a cloud."""

import dataclasses
import stat
from pathlib import Path

from fleet_agent.credentials.model import (
    Attempt,
    Credential,
    Generation,
    Issued,
    Registration,
    Secret,
)
from fleet_agent.credentials.store import Store

ATTEMPT = Attempt(
    endpoint="a.example",
    template="fleet",
    method="csr",
    parameters_hash="aa",
    csr_hash=None,
    tries=1,
    not_before=0.0,
    opened=5.0,
)
BY_AWS = dataclasses.replace(ATTEMPT, method="keys")

STEPS = ("attempt", "key", "certificate", "registered", "proven", "current")

# The files of a generation that went the whole way, and their modes.
FILES = {
    "attempt.json": 0o600,
    "private.pem.key": 0o600,
    "certificate.pem.crt": 0o644,
    "issued.json": 0o600,
    "registration.json": 0o600,
    "proven": 0o600,
}


def walk(
    store: Store, name: str, until: str = "current", *, attempt: Attempt = ATTEMPT
) -> Generation:
    """Goes on as far as ``until``; certificate ``c-NAME`` with the key ``key NAME``."""
    found = store.open(attempt)
    last = STEPS.index(until)
    if last >= 1 and attempt.method == "csr":
        found = store.keep_key(found, Secret(f"key {name}"))
    if last >= 2:
        found = store.keep_certificate(
            found, issued(name), f"certificate {name}", aws_key(attempt, name)
        )
    if last >= 3:
        answer = Registration(thing_name=f"thing-{name}", device_configuration={"a": "1"})
        found = store.keep_registration(found, answer)
    if last >= 4:
        found = store.mark_proven(found, "in a test")
    if last >= 5:
        store.promote(found)
    return found


def issued(name: str) -> Issued:
    """A certificate as AWS answers it."""
    return Issued(
        certificate_id=f"c-{name}", ownership_token=Secret(f"token {name}"), received=7.0
    )


def aws_key(attempt: Attempt, name: str) -> Secret | None:
    """The key that comes with the answer, by that method."""
    return Secret(f"key {name}") if attempt.method == "keys" else None


def current(store: Store) -> Credential:
    """The credential in use, which there is."""
    found = store.current()
    assert found is not None
    return found


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)
