"""Workloads: an adoption, and one over a live identity."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from crash.provisioning import Provisioning
from crash.whole import look_at_identity
from crash.workload import Bench
from support.adopted import make_pair_of_thing
from support.agent import COMMAND, Outcome, run_command


class Adoption(Provisioning):
    """``fleet-agent adopt``.

    Args:
        bench: Where.
        again: Over a live identity, with ``--force``.
    """

    def __init__(self, bench: Bench, *, again: bool) -> None:
        super().__init__(bench, "csr", again=again)
        self._pair = make_pair_of_thing(
            bench.fleet, self._folder / "given", f"adopted{int(again)}"
        )
        self._given = self._pair.certificate.read_bytes(), self._pair.private_key.read_bytes()

    def program(self) -> tuple[Sequence[str], Sequence[Path]]:
        """The command, and every file it may touch."""
        force = ["--force"] if self._again else []
        return [str(COMMAND), *map(str, self._words()), *force], list(self._paths())

    def _words(self) -> list[str | Path]:
        pair, sandbox = self._pair, self._bench.fleet.sandbox
        return [
            "adopt", "--json", "--cert", pair.certificate, "--key", pair.private_key,
            "--thing-name", pair.thing_name, "--endpoint", sandbox.endpoint,
            "--port", str(sandbox.mqtt_port), "--ca-file", sandbox.ca_file,
            "--state-dir", self._agent.state_dir, "--allow-volatile", "--timeout", "60",
        ]  # fmt: skip

    def _paths(self) -> Iterator[Path]:
        yield from super()._paths()
        yield from (self._pair.certificate, self._pair.private_key)

    def look(self, said: str) -> None:  # noqa: ARG002 - nothing is acknowledged before the end
        """What there was, or the given pair; whose files nobody touched."""
        look_at_identity(self._agent.state_dir, [self._old, self._pair.certificate_id])
        pair = self._pair
        assert (pair.certificate.read_bytes(), pair.private_key.read_bytes()) == self._given

    def heal(self) -> None:
        """The same command comes to its end, and nothing was asked of AWS IoT."""
        current = self._store.current()
        is_there = current is not None and current.certificate_id == self._pair.certificate_id
        self._adopt(*(["--force"] if self._again and not is_there else []))
        look_at_identity(self._agent.state_dir, [self._pair.certificate_id])
        store = self._store
        assert store.pending() is None, "an attempt is left"
        known = store.ledger.latest()
        assert known.pop(self._pair.certificate_id) == "current"
        assert known == ({self._old: "retired"} if self._old else {})
        assert not self._made

    def _adopt(self, *more: str) -> Outcome:
        done = run_command(*self._words(), *more)
        assert done.status == 0, f"a plain run ended with {done.status}: {done.stderr[-600:]}"
        return done
