"""Orders from the cloud to replace the credential, or to move: a message on a topic, or an AWS IoT Job.

A job is carried out without a note of our own: its ``statusDetails`` say from which certificate the device is to get
away. While that is still the current one there is something to do; when it is not, the job has succeeded, whatever
happened in between. AWS must have those details before anything is done: a job that could not be taken down would be
begun again after every connect, a certificate each time.
"""

import enum
import json
import logging
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol

from fleet_agent.clock import Clock, passed
from fleet_agent.credentials.model import Credential
from fleet_agent.errors import AgentError
from fleet_agent.printable import printable
from fleet_agent.record import record
from fleet_agent.session.message import Outgoing
from fleet_agent.topics import filters

_log = logging.getLogger(__name__)

OPERATION = "rotate-credential"
# The same, to another account or region: `{"operation": "move", "to": NAME}`.
MOVE = "move"
# Seconds after a rotation in which a message orders no other: QoS 1 may bring it twice.
PAUSE = 600.0
PAUSE_FAILED = 60.0  # seconds; the same after one that failed

# AWS IoT's own rule for the id of a job.
_JOB = re.compile(r"[0-9A-Za-z_-]{1,64}")
_DETAIL = 1024  # characters of a statusDetails value that AWS takes


class _Arrived(Protocol):
    @property
    def topic(self) -> str: ...

    @property
    def payload(self) -> bytes: ...

    @property
    def retain(self) -> bool: ...

    @property
    def acknowledge(self) -> Callable[[], None]: ...


class Receipt(enum.Enum):
    """What became of a message."""

    NOT_OURS = "not for us"
    TAKEN = "taken and acknowledged"
    ROTATE = "an order to replace the credential now"


@record
class Moves:
    """Which moves may be ordered: ``names`` of destinations, by jobs, by messages on ``topic`` (filled in; None)."""

    names: Collection[str] = ()
    takes_jobs: bool = False
    topic: str | None = None


NOWHERE = Moves()


