"""The device's key, made before there is a network: in the factory, so that the cloud knows what to expect."""

import dataclasses
import hashlib
from pathlib import Path

from fleet_agent import statedir
from fleet_agent.clock import SystemClock
from fleet_agent.config.settings import Settings
from fleet_agent.credentials.model import Attempt
from fleet_agent.credentials.store import Store
from fleet_agent.errors import DeviceError
from fleet_agent.identity import state
from fleet_agent.identity.configured import open_store
from fleet_agent.identity.walk import key_plan
from fleet_agent.record import record


@record
class Found:
    """A key: the SHA-256 of its public half (SubjectPublicKeyInfo, DER; hex), and whether it was made just now."""

    public_key_hash: str
    generation: int
    was_made: bool = False


def look(settings: Settings) -> Found:
    """The key that this device has, or is to have.

    Raises:
        DeviceError: There is none.
    """
    store = open_store(settings)
    number = _number(store)
    if number is None:
        raise DeviceError(
            "This device has no key.",
            remedy="Make one: fleet-agent key --make; or give the device an identity: fleet-agent provision",
            code="no-key",
        )
    return _found(store, number, was_made=False)


def make(settings: Settings, *, allow_volatile: bool) -> Found:
    """Makes the key that provisioning then uses, unless there is one.

    Raises:
        AgentError: It cannot be made or stored, or AWS is to make it.
    """
    from fleet_agent.credentials import keys
    from fleet_agent.provisioning.dependencies import here
    from fleet_agent.provisioning.device_key import DeviceKey

    statedir.become_owner(Path(settings.state_dir))
    state.take(settings, allow_volatile=allow_volatile)
    store = open_store(settings)
    if (number := _number(store)) is not None:
        return _found(store, number, was_made=False)
    plan = key_plan(settings)
    if not plan.provides_key:
        raise DeviceError(
            "With `provisioning.method: keys` AWS IoT makes the key.",
            remedy="Leave `method` at its default, csr, to make it on the device.",
            code="configuration",
        )
    found = store.pending()
    if found is None:
        # Nobody has asked for a certificate yet.
        attempt: Attempt = dataclasses.replace(
            plan.attempt(SystemClock().wall(), keys.hash_parameters({})), tries=0
        )
        found = store.open(attempt)
    key = DeviceKey(plan, store, here)
    found = key.make(found)
    key.csr(found)  # in a hardware token this is what makes it
    return _found(store, found.number, was_made=True)


def _number(store: Store) -> int | None:
    """The generation whose key counts: one to come before the one in use."""
    pending = store.pending()
    if pending is not None and pending.has_key:
        return pending.number
    current = store.current()
    return current.generation if current else None


def _found(store: Store, number: int, *, was_made: bool) -> Found:
    from fleet_agent.credentials import keys

    public = keys.public_key_of_key(store.key(number), f"generation {number}")
    digest = hashlib.sha256(public).hexdigest()
    return Found(public_key_hash=digest, generation=number, was_made=was_made)
