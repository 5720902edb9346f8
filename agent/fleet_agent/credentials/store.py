"""The credential store: numbered generations, and ``current``, one symbolic link swapped by one rename.

State is derived from what is on disk, and never kept elsewhere: ``pending`` and ``current`` read the folders, every
``keep_…`` makes one more fact durable before it returns. In the order in which the facts come:

    credentials/
      0001/                    a generation; a number is never used twice
        attempt.json           open: its purpose, how often it was tried
        private.pem.key        keep_key, 0600, never overwritten; or
        key.json               which key of which hardware token it is
        certificate.pem.crt    keep_certificate, after the ledger has named it;
        issued.json            the commit of it, with the ownership token until promote
        registration.json      keep_registration: thing name and device configuration
        proven                 mark_proven: a session stood with it
      current -> 0001          promote: one rename, the only commit point of an identity
    ledger.jsonl               every certificate id ever received, a line an event

A generation above ``current`` is an attempt under way; the one below is what was replaced, kept for a day.

What it does not do: decide what comes next (``provisioning.machine``), or talk to the cloud.
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

from fleet_agent import clock as clocks
from fleet_agent import files
from fleet_agent.clock import Clock
from fleet_agent.credentials import records
from fleet_agent.credentials.folders import (
    ATTEMPT,
    CERTIFICATE,
    CURRENT,
    HARDWARE_KEY,
    ISSUED,
    KEY,
    PROVEN,
    REGISTRATION,
    Folders,
)
from fleet_agent.credentials.ledger import Ledger
from fleet_agent.credentials.model import (
    Attempt,
    Credential,
    Event,
    Generation,
    HardwareKey,
    HardwareToken,
    Issued,
    KeyPair,
    PrivateKey,
    Registration,
    Secret,
)
from fleet_agent.credentials.reconcile import Reconciliation
from fleet_agent.credentials.stored_keys import StoredKeys
from fleet_agent.errors import CREDENTIAL_DAMAGED, DeviceError


class Store:
    """The folder ``credentials`` and the ledger of one state directory.

    Every method that writes raises ``StateDirectoryError`` when it cannot, and leaves what was there.

    Args:
        state_dir: The state directory.
        clock: For the ledger.
        hardware_tokens: The hardware tokens that the configuration names; no other is asked.
    """

    def __init__(self, state_dir: Path, clock: Clock, *hardware_tokens: HardwareToken) -> None:
        self._clock = clock
        self._root = state_dir / "credentials"
        self._folders = Folders(self._root)
        self._keys = StoredKeys(self._folders, hardware_tokens)
        self.ledger = Ledger(state_dir / "ledger.jsonl")
        self._reconcile = Reconciliation(self._folders, self.ledger, clock)

    # What is there -------------------------------------------------------------------------------------------------

    def pending(self) -> Generation | None:
        """The attempt under way: the highest generation above the current one, if it records what it is for.

        Raises:
            StateDirectoryError: One of its files is damaged.
        """
        numbers = self._folders.numbers()
        number = numbers[-1] if numbers else 0
        if number <= self._folders.current_number():
            return None
        return self._folders.read(number)

    def current(self) -> Credential | None:
        """The credential in use.

        Raises:
            DeviceError: ``current`` points to something incomplete.
            StateDirectoryError: A file is damaged or cannot be read.
        """
        number = self._folders.current_number()
        if number == 0:
            return None
        found = self._folders.read(number)
        folder = self._folders.folder(number)
        parts = {
            ATTEMPT: found,
            ISSUED: found and found.issued,
            REGISTRATION: found and found.registration,
            KEY: found and found.has_key,
            CERTIFICATE: files.is_there(folder / CERTIFICATE),
        }
        missing = [name for name, part in parts.items() if not part]
        if found is None or missing:
            raise DeviceError(
                f"The current credential in {folder} is incomplete: it has no {missing[0]}.",
                remedy="Provision again: fleet-agent provision --force (the ledger names the old certificate).",
                code=CREDENTIAL_DAMAGED,
            )
        return self.describe(found)

    def describe(self, found: Generation) -> Credential:
        """A registered generation as a credential, proven or not."""
        if found.issued is None or found.registration is None:
            raise ValueError(f"generation {found.number} is not registered")
        folder = self._folders.folder(found.number)
        return Credential(
            generation=found.number,
            certificate_id=found.issued.certificate_id,
            certificate_file=str(folder / CERTIFICATE),
            private_key_file=self._keys.name(found.number) if found.has_key else None,
            thing_name=found.registration.thing_name,
            device_configuration=found.registration.device_configuration,
            endpoint=found.attempt.endpoint,
            template=found.attempt.template,
            is_proven=found.proven is not None,
            proven=found.proven,
            origin=found.attempt.origin,
            uptime=found.uptime,
            home=found.attempt.home,
        )

    def key_pair(self, number: int) -> KeyPair:
        """The certificate and key of a generation.

        Raises:
            DeviceError: One of them is missing.
        """
        return KeyPair(
            certificate=self._folders.text(number, CERTIFICATE),
            private_key=self.key(number),
            certificate_file=str(self._folders.folder(number) / CERTIFICATE),
            private_key_file=self._keys.name(number),
        )

    def key(self, number: int) -> PrivateKey:
        """The private key of a generation: PEM, or which key of a hardware token it is.

        Raises:
            DeviceError: It is missing.
        """
        return self._keys.key(number)

    def is_key_given(self, number: int) -> bool:
        """Whether the key of a generation came from elsewhere, with its CSR."""
        found = self._folders.read(number)
        return found is not None and found.attempt.csr_hash is not None

    def folder(self, number: int) -> Path:
        """Returns a generation's folder."""
        return self._folders.folder(number)

    def open(self, attempt: Attempt) -> Generation:
        """Begins a generation with a number never used before, and gives up an older pending one.

        The ledger names its certificate first: once the new attempt stands, the older one is not looked at again. And
        those of generations before it, should a power cut have come between the link and the ledger, twice in a row.
        """
        files.make_folder(self._root)
        self.update_ledger()
        older = [
            number for number in self._folders.numbers() if number > self._folders.current_number()
        ]
        for dropped in older:
            self._reconcile.drop(dropped)
        number = max([*self._folders.numbers(), self._folders.current_number()]) + 1
        files.make_folder(self._folders.folder(number))
        self._write_json(number, ATTEMPT, records.dump_attempt(attempt))
        for dropped in older:
            self._remove(dropped)
        return Generation(number=number, attempt=attempt)

    def keep_attempt(self, found: Generation, attempt: Attempt) -> Generation:
        """Replaces the record of the attempt, such as its count of tries."""
        self._write_json(found.number, ATTEMPT, records.dump_attempt(attempt))
        return dataclasses.replace(found, attempt=attempt)

    def keep_key(self, found: Generation, key: PrivateKey) -> Generation:
        """Stores the device's key; one that is there already is never overwritten.

        Of a key in a hardware token which one it is: before it is made there, so that none is made and forgotten.
        """
        if isinstance(key, HardwareKey):
            self._keys.know(key.token)
            self._write_json(found.number, HARDWARE_KEY, records.dump_key_name(key.name))
        else:
            path = self._folders.folder(found.number) / KEY
            files.write(path, key.reveal().encode(), 0o600, new=True)
        return dataclasses.replace(found, has_key=True)

    def has_current(self) -> bool:
        """Whether there is a credential in use, even a damaged one."""
        return self._folders.current_number() > 0

    def keep_certificate(
        self, found: Generation, issued: Issued, certificate: str, private_key: Secret | None
    ) -> Generation:
        """Stores a certificate, with its key when AWS made that too; ``issued.json`` commits it.

        The ledger comes first: from then on the certificate can be found again whatever happens.
        """
        folder = self._folders.folder(found.number)
        event = Event.ADOPTED if found.attempt.origin == "adopted" else Event.ISSUED
        self.ledger.record(issued.certificate_id, event, found.number, issued.received)
        if private_key is not None:
            # A key here without issued.json came with an answer that was never completely stored.
            files.remove(folder / KEY, sync=False)
            files.write(folder / KEY, private_key.reveal().encode(), 0o600, new=True, sync=False)
        files.write(folder / CERTIFICATE, certificate.encode(), 0o644, sync=False)
        self._write_json(found.number, ISSUED, records.dump_issued(issued))
        return dataclasses.replace(
            found, issued=issued, has_key=found.has_key or private_key is not None
        )

    def drop_certificate(self, found: Generation) -> Generation:
        """Gives up an issued certificate whose ownership token was refused: named as unresolved, then removed."""
        if found.issued is None:
            return found
        self.ledger.record(
            found.issued.certificate_id, Event.UNRESOLVED, found.number, self._clock.wall()
        )
        folder = self._folders.folder(found.number)
        files.remove(folder / ISSUED, sync=False)
        files.remove(folder / CERTIFICATE)
        return dataclasses.replace(found, issued=None)

    def keep_registration(self, found: Generation, registration: Registration) -> Generation:
        """Stores what RegisterThing answered, or was given; the ledger follows: no ACTIVE certificate goes unnamed."""
        self._write_json(found.number, REGISTRATION, records.dump_registration(registration))
        if found.issued is not None and found.attempt.origin == "claim":
            self.ledger.record(
                found.issued.certificate_id, Event.REGISTERED, found.number, self._clock.wall()
            )
        return dataclasses.replace(found, registration=registration)

    def give_up(self, found: Generation) -> None:
        """Gives up this attempt: the ledger records what becomes of its certificate.

        What is left of its folder keeps the number from being used again.
        """
        self._reconcile.drop(found.number)
        folder = self._folders.folder(found.number)
        files.remove(folder / ATTEMPT)
        files.remove(folder / KEY)

    def mark_proven(self, found: Generation, how: str) -> Generation:
        """Records that this credential was proven by a real session; ``how`` in words."""
        now = self._clock.wall()
        uptime = clocks.uptime(self._clock)
        self._write_json(found.number, PROVEN, records.dump_proven(now, how, uptime))
        return dataclasses.replace(found, proven=now, uptime=uptime)

    def promote(self, found: Generation) -> Credential:
        """Makes a proven generation current: erases the ownership token, swaps the link, updates the ledger, tidies."""
        if found.issued is None or found.proven is None:
            raise ValueError(f"generation {found.number} is not proven")
        without_ownership_token = dataclasses.replace(found.issued, ownership_token=None)
        self._write_json(found.number, ISSUED, records.dump_issued(without_ownership_token))
        previous = self._folders.current_number()
        files.point(self._root / CURRENT, f"{found.number:04d}")
        self.update_ledger()
        for number in self._folders.numbers():
            if number not in (found.number, previous):
                self._remove(number)
        return self.describe(found)

    def remove_replaced(self) -> None:
        """Removes the replaced credentials: the one in use has proven itself."""
        self.update_ledger()
        current = self._folders.current_number()
        for number in self._folders.numbers():
            if number < current:
                self._remove(number)

    def is_recorded(self, credential: Credential) -> bool:
        """Whether the ledger records that this credential is in use."""
        return self.ledger.latest().get(credential.certificate_id) == Event.CURRENT.value

    def update_ledger(self) -> None:
        """Brings the ledger up to date with ``current``: a power cut may have come between the two."""
        self._reconcile.update()

    def disown(self) -> None:
        """Records in the ledger that no certificate of any generation will be used again."""
        for number in self._folders.numbers():
            self._reconcile.drop(number)
            self._reconcile.retire(number)

    def destroy_hardware_keys(self) -> None:
        """Destroys every generation's key that the agent made in a hardware token; before the folders go."""
        for number in self._folders.numbers():
            self._keys.destroy(number, although_shared=True)

    # How it is kept -------------------------------------------------------------------------------------------------

    def _remove(self, number: int) -> None:
        self._keys.destroy(number)
        files.remove_folder(self._folders.folder(number))

    def _write_json(self, number: int, name: str, value: Mapping[str, object]) -> None:
        data = json.dumps(value, indent=1).encode() + b"\n"
        files.write(self._folders.folder(number) / name, data, 0o600)
