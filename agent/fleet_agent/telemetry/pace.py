"""How fast one connection may publish. Pure: the time comes in, what to wait comes out.

AWS IoT Core takes 100 publishes and 512 KiB a second on a connection and throttles, later disconnects, who sends more.
Two token buckets, shallow and filled below the rate, so that no second that AWS may look at holds more than the limit.
"""

_DEPTH = 0.1  # of a second's messages may go out at once
_FILL = 0.9
# The message that empties the bucket goes out whole, and may have a quarter of what AWS takes in a second.
_DEPTH_BYTES = 0.01
_FILL_BYTES = 0.73

_HAIR = 1e-6  # short of one is one: waiting for it would be a wake-up for nothing


class Pace:
    """What the connection may still carry.

    Args:
        publishes: Messages a second; 0: no limit.
        bytes_a_second: Bytes of payload and topic a second; 0: no limit.
    """

    def __init__(self, publishes: float, bytes_a_second: float) -> None:
        self._publishes = _Bucket(publishes, _FILL, _DEPTH)
        self._bytes = _Bucket(bytes_a_second, _FILL_BYTES, _DEPTH_BYTES)

    def wait(self, now: float) -> float:
        """Seconds (of the monotonic ``now``) until a message may go; 0 when it may go now."""
        return max(self._publishes.wait(now), self._bytes.wait(now))

    def spend(self, now: float, size: int) -> None:
        """One message of ``size`` bytes goes out. A large one goes into debt, which the next ones wait for."""
        self._publishes.spend(now, 1.0)
        self._bytes.spend(now, size)


class _Bucket:
    def __init__(self, rate: float, fill: float, depth: float) -> None:
        self._rate = rate * fill
        self._depth = max(rate * depth, 1.0)
        self._left = self._depth
        self._at: float | None = None

    def wait(self, now: float) -> float:
        if not self._rate:
            return 0.0
        self._fill(now)
        missing = 1.0 - self._left
        return missing / self._rate if missing > _HAIR else 0.0

    def spend(self, now: float, amount: float) -> None:
        if self._rate:
            self._fill(now)
            self._left -= amount

    def _fill(self, now: float) -> None:
        if self._at is not None:
            self._left = min(self._depth, self._left + max(0.0, now - self._at) * self._rate)
        self._at = now
