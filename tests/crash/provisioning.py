"""Workloads: a first provisioning, and one over a live identity, by each of the three ways to get a certificate."""

import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from crash.whole import look_at_identity
from crash.workload import Bench
from fleet_agent.clock import SystemClock
from fleet_agent.credentials.store import Store
from support.agent import COMMAND, Agent, Outcome, environment
from support.csr import key_pem, make_csr, make_key

METHODS = ("csr", "keys", "given")
WRONG_AGENT = Path(__file__).with_name("wrong_agent.py")

_NAMES = (
    "attempt.json",
    "private.pem.key",
    "certificate.pem.crt",
    "issued.json",
    "registration.json",
    "proven",
)
# What the ledger may say last of a certificate that is ACTIVE and not in use.
_NAMED = {"registered", "unresolved", "dropped", "retired"}


class Provisioning:
    """``fleet-agent provision``.

    Args:
        bench: Where.
        method: ``csr`` (device key), ``keys`` (AWS keys), ``given`` (a CSR made elsewhere, with its key).
        again: Over a live identity, with ``--force``.
        writer: A wrong way to write, of ``wrong_agent``; None for the agent as it is.
    """

    sizes = range(0, 2000, 61)

    def __init__(
        self, bench: Bench, method: str, *, again: bool, writer: str | None = None
    ) -> None:
        self._bench = bench
        self._again = again
        self._writer = writer
        # A worker has workloads of several kinds side by side.
        kind = type(self).__name__.lower()
        self._folder = bench.folder / f"{kind}-{method}-{'again' if again else 'first'}"
        self._folder.mkdir(exist_ok=True)
        self._start = self._folder / "start"
        changes: dict[str, object] = {"method": "keys"} if method == "keys" else {}
        self._agent = Agent(bench.fleet, self._folder, **changes)
        self._more = self._given_csr() if method == "given" else []
        self._old: str | None = None

    def _given_csr(self) -> list[str]:
        request, key = self._folder / "device.csr", self._folder / "device.key"
        made = make_key()
        request.write_text(make_csr(made))
        key.write_bytes(key_pem(made))
        return ["--csr", str(request), "--csr-key", str(key)]

    # The workload ---------------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Nothing, or a live identity, whose files are kept to be put back each time."""
        shutil.rmtree(self._agent.state_dir, ignore_errors=True)
        if self._again:
            if self._old is None:
                self._old = str(self._provision().answer["certificate_id"])
                shutil.copytree(self._agent.state_dir, self._start, symlinks=True)
            else:
                shutil.copytree(self._start, self._agent.state_dir, symlinks=True)
        self._bench.fleet.sandbox.faults.clear_calls()

    def program(self) -> tuple[Sequence[str], Sequence[Path]]:
        """The command, and every file it may touch."""
        wrong = (
            [sys.executable, str(WRONG_AGENT), self._writer] if self._writer else [str(COMMAND)]
        )
        flags = [*self._agent.flags(), "--allow-volatile", *self._more]
        force = ["--force"] if self._again else []
        return [*wrong, "provision", "--json", *flags, *force, "--timeout", "60"], list(
            self._paths()
        )

    def environment(self) -> dict[str, str]:
        """As the tests of the command have it."""
        return environment()

    def _paths(self) -> Iterator[Path]:
        state_dir, credentials = self._agent.state_dir, self._agent.credentials
        yield from (self._folder, state_dir, state_dir / "lock", state_dir / "ledger.jsonl")
        yield from (credentials, credentials / "current", credentials / ".current.tmp")
        for number in ("0001", "0002"):
            yield credentials / number
            for name in _NAMES:
                yield from (credentials / number / name, credentials / number / f".{name}.tmp")
        claim = self._bench.fleet.claim
        yield from (claim.certificate, claim.private_key)
        yield from (Path(word) for word in self._more if not word.startswith("-"))

    # What must hold -------------------------------------------------------------------------------------------------

    def look(self, said: str) -> None:  # noqa: ARG002 - nothing is acknowledged before the end
        """The old identity or the new one is whole; before the first there may be none."""
        expected = self._made if self._again else [None, *self._made]
        look_at_identity(self._agent.state_dir, [*expected, *filter(None, [self._old])])

    def heal(self) -> None:
        """The same command without ``--force`` ends provisioned; with it, over the old identity, too."""
        before = self._store.current()
        certificate_id = self._provision().answer["certificate_id"]
        if before is not None:
            assert certificate_id == before.certificate_id, "it did not keep what it had"
        if self._again and certificate_id == self._old:
            certificate_id = self._provision("--force").answer["certificate_id"]
            assert certificate_id != self._old
        look_at_identity(self._agent.state_dir, [certificate_id])
        store = self._store
        assert store.pending() is None, "an attempt is left"
        self._look_at_cloud(certificate_id, store.ledger.latest())

    def _look_at_cloud(self, current: str, known: dict[str, str]) -> None:
        """One certificate in use, at most one more made, and the ledger names it if it is active."""
        made, status = self._made, self._bench.fleet.certificate_status
        assert known[current] == "current"
        assert status(current) == "ACTIVE"
        if self._old is not None:
            assert known[self._old] == "retired", known[self._old]
        assert len(made) <= 2, f"one interruption, and {len(made)} certificates"
        for other in set(made) - {current}:
            if status(other) == "ACTIVE":
                assert known.get(other) in _NAMED, f"ACTIVE, unused and {known.get(other)}"

    # Means ------------------------------------------------------------------------------------------------------------

    @property
    def _store(self) -> Store:
        return Store(self._agent.state_dir, SystemClock())

    @property
    def _made(self) -> list[str]:
        return self._bench.fleet.sandbox.faults.certificates()

    def _provision(self, *more: str) -> Outcome:
        done = self._agent.provision(*self._more, *more)
        assert done.status == 0, f"a plain run ended with {done.status}: {done.stderr[-600:]}"
        assert json.loads(done.stdout)["proven"]
        return done
