"""What can be made to go wrong, call by call. Decides only; ``provisioning`` and ``session`` act on it.

A fault belongs to one operation and says on which calls it acts, counted from the moment it was set. ``Faults`` is
the table of those that are set; ``Plan`` is what they come to for one call. Several may act on the same call; they
take effect in the order close-before, refusal (policy-spread, quota, token-reuse, reject), delay, edits of the
answer, number of answers, close-after.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Literal

from iot_sandbox.fault_kinds import EVERY, KINDS, NOT_AUTHORIZED, call_numbers, checked


@dataclass(frozen=True)
class Request:
    """A call, as faults distinguish them.

    Attributes:
        operation: one of ``fault_kinds.OPERATIONS``, or of ``API``.
        client_id: MQTT client id; for credentials the thing named.
        topics: the topic published to, the topic filters subscribed to, or the role alias.
        is_provisioning: whether a publish is itself a provisioning request.
        registered_for: seconds since RegisterThing accepted the connection's certificate, if it did.
    """

    operation: str
    client_id: str
    topics: tuple[str, ...] = ()
    is_provisioning: bool = False
    registered_for: float | None = None


@dataclass
class Bucket:
    """Tokens, which come at a rate, as many as there is room for; full at first."""

    missing: float = 0.0
    counted: float = 0.0

    def takes(self, now: float, per_second: float, room: float) -> bool:
        """Takes a token if there is one."""
        self.missing = max(0.0, self.missing - (now - self.counted) * per_second)
        self.counted = now
        if self.missing > room - 1:
            return False
        self.missing += 1
        return True


@dataclass
class Fault:
    """One fault that is set.

    Attributes:
        number: what ``remove`` takes.
        calls: ``"every"``, or the calls it acts on, the first after it was set being 1.
        client_id: shell pattern, or None for any client.
        topic: shell pattern; None for any topic but, for publishes, those of provisioning requests.
        parameters: those of its kind.
        seen: matching calls so far.
        hits: calls it acted on so far.
    """

    number: int
    operation: str
    kind: str
    calls: Literal["every"] | tuple[int, ...]
    client_id: str | None
    topic: str | None
    parameters: dict[str, Any]
    seen: int = 0
    hits: int = 0
    admitted: deque[float] = field(default_factory=deque, repr=False)
    bucket: Bucket = field(default_factory=Bucket, repr=False)

    def concerns(self, request: Request) -> bool:
        """Whether the request is one of those this fault counts."""
        if self.operation != request.operation:
            return False
        if self.client_id is not None and not fnmatchcase(request.client_id, self.client_id):
            return False
        if self.topic is None:
            return not request.is_provisioning
        return any(fnmatchcase(topic, self.topic) for topic in request.topics)

    def count(self) -> bool:
        """Counts one call; returns whether the fault acts on it."""
        self.seen += 1
        acts = self.calls == EVERY or self.seen in self.calls
        self.hits += acts
        return acts

    def as_json(self) -> dict[str, Any]:
        """Returns what ``GET /_sandbox/faults`` shows."""
        return {
            "number": self.number,
            "operation": self.operation,
            "kind": self.kind,
            "calls": self.calls if self.calls == EVERY else list(self.calls),
            "client_id": self.client_id,
            "topic": self.topic,
            **self.parameters,
            "seen": self.seen,
            "hits": self.hits,
        }


@dataclass(frozen=True)
class Plan:
    """What the faults come to for one call.

    Attributes:
        close: whether the connection is closed, and if before or after the call is applied.
        refusal: parameters of the ``reject`` that answers instead of applying, or None.
        token_reuse: what a second RegisterThing with one token meets; None where no fault says so.
        delay: seconds the answer waits.
        edits: faults that change the answer, in the order they were set.
        answers: how often the answer goes out.
    """

    close: Literal["before", "after"] | None = None
    refusal: dict[str, Any] | None = None
    token_reuse: str | None = None
    delay: float = 0.0
    edits: tuple[Fault, ...] = ()
    answers: int = 1


_THROTTLED = {"status_code": 429, "error_code": "Throttling", "message": "Rate exceeded"}
_EDITS = (
    "answer-other-key",
    "malformed",
    "replace",
    "drop-fields",
    "long-token",
    "expires-in",
)


class Faults:
    """The faults that are set. Safe to use from any thread."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._last_number = 0

    def add(
        self,
        operation: str,
        kind: str,
        *,
        calls: Literal["every"] | int | Iterable[int] | None = None,
        client_id: str | None = None,
        topic: str | None = None,
        **parameters: object,
    ) -> Fault:
        """Sets a fault.

        Args:
            operation: one of ``fault_kinds.OPERATIONS``.
            kind: one of ``fault_kinds.KINDS``.
            calls: ``"every"``, one number or several, counted from 1 and from now; by default the next call,
                or every call for quota, token-reuse and policy-spread.
            client_id: shell pattern of the clients concerned.
            topic: shell pattern of the topics or topic filters concerned.
            parameters: those of the kind.

        Raises:
            FaultError: unknown operation, kind or parameter, or a kind that is not valid there.
        """
        wanted = checked(operation, kind, parameters)
        numbers = call_numbers(calls, every=KINDS[kind].every)
        with self._lock:
            self._last_number += 1
            fault = Fault(self._last_number, operation, kind, numbers, client_id, topic, wanted)
            self._faults.append(fault)
        return fault

    def remove(self, number: int) -> bool:
        """Removes one fault; returns whether it was set."""
        with self._lock:
            kept = [fault for fault in self._faults if fault.number != number]
            found = len(kept) < len(self._faults)
            self._faults = kept
        return found

    def clear(self) -> None:
        """Removes every fault."""
        with self._lock:
            self._faults = []

    def listed(self) -> list[dict[str, Any]]:
        """Returns every fault that is set, as JSON values."""
        with self._lock:
            return [fault.as_json() for fault in self._faults]

    def plan(self, request: Request) -> Plan:
        """Counts one call and says what happens to it."""
        with self._lock:
            acting = [f for f in self._faults if f.concerns(request) and f.count()]
            refusal = self._refusal(acting, request)
        return _plan(acting, refusal)

    def _refusal(self, acting: list[Fault], request: Request) -> dict[str, Any] | None:
        for fault in acting:
            if fault.kind == "policy-spread":
                age = request.registered_for
                if age is not None and age < fault.parameters["seconds"]:
                    return {"reason_code": NOT_AUTHORIZED}
            elif fault.kind == "quota" and not self._admits(fault):
                return _THROTTLED
        return next((f.parameters for f in acting if f.kind == "reject"), None)

    def _admits(self, quota: Fault) -> bool:
        now, burst = self._now(), quota.parameters["burst"]
        if burst:
            return quota.bucket.takes(now, quota.parameters["per_second"], burst)
        while quota.admitted and quota.admitted[0] <= now - 1.0:
            quota.admitted.popleft()
        if len(quota.admitted) >= quota.parameters["per_second"]:
            return False
        quota.admitted.append(now)
        return True


def _plan(acting: list[Fault], refusal: dict[str, Any] | None) -> Plan:
    kinds = [fault.kind for fault in acting]
    modes = [f.parameters["mode"] for f in acting if f.kind == "token-reuse"]
    answers = 2 if "answer-twice" in kinds else 1
    after: Literal["after"] | None = "after" if "close-after" in kinds else None
    return Plan(
        close="before" if "close-before" in kinds else after,
        refusal=refusal,
        token_reuse=modes[-1] if modes else None,
        delay=sum(f.parameters["seconds"] for f in acting if f.kind == "delay"),
        edits=tuple(fault for fault in acting if fault.kind in _EDITS),
        answers=0 if "lose-answer" in kinds else answers,
    )
