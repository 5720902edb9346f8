"""How fast one connection may publish. Pure: the time comes in, what to wait comes out.

AWS IoT Core takes 100 publishes and 512 KiB a second on a connection and throttles, later disconnects, who sends more.
No second that it may look at holds more than either. Messages have a token bucket, shallow and filled below the rate.
One message may have a quarter of a second's bytes, so of bytes all that went out within the last second is counted.
"""

import collections

_SECOND = 1.001  # the last bit of a sum of times is nobody's
_HAIR = 1e-6  # short of one is one: waiting for it would be a wake-up for nothing


class Pace:
    """What the connection may still carry.

    Args:
        publishes: Messages a second; 0: no limit.
        bytes_a_second: Bytes of packets a second; 0: no limit.
    """

    def __init__(self, publishes: float, bytes_a_second: float) -> None:
        self._messages = _Messages(publishes)
        self._bytes = _Bytes(bytes_a_second)

    def wait(self, now: float, size: int) -> float:
        """Seconds (of the monotonic ``now``) until a message of ``size`` bytes may go; 0 when it may go now."""
        return max(self._messages.wait(now), self._bytes.wait(now, size))

    def spend(self, now: float, size: int) -> None:
        """One message of ``size`` bytes goes out."""
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
        return missing / self._rate if missing > _HAIR else 0.0

    def spend(self, now: float) -> None:
        if self._rate:
            self._fill(now)
            self._left -= 1.0

    def _fill(self, now: float) -> None:
        if self._at is not None:
            self._left = min(self._depth, self._left + max(0.0, now - self._at) * self._rate)
        self._at = now


class _Bytes:
    """Bytes: spread over the second, so that two bursts do not meet on a slow line, and counted over each."""

    _BURST = 0.01  # seconds of the rate that go out at once
    _PART = 0.01  # seconds whose messages are remembered as one

    def __init__(self, rate: float) -> None:
        self._rate = rate * 0.98
        self._spread_until = 0.0
        # Of the last second: when a part began, when its last message went, bytes.
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
        return until - now if until - now > _HAIR else 0.0

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
