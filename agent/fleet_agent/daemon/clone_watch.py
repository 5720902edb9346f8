"""Checks once, soon after the start, whether this storage was copied from another device."""

import logging
import math
from pathlib import Path

from fleet_agent.clock import Clock
from fleet_agent.credentials.model import Credential
from fleet_agent.errors import AgentError
from fleet_agent.health.status import Health
from fleet_agent.identity import clone
from fleet_agent.programs.worker import Worker

_log = logging.getLogger(__name__)

# Seconds after the start: late enough not to delay the connection, soon enough to end the worker, which nobody needs
# after this.
AFTER = 2.0


class CloneWatch:
    """Compares the hardware with what the identity was proven on.

    Args:
        state_dir: Where the fingerprint is kept.
        credential: The current one.
        worker: Reads the hardware's ids and hashes them.
        clock: Deadlines are its monotonic seconds.
        health: Where a difference is reported.
    """

    def __init__(
        self, state_dir: Path, credential: Credential, worker: Worker, clock: Clock, health: Health
    ) -> None:
        self._state_dir = state_dir
        self._credential = credential
        self._worker = worker
        self._health = health
        self.due = clock.monotonic() + AFTER

    def act(self) -> None:
        """Compares the hardware once, and reports a copy."""
        self.due = math.inf
        try:
            problem = self._worker.call(clone.look, self._state_dir, self._credential)
        except AgentError as error:
            _log.warning("%s %s", error.title, error.remedy)
            return
        finally:
            self._worker.close()
        if problem is not None:
            self._health.warn(problem)
