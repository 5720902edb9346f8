"""The device's key, made in the factory before there is a network, so that the cloud can expect it."""

import dataclasses
import hashlib
from pathlib import Path

from fleet_agent.clock import SystemClock
from fleet_agent.config.settings import Settings
from fleet_agent.credentials.model import Attempt
from fleet_agent.credentials.store import Store
from fleet_agent.errors import DeviceError
from fleet_agent.identity import state_lock
from fleet_agent.identity.configured import open_store
from fleet_agent.identity.walk import key_plan
from fleet_agent.record import record
from fleet_agent.statedir.owner import become_owner


@record
class FactoryKey:
    """What the cloud knows a key by: the SHA-256 of its public half (SubjectPublicKeyInfo, DER; hex)."""

    public_key_hash: str
    generation: int
    was_made: bool = False


def find(settings: Settings) -> FactoryKey:
    """Finds the key that this device has; of an identity being replaced, the next one.

    Raises:
        DeviceError: There is none.
    """
    store = open_store(settings)
    number = _number(store)
    if number is None:
        raise DeviceError(
            "This device has no key.",
            remedy="Create one: fleet-agent key --make; or give the device an identity: fleet-agent provision",
            code="no-key",
        )
    return _key_of(store, number, was_made=False)


def make(settings: Settings, *, allow_volatile: bool) -> FactoryKey:
    """Makes the key that provisioning will use, unless there is one.

    Raises:
        AgentError: It cannot be made or stored, or AWS is to make it.
    """
    from fleet_agent.credentials import keys
    from fleet_agent.provisioning.dependencies import here
    from fleet_agent.provisioning.device_key import DeviceKey

    become_owner(Path(settings.state_dir))
    state_lock.take(settings, allow_volatile=allow_volatile)
    store = open_store(settings)
    if (number := _number(store)) is not None:
        return _key_of(store, number, was_made=False)
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
    return _key_of(store, found.number, was_made=True)


def _number(store: Store) -> int | None:
    """The generation whose key counts: a pending one before the one in use."""
    pending = store.pending()
    if pending is not None and pending.has_key:
        return pending.number
    current = store.current()
    return current.generation if current else None


def _key_of(store: Store, number: int, *, was_made: bool) -> FactoryKey:
    from fleet_agent.credentials import keys

    public = keys.public_key_of_key(store.key(number), str(store.folder(number)))
    digest = hashlib.sha256(public).hexdigest()
    return FactoryKey(public_key_hash=digest, generation=number, was_made=was_made)
