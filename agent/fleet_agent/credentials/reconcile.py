"""Keeps the ledger in step with the generations: catches up on entries that a power cut prevented."""

import contextlib

from fleet_agent.clock import Clock
from fleet_agent.credentials.folders import Folders
from fleet_agent.credentials.ledger import Ledger
from fleet_agent.credentials.model import Event
from fleet_agent.errors import StateDirectoryError


class Reconciliation:
    """Adds to the ledger what the folders show and it lacks; every method may raise ``StateDirectoryError``."""

    def __init__(self, folders: Folders, ledger: Ledger, clock: Clock) -> None:
        self._folders = folders
        self._ledger = ledger
        self._clock = clock

    def update(self) -> None:
        """Brings it up to date with ``current``."""
        number = self._folders.current_number()
        latest = self._ledger.latest()
        for generation in self._folders.numbers():
            found = None
            if generation <= number:
                with contextlib.suppress(StateDirectoryError):  # damage there stops nothing here
                    found = self._folders.read(generation)
            if found is None and generation < number:
                self.retire(generation)
            if found is None or found.issued is None or found.proven is None:
                continue
            event = Event.CURRENT if generation == number else Event.RETIRED
            known = latest.get(found.issued.certificate_id)
            # A proven one that was given up before it became current is left behind by an interrupted `open`.
            if known != event.value and (event is Event.CURRENT or known != Event.DROPPED.value):
                self._record(found.issued.certificate_id, event, generation)

    def retire(self, number: int) -> None:
        """Retires what the ledger itself calls current of a replaced generation, which may not be readable."""
        for certificate_id, event in self._ledger.latest(number).items():
            if event == Event.CURRENT.value:
                self._record(certificate_id, Event.RETIRED, number)

    def drop(self, number: int) -> None:
        """Records what becomes of a given-up attempt's certificate: it is registered, or may be.

        From the ledger itself, so that a damaged generation is named like any other.
        """
        known = self._ledger.latest(number)
        with contextlib.suppress(StateDirectoryError):
            found = self._folders.read(number)
            if found is not None and found.issued is not None:
                known.setdefault(found.issued.certificate_id, Event.ISSUED.value)
        becomes = {
            Event.ISSUED.value: Event.UNRESOLVED,
            Event.REGISTERED.value: Event.DROPPED,
        }
        for certificate_id, event in known.items():
            if event in becomes:
                self._record(certificate_id, becomes[event], number)

    def _record(self, certificate_id: str, event: Event, number: int) -> None:
        self._ledger.record(certificate_id, event, number, self._clock.wall())
