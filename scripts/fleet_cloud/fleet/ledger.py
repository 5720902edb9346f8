"""A device's ledger.jsonl: every certificate that it ever received, and what it said last of each."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from fleet_cloud.errors import UsageError
from fleet_cloud.local import files
from fleet_cloud.local.json_text import parsed

# The possible last events of a certificate that a device will never use again.
_GIVEN_UP = {"unresolved", "retired", "dropped"}
_IN_USE = "current"


@dataclasses.dataclass(frozen=True)
class Ledger:
    """The last event of each certificate id. Whoever had the device's disk may have written it."""

    events: Mapping[str, str]

    @property
    def given_up(self) -> set[str]:
        """The ids of the certificates that the device will never use again."""
        return {identifier for identifier, event in self.events.items() if event in _GIVEN_UP}

    @property
    def in_use(self) -> set[str]:
        """The ids of the certificates that the device uses, as it says."""
        return {identifier for identifier, event in self.events.items() if event == _IN_USE}


def read(path: Path) -> Ledger:
    """Returns what a ledger says.

    Raises:
        UsageError: There is no such file, or it is not a ledger.
    """
    text = files.read(path)
    last: dict[str, str] = {}
    for line in (text or "").splitlines():
        try:
            entry = parsed(line)
        except ValueError:
            continue  # torn by a power cut: the agent passes over it too
        if isinstance(entry, Mapping) and isinstance(entry.get("certificate_id"), str):
            last[entry["certificate_id"]] = str(entry.get("event"))
    if not last:
        raise UsageError(
            f"--ledger {path} {'does not exist' if text is None else 'is not a ledger'}",
            remedy="pass the ledger.jsonl of a device's state directory",
        )
    return Ledger(last)
