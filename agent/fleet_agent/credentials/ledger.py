"""Every certificate id this device ever received, one JSON line an event, appended and fsynced.

An interrupted provisioning can leave a certificate in the cloud; this file is how it is found again.
"""

import json
from pathlib import Path
from typing import Any

from fleet_agent import clock, files, foreign
from fleet_agent.credentials.model import Event


class Ledger:
    """The file ``ledger.jsonl``: lines of ``{"time", "certificate_id", "event", "generation"}``."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def record(self, certificate_id: str, event: Event, generation: int, now: float) -> None:
        """Appends an event durably; ``now`` in Unix seconds.

        Raises:
            StateDirectoryError: It cannot be written.
        """
        line = {
            "time": clock.text(now),
            "certificate_id": certificate_id,
            "event": event.value,
            "generation": generation,
        }
        files.append_line(self._path, json.dumps(line))

    def latest(self, generation: int | None = None) -> dict[str, str]:
        """The last event of each certificate id, in the order they first appeared; of one generation when given.

        A line torn by a power cut is passed over: its certificate was never stored either.

        Raises:
            StateDirectoryError: It cannot be read.
        """
        events: dict[str, str] = {}
        for line in (files.read(self._path, limit=1 << 26) or b"").splitlines():
            try:
                entry: Any = foreign.read(line)
                if generation is not None and entry["generation"] != generation:
                    continue
                events[str(entry["certificate_id"])] = str(entry["event"])
            except (ValueError, KeyError, TypeError):
                continue
        return events
