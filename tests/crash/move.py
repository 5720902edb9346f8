"""Workload: a move of a live identity to another endpoint, with a claim and a template of there."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from crash.provisioning import Provisioning
from crash.whole import look_at_identity
from crash.workload import Bench
from support.agent import COMMAND, Outcome, run_command
from support.moves import destination, make_destination

HERE, THERE = "localhost", "127.0.0.1"


class Move(Provisioning):
    """``fleet-agent move --to there``, with no agent running.

    Args:
        bench: Where; the sandbox is both places, under two names.
    """

    def __init__(self, bench: Bench) -> None:
        super().__init__(bench, "csr", again=True)
        there = make_destination(bench.fleet.sandbox, bench.folder / "there", bench.fleet)
        self._there = there
        allowed = {"there": destination(there, endpoint=THERE)}
        self._config = self._agent.configuration(
            self._folder / "move.yaml", endpoint=HERE, move={"allowed": allowed}
        )

    def program(self) -> tuple[Sequence[str], Sequence[Path]]:
        """The command, and every file it may touch."""
        words = [str(COMMAND), "move", "--to", "there", "--json", "--config", str(self._config)]
        return [*words, "--timeout", "60"], list(self._paths())

    def _paths(self) -> Iterator[Path]:
        yield from super()._paths()
        yield self._config
        yield from (self._there.claim.certificate, self._there.claim.private_key)

    def look(self, said: str) -> None:
        """The old identity or the new one is whole, and is at home where it says."""
        super().look(said)
        current = self._store.current()
        assert current is not None
        place = HERE if current.certificate_id == self._old else THERE
        assert current.endpoint == place, f"{current.certificate_id} at {current.endpoint}"

    def heal(self) -> None:
        """The same command ends there, with what was begun; once more it has nothing to do."""
        before = self._store.current()
        assert before is not None
        self._move()
        assert not self._move().answer["moved"], "it moved twice"
        current = self._store.current()
        assert current is not None
        if before.certificate_id != self._old:
            assert current.certificate_id == before.certificate_id, "it did not keep what it had"
        assert (current.endpoint, current.certificate_id == self._old) == (THERE, False)
        # As the agent's next start does: the end may have come between the swap and the ledger.
        self._provision()
        look_at_identity(self._agent.state_dir, [current.certificate_id])
        assert self._store.pending() is None, "an attempt is left"
        self._look_at_cloud(current.certificate_id, self._store.ledger.latest())

    def _move(self) -> Outcome:
        done = run_command("move", "--to", "there", "--json", "--config", self._config)
        assert done.status == 0, f"a plain run ended with {done.status}: {done.stderr[-600:]}"
        return done
