"""The orders of one handler, in a folder: one file each, from acceptance until the sender has the outcome.

A file's name says how far the order is: ``NUMBER.json`` waits, ``NUMBER.begun.json`` was begun and must not be begun
again, ``NUMBER.ended.json`` has the outcome, too. So an order outlives the agent and a power cut. Where the disk
takes no writes it is kept in memory instead.
"""

import collections
import contextlib
import dataclasses
import json
import logging
from pathlib import Path
from typing import Any

from fleet_agent import files
from fleet_agent.errors import StateDirectoryError
from fleet_agent.orders import order as form
from fleet_agent.orders import outcome as ending
from fleet_agent.orders.order import Order
from fleet_agent.orders.outcome import Outcome
from fleet_agent.record import mutable

_log = logging.getLogger(__name__)

_DIGITS = 12  # of a file's name
_WAITS, _BEGUN, _ENDED = ".json", ".begun.json", ".ended.json"


@mutable
class Item:
    """An order in its file, or in memory where it has none (``order``)."""

    number: int
    identity: str | None
    path: Path | None = None
    order: Order | None = None


class OrderQueue:
    """The orders of one handler, oldest first.

    Args:
        folder: Holds the files, made when there is one to hold. Those from earlier runs come first.

    Attributes:
        begun: Begun by an earlier run of the agent, and not ended: an item and its order each.
        ended: Ended, and not yet reported: an item, its order and its outcome each.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._waiting: collections.deque[Item] = collections.deque()
        self._number = 0
        self.begun: list[tuple[Item, Order]] = []
        self.ended: list[tuple[Item, Order, Outcome]] = []
        for path in sorted(folder.glob(f"{'[0-9]' * _DIGITS}.*json")):
            self._number = max(self._number, int(path.name[:_DIGITS]))
            self._load(path)
        # A kill came between the outcome and the removal of the file before.
        ended = {item.number for item, _, _ in self.ended}
        for item, _ in [entry for entry in self.begun if entry[0].number in ended]:
            with contextlib.suppress(StateDirectoryError):
                self.remove(item)
        self.begun = [entry for entry in self.begun if entry[0].number not in ended]

    def _load(self, path: Path) -> None:
        try:
            found = self._read(path)
        except StateDirectoryError as error:
            _log.warning("an order is left for the next start: %s", error.title)
            return
        if found is None:
            return
        order, outcome = found
        item = Item(number=int(path.name[:_DIGITS]), identity=order.identity, path=path)
        if outcome is not None:
            self.ended.append((item, order, outcome))
        elif path.name.endswith(_BEGUN):
            self.begun.append((item, order))
        else:
            self._waiting.append(item)

    def __len__(self) -> int:
        return len(self._waiting)

    def has(self, identity: str) -> bool:
        """Whether an order of that identity waits."""
        return any(item.identity == identity for item in self._waiting)

    def had(self, identity: str) -> bool:
        """Whether an earlier run of the agent had begun one of that identity, or not reported its outcome."""
        begun = (item.identity for item, _ in self.begun)
        return identity in begun or identity in (item.identity for item, *_ in self.ended)

    def add(self, order: Order, *, is_begun: bool = False) -> None:
        """Appends an order, durably; ``is_begun``: it is the only one, and is begun at once.

        Raises:
            StateDirectoryError: It cannot be stored, and is kept in memory.
        """
        self._number += 1
        item = Item(number=self._number, identity=order.identity, order=order)
        self._waiting.append(item)
        path = self._path(item, _BEGUN if is_begun else _WAITS)
        files.make_folder(self._folder)
        files.write(path, form.to_bytes(order), 0o600)
        item.path, item.order = path, (order if is_begun else None)

    def add_in_memory(self, order: Order) -> None:
        """Appends an order that is sent again, or may be carried out again, if the agent ends."""
        self._number += 1
        self._waiting.append(Item(number=self._number, identity=order.identity, order=order))

    def next(self) -> tuple[Item, Order] | None:
        """Takes the first order out of the queue; its file stays until ``remove``. None: none waits.

        Raises:
            StateDirectoryError: It cannot be read, and stays the first.
        """
        while self._waiting:
            item = self._waiting[0]
            found = self._read(item.path) if item.path and not item.order else None
            self._waiting.popleft()
            if item.order is not None:
                return item, item.order
            if found is not None:
                return item, found[0]
        return None

    def take(self, identity: str) -> Item | None:
        """Takes the order of that identity out of the queue, wherever it waits; None: it does not wait."""
        found = next((item for item in self._waiting if item.identity == identity), None)
        if found is not None:
            self._waiting.remove(found)
        return found

    def begin(self, item: Item) -> None:
        """Records that it is begun now.

        Raises:
            StateDirectoryError: That cannot be recorded.
        """
        if item.path is not None and not item.path.name.endswith(_BEGUN):
            path = self._path(item, _BEGUN)
            files.move(item.path, path)
            item.path = path

    def end(self, item: Item, order: Order, outcome: Outcome) -> None:
        """Keeps the outcome, until ``remove``.

        Raises:
            StateDirectoryError: It cannot be kept.
        """
        path = self._path(item, _ENDED)
        # The payload is no longer needed.
        kept = form.to_values(dataclasses.replace(order, payload=b""))
        data = json.dumps({"order": kept, "outcome": ending.to_values(outcome)}).encode()
        files.make_folder(self._folder)
        files.write(path, data, 0o600)
        before, item.path = item.path, path
        if before is not None:
            files.remove(before, sync=False)

    def remove(self, item: Item) -> None:
        """Removes its file: nothing is left to do.

        Raises:
            StateDirectoryError: It cannot be removed.
        """
        if item.path is not None:
            files.remove(item.path)

    def _path(self, item: Item, suffix: str) -> Path:
        return self._folder / f"{item.number:0{_DIGITS}}{suffix}"

    def _read(self, path: Path) -> tuple[Order, Outcome | None] | None:
        """Reads a file of the queue; a damaged one is logged and removed."""
        data = files.read(path)
        try:
            return None if data is None else _parsed(data)
        except (ValueError, RecursionError) as error:
            _log.warning("an order was lost: %s is damaged: %s", path, error)
            with contextlib.suppress(StateDirectoryError):
                files.remove(path)
        return None


def _parsed(data: bytes) -> tuple[Order, Outcome | None]:
    values: Any = json.loads(data)
    if not isinstance(values, dict):
        raise ValueError("it is not an object")  # noqa: TRY004 - as for all else that it may be
    if "outcome" in values:
        return form.from_values(values.get("order", {})), ending.from_values(values["outcome"])
    return form.from_values(values), None