class Orders:
    """Listens for orders.

    Args:
        credential: The current one.
        topic: The filter of the order topic, filled in; None: there is none.
        takes_jobs: Whether to carry out jobs that order a rotation.
        moves: Which moves may be ordered.
        send: Publishes.
        clock: For the pause after a rotation.
    """

    def __init__(
        self,
        *,
        credential: Credential,
        topic: str | None,
        takes_jobs: bool,
        moves: Moves = NOWHERE,
        send: Callable[[Outgoing], None],
        clock: Clock,
    ) -> None:
        self._credential = credential
        self._topic = topic
        self._takes_jobs = takes_jobs or moves.takes_jobs
        ordered = {OPERATION: takes_jobs, MOVE: moves.takes_jobs}
        self._operations = [operation for operation, taken in ordered.items() if taken]
        # Why the last rotation did not succeed, until it is reported to its job; and when that was (monotonic seconds).
        self._failure: AgentError | None = None
        self._failed_at: float | None = None
        self._send = send
        self._clock = clock
        self._jobs = f"$aws/things/{credential.client_id}/jobs"
        self._moves = moves
        # Where the order that is to be carried out wants this device; None: it is to rotate.
        self.destination: str | None = None
        self._moving_for: str | None = None  # the job

    def rotated(self, credential: Credential) -> None:
        """The credential was replaced by this one."""
        self._credential = credential
        self._failure = self._failed_at = None

    def failed(self, error: AgentError) -> None:
        """The credential was not replaced."""
        self._failure = error
        self._failed_at = self._clock.monotonic()

    def moved(self) -> list[Outgoing]:
        """The device has moved: what is left to say where it was."""
        job, self._moving_for = self._moving_for, None
        if job is None or not _JOB.fullmatch(job):
            return []
        details = {"from": self._credential.certificate_id, "moved": "yes"}
        document = {"status": "SUCCEEDED", "statusDetails": details}
        topic = f"{self._jobs}/{job}/update"
        return [Outgoing(topic=topic, payload=json.dumps(document).encode())]

    def connected(self) -> None:
        """Ask for the job that is next."""
        if self._takes_jobs:
            self._publish("$next/get", {"includeJobDocument": True})

    def take(self, message: _Arrived) -> Receipt:
        """Look at a message.

        An order on the topic is acknowledged when it comes again after the rotation: should the agent end before, it is
        not lost. That of a job AWS keeps anyway.
        """
        if self._takes_jobs and message.topic in (
            f"{self._jobs}/notify-next",
            f"{self._jobs}/$next/get/accepted",
        ):
            receipt = self._look(message)
        elif self._takes_jobs and filters.matches(f"{self._jobs}/+/update/+", message.topic):
            receipt = self._answered(message)
        elif self._is_order(message):
            receipt = self._order(message)
            if receipt is Receipt.ROTATE:
                return receipt
        else:
            return Receipt.NOT_OURS
        message.acknowledge()
        return receipt

    def _is_order(self, message: _Arrived) -> bool:
        topics = (self._topic, self._moves.topic)
        return any(topic and filters.matches(topic, message.topic) for topic in topics)

    def _order(self, message: _Arrived) -> Receipt:
        is_move = self._moves.topic and filters.matches(self._moves.topic, message.topic)
        proven, topic = self._credential.proven, printable(message.topic)
        if message.retain:
            _log.info("a retained message on %s is no order: it comes with every connect", topic)
        elif is_move and (name := _named(message.payload)) not in self._moves.names:
            _log.warning("an order on %s to move to %s, which is not allowed", topic, name)
        elif not is_move and proven is not None and 0 <= self._passed(proven) < PAUSE:
            _log.info("an order to rotate on %s was ignored: the credential is new", topic)
        elif (
            self._failed_at is not None
            and self._clock.monotonic() - self._failed_at < PAUSE_FAILED
        ):
            _log.info(
                "an order to rotate on %s was ignored: a rotation failed a moment ago", topic
            )
        else:
            _log.info("a message on %s orders a %s", topic, "move" if is_move else "rotation")
            self.destination = name if is_move else None
            return Receipt.ROTATE
        return Receipt.TAKEN

    def _passed(self, proven: float) -> float:
        return passed(proven, self._credential.uptime, self._clock)

    def _look(self, message: _Arrived) -> Receipt:
        try:
            execution: Any = json.loads(message.payload).get("execution") or {}
            job = execution["jobId"]
            document, status = execution["jobDocument"], execution["status"]
            details: Any = execution.get("statusDetails") or {}
            is_ours = document.get("operation") in self._operations
            to = _name(document.get("to")) if document.get("operation") == MOVE else None
            began_with = details.get("from")
            if not (isinstance(job, str) and _JOB.fullmatch(job)):
                raise ValueError  # noqa: TRY301 - it becomes part of a topic
        except (ValueError, AttributeError, KeyError, TypeError, RecursionError):
            if b"jobId" in message.payload:
                _log.warning("a job that cannot be read: %s", printable(message.payload))
            return Receipt.TAKEN
        if not is_ours:
            _log.info(
                "the job %s is not for this agent and stays as it is", printable(job.encode())
            )
        elif to is not None and to not in self._moves.names:
            reason = f"move-not-allowed: `move.allowed` does not name {to!r}."
            self._update(job, "FAILED", {"reason": reason[:_DETAIL]})
        elif status == "QUEUED" or began_with is None:
            self._begin(job, to)
        elif began_with != self._credential.certificate_id:
            # Both ids: the cloud retires the one, now that the device is seen with the other.
            _log.info("the job %s is done", printable(job.encode()))
            self._update(
                job,
                "SUCCEEDED",
                {"from": str(began_with), "certificate": self._credential.certificate_id},
            )
        elif self._failure is not None:
            reason = f"{self._failure.code}: {self._failure.title}"
            self._failure = None
            details = {"from": self._credential.certificate_id, "reason": reason[:_DETAIL]}
            self._update(job, "FAILED", details)
        else:
            return self._carry_out(job, to)
        return Receipt.TAKEN

    def _begin(self, job: str, to: str | None) -> None:
        what = "rotation" if to is None else "move"
        _log.info("the job %s orders a %s", printable(job.encode()), what)
        self._failure = None
        details = {"from": self._credential.certificate_id} | ({"to": to} if to else {})
        self._update(job, "IN_PROGRESS", details)

    def _carry_out(self, job: str, to: str | None) -> Receipt:
        self.destination = to
        self._moving_for = job if to is not None else None
        return Receipt.ROTATE

    def _answered(self, message: _Arrived) -> Receipt:
        """AWS took, or refused, an update of a job."""
        if not message.topic.endswith("/accepted"):
            _log.warning("AWS IoT refused the update of a job: %s", printable(message.payload))
            return Receipt.TAKEN
        try:
            state: Any = json.loads(message.payload).get("executionState") or {}
            details: Any = state.get("statusDetails") or {}
            status, began_with = state.get("status"), details.get("from")
            to = _name(details["to"]) if "to" in details else None
        except (ValueError, AttributeError, RecursionError):
            return Receipt.TAKEN
        is_begun = status == "IN_PROGRESS" and began_with == self._credential.certificate_id
        # An update that comes a second time after a failure is no second order.
        if is_begun and self._failure is None and (to is None or to in self._moves.names):
            return self._carry_out(message.topic.split("/")[-3], to)
        return Receipt.TAKEN

    def _update(self, job: str, status: str, details: Mapping[str, str]) -> None:
        self._publish(
            f"{job}/update",
            {"status": status, "statusDetails": details, "includeJobExecutionState": True},
        )

    def _publish(self, path: str, payload: Mapping[str, object]) -> None:
        topic = f"{self._jobs}/{path}"
        self._send(Outgoing(topic=topic, payload=json.dumps(payload).encode()))


def _named(payload: bytes) -> str:
    """The destination of a message: ``{"to": NAME}``; something that is no name where it has none."""
    try:
        return _name(json.loads(payload).get("to"))
    except (ValueError, AttributeError, RecursionError):
        return _name(None)


def _name(value: object) -> str:
    return printable(value.encode(errors="replace")) if isinstance(value, str) else "(no name)"


def wanted(
    credential: Credential, topic: str | None, *, takes_jobs: bool, moves: Moves = NOWHERE
) -> list[tuple[str, int]]:
    """The topic filters to subscribe to, with their QoS."""
    takes_jobs = takes_jobs or moves.takes_jobs
    jobs = f"$aws/things/{credential.client_id}/jobs"
    ours = ("notify-next", "$next/get/accepted", "+/update/+")
    names = [f"{jobs}/{name}" for name in ours] if takes_jobs else []
    return [(name, 1) for name in (*names, *filter(None, (topic, moves.topic)))]
