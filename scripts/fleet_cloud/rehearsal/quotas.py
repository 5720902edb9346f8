"""Quotas as AWS and as the sandbox count them, against any clock. Pure."""

import collections


class Bucket:
    """AWS's token bucket: so many a second, and no more than a second's worth at once."""

    def __init__(self, per_second: float) -> None:
        self._rate = per_second
        self._level = self._size = max(1.0, per_second)
        self._filled = 0.0

    def takes(self, now: float) -> bool:
        """Takes one if there is one."""
        self._level = min(self._size, self._level + (now - self._filled) * self._rate)
        self._filled = now
        if self._level < 1.0:
            return False
        self._level -= 1.0
        return True


class Window:
    """As the sandbox counts: never more than so many in any one second, whatever was left over before."""

    def __init__(self, per_second: float) -> None:
        self._most = per_second
        self._taken: collections.deque[float] = collections.deque()

    def takes(self, now: float) -> bool:
        """Takes one if there is one."""
        while self._taken and self._taken[0] <= now - 1.0:
            self._taken.popleft()
        if len(self._taken) >= self._most:
            return False
        self._taken.append(now)
        return True
