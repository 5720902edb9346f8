"""Workload: the ladder back, from a revoked certificate to another one."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from crash.provisioning import Provisioning
from crash.whole import look_at_identity
from crash.workload import Bench
from fleet_agent.identity import ladder, recovery_state
from support.agent import environment

PROGRAM = Path(__file__).with_name("recover_once.py")


class Recovery(Provisioning):
    """One try, with no agent running, as the daemon makes it.

    Args:
        bench: Where.
    """

    def __init__(self, bench: Bench) -> None:
        super().__init__(bench, "csr", again=True)
        self._config = self._agent.configuration(self._folder / "config.yaml")
        self._file = self._agent.state_dir / recovery_state.FILE

    def prepare(self) -> None:
        """A device whose certificate is revoked."""
        is_first = self._old is None
        super().prepare()
        if is_first:
            self._bench.fleet.iot.update_certificate(certificateId=self._old, newStatus="REVOKED")

    def program(self) -> tuple[Sequence[str], Sequence[Path]]:
        """The command, and every file it may touch."""
        return [sys.executable, str(PROGRAM), str(self._config)], list(self._paths())

    def _paths(self) -> Iterator[Path]:
        yield from super()._paths()
        yield from (self._config, self._file, self._file.with_name(f".{self._file.name}.tmp"))

    def heal(self) -> None:
        """The next tries bring it back: at once, or a day later where nobody knows whether a certificate was made."""
        current = self._store.current()
        assert current is not None
        if current.certificate_id == self._old and self._try() == "certificate-limit":
            assert len(self._made) <= 1, "more than one certificate a day"
            self._let_a_day_pass()
            assert self._try() == ""
        current = self._store.current()
        assert current is not None
        assert current.certificate_id != self._old
        assert current.thing_name == self._agent.thing_name
        # As the agent's next start does: the end may have come between the swap and the ledger.
        assert self._provision().answer["certificate_id"] == current.certificate_id
        look_at_identity(self._agent.state_dir, [current.certificate_id])
        assert self._store.pending() is None, "an attempt is left"
        self._look_at_cloud(current.certificate_id, self._store.ledger.latest())

    def _try(self) -> str:
        """Asks once more; the code of what stopped it, empty when nothing did."""
        words, _ = self.program()
        done = subprocess.run(
            words, env=environment(), capture_output=True, text=True, check=False, timeout=150
        )
        assert "Traceback" not in done.stderr, done.stderr[-1500:]
        return done.stderr.splitlines()[-1].split()[0] if done.returncode else ""

    def _let_a_day_pass(self) -> None:
        value = json.loads(self._file.read_text())
        value["asked"]["wall"] -= ladder.CERTIFICATE_EVERY
        value["asked"]["uptime"]["boot"] = "another"
        self._file.write_text(json.dumps(value))
