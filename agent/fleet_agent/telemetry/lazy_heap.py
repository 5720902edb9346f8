"""A priority queue whose exact keys are on disk and mostly rise. Pure but for ``look``.

A heap of lower bounds: only the item at the top is looked up, and sinks if its key turns out to be higher.
"""

import heapq
import itertools
from collections.abc import Callable
from typing import Generic, TypeVar

_Item = TypeVar("_Item")

# Compared element by element.
Key = tuple[float, ...]

_STALE = 64  # outdated entries kept before the heap is rebuilt


class LazyHeap(Generic[_Item]):
    """Items by key, lowest first.

    Args:
        look: Returns an item's current key; None: it no longer has one.
    """

    def __init__(self, look: Callable[[_Item], Key | None]) -> None:
        self._look = look
        self._keys: dict[_Item, Key] = {}
        self._heap: list[tuple[Key, int, _Item]] = []
        self._ties = itertools.count()

    def put(self, item: _Item, key: Key) -> None:
        """Adds an item whose key is this or higher."""
        before = self._keys.get(item)
        if before is not None and before <= key:
            return
        self._keys[item] = key
        heapq.heappush(self._heap, (key, next(self._ties), item))
        if len(self._heap) > 2 * len(self._keys) + _STALE:
            self._heap = [entry for entry in self._heap if self._keys.get(entry[2]) == entry[0]]
            heapq.heapify(self._heap)

    def discard(self, item: _Item) -> None:
        """Removes an item, if it is there."""
        self._keys.pop(item, None)

    def first(self) -> tuple[_Item, Key] | None:
        """Returns the item with the lowest key, and that key; None: it is empty."""
        while self._heap:
            key, _, item = self._heap[0]
            if self._keys.get(item) != key:
                heapq.heappop(self._heap)
                continue
            found = self._look(item)
            # A lookup in a damaged file may have emptied the heap.
            if self._keys.get(item) != key:
                continue
            if found is None:
                del self._keys[item]
            elif found <= key:
                return item, found
            else:
                self._keys[item] = found
                heapq.heapreplace(self._heap, (found, next(self._ties), item))
        return None
