"""The demonstration's devices on the page of a rehearsal."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from fleet_cloud.rehearsal import report, web
from fleet_cloud.rehearsal.journal import Journal, Life

LOOK = 0.5  # seconds between two looks at the devices


class Shown(Protocol):
    """A device."""

    number: int
    words: str

    def note(self, life: Life, now: float) -> None:
        """Notes how far it is."""


@contextmanager
def shown(devices: Sequence[Shown], port: int | None) -> Iterator[None]:
    """Shows the devices for as long as the block lasts; without a port nothing is shown."""
    if port is None:
        yield
        return
    journal = Journal(
        asked={"words": f"{len(devices)} devices of the demonstration, power at once"},
        began=time.time(),
        lives=[Life(name=f"{device.number}: {device.words}") for device in devices],
    )
    board = web.Board(_page(journal, 0.0))
    began, is_over = time.monotonic(), threading.Event()

    def follow() -> None:
        while True:
            ends, now = is_over.wait(LOOK), time.monotonic() - began
            for device, life in zip(devices, journal.lives, strict=True):
                device.note(life, now)
            journal.ended = time.time() if ends else None
            board.put(_page(journal, now), is_last=ends)
            if ends:
                return

    with web.served(board, port) as address:
        print(f"• the devices are shown at {address}", flush=True)
        thread = threading.Thread(target=follow)
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join()


def _page(journal: Journal, now: float) -> report.Report:
    return {**report.of(journal, now), "title": "Demonstration"}
