"""Workload: a rotation over a live identity, asked for with the device's own certificate."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from crash.provisioning import Provisioning
from crash.whole import look_at_identity
from crash.workload import Bench
from support.agent import COMMAND, Outcome, run_command
from support.fleets import allow_rotation


class Rotation(Provisioning):
    """``fleet-agent rotate --force``, with no agent running.

    Args:
        bench: Where; a workload has one of its own, and its fleet lets devices rotate from here on.
    """

    def __init__(self, bench: Bench) -> None:
        super().__init__(bench, "csr", again=True)
        allow_rotation(bench.fleet)
        self._config = self._agent.configuration(self._folder / "config.yaml")

    def program(self) -> tuple[Sequence[str], Sequence[Path]]:
        """The command, and every file it may touch."""
        words = [str(COMMAND), "rotate", "--force", "--json", "--config", str(self._config)]
        return [*words, "--timeout", "60"], list(self._paths())

    def _paths(self) -> Iterator[Path]:
        yield from super()._paths()
        yield self._config

    def heal(self) -> None:
        """What was begun is due and comes to its end; what was not is asked for again."""
        was_begun = self._store.pending() is not None
        self._rotate()
        current = self._store.current()
        assert current is not None
        if was_begun:
            assert current.certificate_id != self._old, "what was begun is not gone on with"
        if current.certificate_id == self._old:
            self._rotate("--force")
            current = self._store.current()
            assert current is not None
            assert current.certificate_id != self._old
        # As the agent's next start does: the end may have come between the swap and the ledger.
        assert self._provision().answer["certificate_id"] == current.certificate_id
        look_at_identity(self._agent.state_dir, [current.certificate_id])
        assert self._store.pending() is None, "an attempt is left"
        self._look_at_cloud(current.certificate_id, self._store.ledger.latest())

    def _rotate(self, *more: str) -> Outcome:
        done = run_command("rotate", "--json", "--config", self._config, *more)
        assert done.status == 0, f"a plain run ended with {done.status}: {done.stderr[-600:]}"
        return done
