"""How fast an account may be asked: a bucket for each operation of AWS, which throttling makes slower.

The rates are AWS's defaults; an account may have more or, shared with others, less. Throttling shows: the bucket's rate
falls to seven tenths of what got through, and then rises by a twentieth of that a second. Another place than Amazon's
has no quotas until it throttles, and AWS's from then on.
"""

import dataclasses
import threading
from collections.abc import Callable

# Calls a second, for operations that are called once for each thing or certificate.
QUOTAS: dict[str, float] = {
    "AttachPolicy": 15,
    "AttachThingPrincipal": 100,
    "CreateCertificateFromCsr": 15,
    "CreateKeysAndCertificate": 10,
    "CreatePolicy": 10,
    "CreateThing": 100,
    "DeleteCertificate": 10,
    "DeletePolicy": 10,
    "DeleteThing": 100,
    "DescribeCertificate": 10,
    "DescribeJobExecution": 10,
    "DescribeThing": 350,
    "DetachPolicy": 15,
    "DetachThingPrincipal": 100,
    "ListThingPrincipals": 20,
    "SearchIndex": 15,
    "UpdateCertificate": 10,
    "UpdateThing": 100,
}

# Share of a quota: the rest is for other work in the account, and for clocks that differ.
_SHARE = 0.95
# Tokens available at once after a pause, in seconds of the rate.
_BURST_SECONDS = 0.5
_FALL, _RISE = 0.7, 0.05
_SLOWEST = 0.5
_FALLS_APART_SECONDS = 1.0
_MEASURED_SECONDS = 1.0


@dataclasses.dataclass
class _Bucket:
    most: float | None
    rate: float | None
    next: float = 0.0
    fell: float = float("-inf")
    since: float = 0.0
    taken: int = 0
    passed: float = 0.0


class Pace:
    """The buckets of one account and region.

    Args:
        clock: Returns seconds that only increase.
        known: AWS's quotas hold; otherwise only throttling shows them.
    """

    def __init__(self, clock: Callable[[], float], *, known: bool) -> None:
        self._clock = clock
        self._known = known
        self._lock = threading.Lock()
        self._buckets: dict[str, _Bucket] = {}

    def reserve(self, operation: str) -> float:
        """Reserves the next call; returns in how many seconds it may be made."""
        with self._lock:
            now, bucket = self._clock(), self._bucket(operation)
            self._measure(bucket, now)
            if bucket.rate is None:
                return 0.0
            rate = self._risen(bucket, now)
            at = max(bucket.next, now - _BURST_SECONDS)
            bucket.next = at + 1 / rate
            return max(0.0, at - now)

    def throttled(self, operation: str) -> None:
        """Slows down; calls that were throttled at the same time count once."""
        with self._lock:
            now, bucket = self._clock(), self._bucket(operation)
            if now - bucket.fell < _FALLS_APART_SECONDS:
                return
            quota = self._quota(operation)
            if bucket.rate is None and quota and self._measured(bucket, now) > quota:
                bucket.most = bucket.rate = quota
            else:
                rate = self._risen(bucket, now) if bucket.rate else self._measured(bucket, now)
                bucket.rate = max(_SLOWEST, rate * _FALL)
            bucket.fell = now
            bucket.next = max(bucket.next, now + 1 / bucket.rate)

    def rate(self, operation: str) -> float | None:
        """Returns how many calls a second there may be now; nothing when nothing limits them."""
        with self._lock:
            bucket = self._bucket(operation)
            return self._risen(bucket, self._clock()) if bucket.rate else None

    def _bucket(self, operation: str) -> _Bucket:
        if operation not in self._buckets:
            rate = self._quota(operation) if self._known else None
            self._buckets[operation] = _Bucket(most=rate, rate=rate, since=self._clock())
        return self._buckets[operation]

    def _quota(self, operation: str) -> float | None:
        quota = QUOTAS.get(operation)
        return quota * _SHARE if quota else None

    def _risen(self, bucket: _Bucket, now: float) -> float:
        rate = bucket.rate or _SLOWEST
        if bucket.fell == float("-inf"):
            return rate
        risen = rate * (1 + _RISE * (now - bucket.fell))
        return min(risen, bucket.most) if bucket.most else risen

    def _measure(self, bucket: _Bucket, now: float) -> None:
        if now - bucket.since >= _MEASURED_SECONDS:
            bucket.passed = bucket.taken / (now - bucket.since)
            bucket.since, bucket.taken = now, 0
        bucket.taken += 1

    def _measured(self, bucket: _Bucket, now: float) -> float:
        return max(bucket.passed, bucket.taken / max(now - bucket.since, _MEASURED_SECONDS), 1.0)
