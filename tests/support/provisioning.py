"""A model of what provisioning deals with, in values: the cloud's certificates and tokens, the device's disk.

``Disk`` keeps facts as ``credentials.store`` does, but as generators that yield after every fact made durable, so that
a test can kill the agent between any two. ``tests/unit/credentials/test_store.py`` holds the two against each other.
"""

import dataclasses
from collections.abc import Iterator

from fleet_agent.credentials.model import (
    Attempt,
    Csr,
    Event,
    Generation,
    Issued,
    Registration,
    Secret,
)
from fleet_agent.provisioning.model import Operation, Plan, RejectedError

TOKEN_LIFE = 3600.0

GIVEN_CSR = Csr(pem="a request", hash="c5" * 32, public_key=b"")


def make_plan(method: str = "csr", csr: Csr | None = None, *, has_csr_key: bool = False) -> Plan:
    """A plan; the device makes its key unless a CSR is given or AWS makes both."""
    return Plan(
        endpoint="a.example",
        template="fleet",
        method=method,
        key_type="ec-p256",
        parameters={"SerialNumber": "7"},
        csr=csr,
        csr_key=Secret("its key") if has_csr_key else None,
    )


@dataclasses.dataclass
class Certificate:
    """One in the cloud. ``answered``: its id reached the device."""

    key: str
    made: float
    is_active: bool = False
    answered: bool = False


class Cloud:
    """Certificates, ownership tokens, and what AWS answers to a second RegisterThing with one token.

    Args:
        is_idempotent: It accepts it again; otherwise it refuses.
        says_token: Its refusal of a token has that word in it.
    """

    def __init__(self, *, is_idempotent: bool, says_token: bool) -> None:
        self.certificates: dict[str, Certificate] = {}
        self._is_idempotent = is_idempotent
        self._says_token = says_token

    def create(self, key: str, now: float) -> str:
        """A certificate for this key, PENDING_ACTIVATION; its id."""
        certificate_id = f"c{len(self.certificates) + 1}"
        self.certificates[certificate_id] = Certificate(key=key, made=now)
        return certificate_id

    def register(self, token: str, now: float) -> None:
        """RegisterThing."""
        certificate = self.certificates[token.removeprefix("token of ")]
        if now - certificate.made > TOKEN_LIFE or (
            certificate.is_active and not self._is_idempotent
        ):
            why = "Invalid certificate ownership token" if self._says_token else "Expired or used"
            raise RejectedError(Operation.REGISTER, 400, "Invalid", why)
        certificate.is_active = True


class Disk:
    """Facts as the store keeps them. Every ``…`` that writes yields after each durable fact."""

    def __init__(self) -> None:
        self.generations: dict[int, Generation | None] = {}  # None: a folder without attempt.json
        self.keys: dict[int, str] = {}
        self.current = 0
        self.ledger: list[tuple[str, Event, int]] = []

    def latest(self, generation: int | None = None) -> dict[str, Event]:
        """The ledger's last word on each certificate."""
        return {
            certificate_id: event
            for certificate_id, event, number in self.ledger
            if generation in (None, number)
        }

    def pending(self) -> Generation | None:
        """The attempt under way."""
        number = max(self.generations, default=0)
        return self.generations[number] if number > self.current else None

    def open(self, attempt: Attempt) -> Iterator[None]:
        """Begin a generation."""
        older = [number for number in self.generations if number > self.current]
        for number in older:
            yield from self._name_dropped(number)
        new = max([*self.generations, self.current]) + 1
        self.generations[new] = None
        yield
        self.generations[new] = Generation(number=new, attempt=attempt)
        yield
        for number in older:
            self._remove(number)
            yield

    def keep_attempt(self, attempt: Attempt) -> Iterator[None]:
        """Replace what the attempt says."""
        self._change(attempt=attempt)
        yield

    def keep_key(self, key: str) -> Iterator[None]:
        """Store the key; never over another."""
        found = self._found()
        assert not found.has_key
        self.keys[found.number] = key
        self._change(has_key=True)
        yield

    def keep_certificate(self, issued: Issued, key: str | None) -> Iterator[None]:
        """The ledger, the key if AWS made it, the certificate, then ``issued.json``."""
        found = self._found()
        self.ledger.append((issued.certificate_id, Event.ISSUED, found.number))
        yield
        if key is not None:
            self.keys.pop(found.number, None)
            self._change(has_key=False)
            yield
            self.keys[found.number] = key
            self._change(has_key=True)
            yield
        self._change(issued=issued)
        yield

    def drop_certificate(self) -> Iterator[None]:
        """Name it as unresolved, then forget it."""
        found = self._found()
        assert found.issued is not None
        self.ledger.append((found.issued.certificate_id, Event.UNRESOLVED, found.number))
        yield
        self._change(issued=None)
        yield

    def keep_registration(self, registration: Registration) -> Iterator[None]:
        """The answer, then the ledger."""
        found = self._found()
        assert found.issued is not None
        self._change(registration=registration)
        yield
        self.ledger.append((found.issued.certificate_id, Event.REGISTERED, found.number))
        yield

    def mark_proven(self, now: float) -> Iterator[None]:
        """The mark."""
        self._change(proven=now)
        yield

    def promote(self) -> Iterator[None]:
        """Erase the token, swap, tell the ledger, remove the older ones."""
        found = self._found()
        assert found.issued is not None
        self._change(issued=dataclasses.replace(found.issued, token=None))
        yield
        previous, self.current = self.current, found.number
        yield
        yield from self.update_ledger()
        for number in list(self.generations):
            if number not in (found.number, previous):
                self._remove(number)
                yield

    def update_ledger(self) -> Iterator[None]:
        """Bring the ledger up to date with ``current``."""
        latest = self.latest()
        for number, found in self.generations.items():
            if number > self.current or found is None or not found.issued or not found.proven:
                continue
            event = Event.CURRENT if number == self.current else Event.RETIRED
            said = latest.get(found.issued.certificate_id)
            if said is not event and (event is Event.CURRENT or said is not Event.DROPPED):
                self.ledger.append((found.issued.certificate_id, event, number))
                yield

    def _name_dropped(self, number: int) -> Iterator[None]:
        becomes = {Event.ISSUED: Event.UNRESOLVED, Event.REGISTERED: Event.DROPPED}
        for certificate_id, event in self.latest(number).items():
            if event in becomes:
                self.ledger.append((certificate_id, becomes[event], number))
                yield

    def _found(self) -> Generation:
        found = self.pending()
        assert found is not None
        return found

    def _change(self, **facts: object) -> None:
        found = self._found()
        self.generations[found.number] = dataclasses.replace(found, **facts)  # type: ignore[arg-type]

    def _remove(self, number: int) -> None:
        del self.generations[number]
        self.keys.pop(number, None)
