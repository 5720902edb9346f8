"""What devices requested, and the outcome, for tests to count. Kept in memory only, without secrets."""

import threading
import time
from collections import deque
from dataclasses import asdict, dataclass, field
from typing import Any

from iot_sandbox.fault_kinds import OPERATIONS

# Certificates are all kept; a bench's millions of publishes are not.
REMEMBERED = 2000


@dataclass
class Call:
    """One request.

    Attributes:
        number: counts all calls.
        at: seconds since 1970.
        operation: one of ``fault_kinds.OPERATIONS``.
        client_id: MQTT client id; for credentials the thing named.
        connection_certificate: id of the certificate the connection was made with.
        topics: the topic published to, the topic filters subscribed to, or the role alias.
        outcome: ``accepted`` (applied), ``rejected``, ``closed`` (never applied: the connection was closed before)
            or ``open`` (not decided yet).
        code: the rejection's statusCode or reason code.
        certificates: ids of the certificates made, more than one where a fault made another.
        thing_name: the thing registered.
        answers: how many answers were sent.
    """

    number: int
    at: float
    operation: str
    client_id: str
    connection_certificate: str | None
    topics: tuple[str, ...] = ()
    outcome: str = "open"
    code: int | None = None
    certificates: list[str] = field(default_factory=list)
    thing_name: str | None = None
    answers: int = 0


class Calls:
    """The record. Safe to use from any thread; a ``Call`` handed out is changed by one thread only."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.clear()

    def clear(self) -> None:
        """Forgets everything and counts from 1 again."""
        with self._lock:
            self._total = 0
            self._counts = {
                name: {"requests": 0, "accepted": 0, "rejected": 0, "closed": 0}
                for name in OPERATIONS
            }
            self._calls: deque[Call] = deque(maxlen=REMEMBERED)
            self._certificates: list[dict[str, str]] = []

    def begin(
        self, operation: str, client_id: str, certificate: str | None, topics: tuple[str, ...] = ()
    ) -> Call:
        """Records a request as it arrives."""
        with self._lock:
            self._total += 1
            self._counts[operation]["requests"] += 1
            call = Call(self._total, time.time(), operation, client_id, certificate, topics)
            self._calls.append(call)
        return call

    def settle(self, call: Call, outcome: str, code: int | None = None) -> None:
        """Records the outcome: ``accepted``, ``rejected`` or ``closed``."""
        with self._lock:
            call.outcome, call.code = outcome, code
            self._counts[call.operation][outcome] += 1

    def issued(self, call: Call, certificate_id: str) -> None:
        """Records a certificate made for it."""
        with self._lock:
            call.certificates.append(certificate_id)
            made = {"certificate_id": certificate_id, "operation": call.operation}
            self._certificates.append({**made, "client_id": call.client_id})

    def as_json(self) -> dict[str, Any]:
        """Returns what ``GET /_sandbox/calls`` shows."""
        with self._lock:
            return {
                "operations": {name: dict(counts) for name, counts in self._counts.items()},
                "certificates": list(self._certificates),
                "calls": [asdict(call) for call in self._calls],
            }
