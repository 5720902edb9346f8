"""Which of very many comes first, where what decides is on disk and mostly rises. Pure but for ``look``.

A heap of lower bounds: only what stands at its top is looked up, and sinks when it turned out to be later than that.
"""

import heapq
import itertools
from collections.abc import Callable
from typing import Generic, TypeVar

_Item = TypeVar("_Item")

# The order: numbers, the first that differs decides.
Key = tuple[float, ...]

_STALE = 64  # entries of what left or was put lower, kept before the heap is made again


class Heads(Generic[_Item]):
    """Items by their keys, the lowest first.

    Args:
        look: The item's key as it is now; None: it has none any more.
    """

    def __init__(self, look: Callable[[_Item], Key | None]) -> None:
        self._look = look
        self._keys: dict[_Item, Key] = {}
        self._heap: list[tuple[Key, int, _Item]] = []
        self._ties = itertools.count()

    def put(self, item: _Item, key: Key) -> None:
        """The item's key is this or higher."""
        before = self._keys.get(item)
        if before is not None and before <= key:
            return
        self._keys[item] = key
        heapq.heappush(self._heap, (key, next(self._ties), item))
        if len(self._heap) > 2 * len(self._keys) + _STALE:
            self._heap = [entry for entry in self._heap if self._keys.get(entry[2]) == entry[0]]
            heapq.heapify(self._heap)

    def discard(self, item: _Item) -> None:
        """It is none of these any more."""
        self._keys.pop(item, None)

    def first(self) -> tuple[_Item, Key] | None:
        """The item with the lowest key, and that key; None: there is none."""
        while self._heap:
            key, _, item = self._heap[0]
            if self._keys.get(item) != key:
                heapq.heappop(self._heap)
                continue
            found = self._look(item)
            # A look into a damaged file may have emptied all of this.
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
