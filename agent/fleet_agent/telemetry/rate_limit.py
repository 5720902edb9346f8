"""The rate limit of one connection. Pure: the caller passes the time and gets the wait.

AWS IoT Core accepts 100 publishes and 512 KiB a second on a connection; it throttles, and later disconnects, a client
that sends more. No window of one second exceeds either limit. Messages use a shallow token bucket, filled below the
rate. A single message may have a quarter of a second's bytes, so bytes are summed over the last second exactly.
"""

import collections

_SECOND = 1.001  # with room for rounding errors
_EPSILON = 1e-6  # a wait this short would be a wake-up for nothing


class RateLimit:
    """Limits messages and bytes.

    Args:
        publishes: Messages a second; 0: no limit.
        bytes_a_second: Bytes of packets a second; 0: no limit.
    """

    def __init__(self, publishes: float, bytes_a_second: float) -> None:
        self._messages = _Messages(publishes)
        self._bytes = _Bytes(bytes_a_second)

    def wait(self, now: float, size: int) -> float:
        """Returns the seconds from ``now`` (monotonic) until a message of ``size`` bytes may go; 0: now."""
        return max(self._messages.wait(now), self._bytes.wait(now, size))

    def spend(self, now: float, size: int) -> None:
        """Counts a message of ``size`` bytes."""
        self._messages.spend(now)
        self._bytes.spend(now, size)


class _Messages:
    def __init__(self, rate: float) -> None:
        self._rate = rate * 0.9
        self._depth = max(rate * 0.1, 1.0)
        self._left = self._depth
        self._at: float | None = None

    def wait(self, now: float) -> float:
        if not self._rate:
            return 0.0
        self._fill(now)
        missing = 1.0 - self._left
        return missing / self._rate if missing > _EPSILON else 0.0

    def spend(self, now: float) -> None:
        if self._rate:
            self._fill(now)
            self._left -= 1.0

    def _fill(self, now: float) -> None:
        if self._at is not None:
            self._left = min(self._depth, self._left + max(0.0, now - self._at) * self._rate)
        self._at = now


class _Bytes:
    """Bytes: spread over each second, so that bursts do not collide on a slow line, and summed over the last one."""

    _BURST = 0.01  # seconds' worth of bytes that may go out at once
    _PART = 0.01  # seconds whose messages are recorded together

    def __init__(self, rate: float) -> None:
        self._rate = rate * 0.98
        self._spread_until = 0.0
        # Over the last second: when a part began, when its last message went, its bytes.
        self._parts: collections.deque[tuple[float, float, int]] = collections.deque()
        self._total = 0

    def wait(self, now: float, size: int) -> float:
        if not self._rate:
            return 0.0
        while self._parts and self._parts[0][1] + _SECOND <= now:
            self._total -= self._parts.popleft()[2]
        until = self._spread_until - self._BURST
        surplus = self._total + size - self._rate
        for _, last, amount in self._parts if surplus > 0 else ():
            until = max(until, last + _SECOND)
            surplus -= amount
            if surplus <= 0:
                break
        return until - now if until - now > _EPSILON else 0.0

    def spend(self, now: float, size: int) -> None:
        if not self._rate:
            return
        self._spread_until = max(self._spread_until, now) + size / self._rate
        self._total += size
        if self._parts and now < self._parts[-1][0] + self._PART:
            began, _, before = self._parts.pop()
            self._parts.append((began, now, before + size))
        else:
            self._parts.append((now, now, size))
