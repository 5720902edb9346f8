"""The agent with one thing done wrong, as others do it: wrong_agent.py WRITER WORDS…

Beside the right one so that what is said to find such faults can be shown to find them.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fleet_agent import __main__, files
from fleet_agent.credentials.store import Store


def in_place() -> None:
    """Writes over the file in use."""

    def write(path: Path, data: bytes, mode: int, **_: bool) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        os.write(descriptor, data)
        os.close(descriptor)

    files.write = write


def ledger_last() -> None:
    """Stores the certificate first, and tells the ledger of it afterwards."""
    right = Store.keep_certificate

    def keep_certificate(self: Store, *arguments: Any) -> Any:
        record, reported = self.ledger.record, list[Any]()
        self.ledger.record = lambda *line: reported.append(line)  # type: ignore[method-assign]
        found = right(self, *arguments)
        self.ledger.record = record  # type: ignore[method-assign]
        for line in reported:
            record(*line)
        return found

    Store.keep_certificate = keep_certificate  # type: ignore[method-assign,assignment]


def two_step_swap() -> None:
    """Takes the old link away, then makes the new one."""

    def point(link: Path, target: str) -> None:
        link.unlink(missing_ok=True)
        link.symlink_to(target)

    files.point = point


def unsynced() -> None:
    """Never fsync: a kill cannot tell, a power cut can."""
    os.fsync = lambda fd: None  # noqa: ARG005 - its name in os


WRITERS: dict[str, Callable[[], None]] = {
    "in-place": in_place,
    "ledger-last": ledger_last,
    "two-step-swap": two_step_swap,
    "unsynced": unsynced,
}


if __name__ == "__main__":
    WRITERS[sys.argv.pop(1)]()
    __main__.main()
