"""Orders from the cloud to replace the credential: a message on a topic, or the operation of an AWS IoT Job.

An order with a destination is a move: the new credential is one of another account or region.
"""

import json
import logging
import math
from collections.abc import Mapping
from typing import Any

from fleet_agent import foreign
from fleet_agent.clock import Clock, passed
from fleet_agent.credentials.model import Credential
from fleet_agent.errors import AgentError
from fleet_agent.orders.filters import Moves
from fleet_agent.orders.jobs.operation import Conclusion
from fleet_agent.orders.order import Arrived
from fleet_agent.orders.router import Receipt
from fleet_agent.printable import printable
from fleet_agent.session.message import Outgoing
from fleet_agent.topics import filters

_log = logging.getLogger(__name__)

OPERATION = "rotate-credential"
# The same, to another account or region: `{"operation": "move", "to": NAME}`.
MOVE = "move"
# Seconds after a rotation in which messages are ignored: QoS 1 may deliver the order twice.
PAUSE = 600.0
PAUSE_FAILED = 60.0  # seconds; the same after one that failed

_MEMBERS = {"operation", "to"}  # of an order to move
_MOST = 64  # characters of a destination's name that are shown


class OrderTopic:
    """Listens on the topic that orders a rotation.

    Args:
        credential: The current one.
        topic: The filter of the order topic, filled in.
        clock: For the pause after a rotation.
    """

    due = math.inf
    _name = "rotation"
    _pause = PAUSE

    def __init__(self, credential: Credential, topic: str, clock: Clock) -> None:
        self._credential = credential
        self._topic = topic
        self._clock = clock
        self._failed_at: float | None = None  # monotonic seconds

    def rotated(self, credential: Credential) -> None:
        """Notes that this credential has replaced the old one."""
        self._credential = credential
        self._failed_at = None

    def failed(self, _error: AgentError) -> None:
        """Notes that the credential was not replaced."""
        self._failed_at = self._clock.monotonic()

    def connected(self) -> None:
        """Does nothing: nothing has to be asked for."""

    def granted(self) -> None:
        """Does nothing: nothing has to be asked for."""

    def disconnected(self) -> None:
        """Does nothing: nothing is in progress."""

    def act(self) -> None:
        """Does nothing: there are no deadlines."""

    def take(self, message: Arrived) -> Receipt:
        """Takes a message, if it is an order.

        An order is acknowledged only when it comes again after the rotation: it is not lost if the agent ends before.
        """
        if not filters.matches(self._topic, message.topic):
            return Receipt.NOT_OURS
        receipt = self._order(message)
        if receipt is Receipt.TAKEN:
            message.acknowledge()
        return receipt

    def _order(self, message: Arrived) -> Receipt:
        proven, topic = self._credential.proven, printable(message.topic)
        if message.retain:
            _log.info(
                "a retained message on %s is not an order: it arrives with every connection", topic
            )
        elif not self._is_allowed(message, topic):
            pass
        elif proven is not None and 0 <= self._passed(proven) < self._pause:
            _log.info(
                "an order to rotate on %s was ignored: the credential is new",
                topic,
            )
        elif (
            self._failed_at is not None
            and self._clock.monotonic() - self._failed_at < PAUSE_FAILED
        ):
            _log.info(
                "an order to rotate on %s was ignored: a rotation failed a moment ago", topic
            )
        else:
            _log.info("a message on %s orders a %s", topic, self._name)
            self._ordered(message)
            return Receipt.ROTATE
        return Receipt.TAKEN

    def _is_allowed(self, _message: Arrived, _topic: str) -> bool:
        return True

    def _ordered(self, message: Arrived) -> None:
        """Carries it out now."""

    def _passed(self, proven: float) -> float:
        return passed(proven, self._credential.uptime, self._clock)


class RotateOperation:
    """The operation of a job that replaces the credential (``jobs.operation.Operation``).

    Nothing of it is kept on disk: its ``statusDetails`` name the certificate to replace. While that is the current one
    there is something to do; once it is not, the job has succeeded, whatever happened in between.

    Args:
        credential: The current one.
    """

    name = OPERATION

    def __init__(self, credential: Credential) -> None:
        self._credential = credential
        # The job that is carried out.
        self._job: str | None = None
        # Why its rotation did not succeed, until that is reported to it.
        self._failure: AgentError | None = None

    def rotated(self, credential: Credential) -> None:
        """Notes that this credential has replaced the old one."""
        self._credential = credential
        self._job = self._failure = None

    def failed(self, error: AgentError) -> None:
        """The credential was not replaced: for the job, where it was for one."""
        if self._job is not None:
            self._failure = error
        self._job = None

    def refusal(self, _document: Mapping[str, Any]) -> str | None:
        """Returns None: a rotation is never refused."""
        return None

    def begin(self, _document: Mapping[str, Any]) -> Mapping[str, str]:
        """Returns the job's details from now on."""
        self._failure = None
        return {"from": self._credential.certificate_id}

    def is_begun(self, _document: Mapping[str, Any], details: Mapping[str, str]) -> bool:
        """Whether they say so already."""
        return "from" in details

    def carry_out(self, job: str, _details: Mapping[str, str]) -> None:
        """Asks the loop to do it now."""
        self._job = job

    def outcome(self, details: Mapping[str, str]) -> Conclusion | None:
        """Returns how it ended; None: it is to be done now."""
        current = self._credential.certificate_id
        if details["from"] != current:
            # Both ids: the cloud retires the one, now that the device is seen with the other.
            said = {"from": details["from"], "certificate": current}
            return Conclusion(has_succeeded=True, details=said)
        if self._failure is None:
            return None
        reason = f"{self._failure.code}: {self._failure.title}"
        self._failure = None
        return Conclusion(has_succeeded=False, details={"from": current, "reason": reason})


class MoveOperation(RotateOperation):
    """The operation of a job that moves the device to one of the destinations that the configuration has.

    Args:
        credential: The current one.
        moves: The destinations.
    """

    name = MOVE

    def __init__(self, credential: Credential, moves: Moves) -> None:
        super().__init__(credential)
        self._moves = moves
        # Where the order that is to be carried out wants this device; None: it is to rotate.
        self.destination: str | None = None

    def failed(self, error: AgentError) -> None:
        """The device stays."""
        super().failed(error)
        self.destination = None

    def refusal(self, document: Mapping[str, Any]) -> str | None:
        """Returns why the order is refused: not an order to move, destination not allowed, or already there."""
        if more := sorted(printable(name, _MOST) for name in document.keys() - _MEMBERS):
            return f"move-invalid: an order contains only a destination, and this one has `{more[0]}`."
        to = document.get("to")
        if not isinstance(to, str):
            return "move-invalid: `to` does not name a destination."
        if to not in self._moves.names:
            return f"move-not-allowed: {printable(to, _MOST)!r} is not in `move.allowed`."
        return (
            f"moved-already: this device is already at {to}." if to in self._moves.here else None
        )

    def begin(self, document: Mapping[str, Any]) -> Mapping[str, str]:
        """Returns the job's details from now on."""
        return {**super().begin(document), "to": document["to"]}

    def is_begun(self, document: Mapping[str, Any], details: Mapping[str, str]) -> bool:
        """Whether they say so already, of the same destination."""
        return super().is_begun(document, details) and details.get("to") == document["to"]

    def carry_out(self, job: str, details: Mapping[str, str]) -> None:
        """Asks the loop to do it now."""
        super().carry_out(job, details)
        self.destination = details["to"]

    def outcome(self, details: Mapping[str, str]) -> Conclusion | None:
        """Returns how it ended, as for a rotation; but a certificate that was replaced meanwhile is no move."""
        found = super().outcome(details)
        if found is None or not found.has_succeeded:
            return found
        # That the device has moved is said where it was, in a session that was the last one there.
        reason = f"move-overtaken: the certificate was replaced meanwhile, and this device is not at {details['to']}."
        return Conclusion(has_succeeded=False, details={**found.details, "reason": reason})

    def moved(self) -> list[Outgoing]:
        """Returns what is still to be reported in the old account, now that the device has moved."""
        job, self._job = self._job, None
        if job is None:
            return []
        details = {"from": self._credential.certificate_id, "moved": "yes"}
        document = {"status": "SUCCEEDED", "statusDetails": details}
        topic = f"$aws/things/{self._credential.client_id}/jobs/{job}/update"
        return [Outgoing(topic=topic, payload=json.dumps(document).encode())]


class MoveTopic(OrderTopic):
    """Listens on the topic that orders a move: ``{"to": NAME}``.

    Args:
        credential: The current one.
        topic: The filter of the order topic, filled in.
        clock: For the pause after a move that failed.
        move: Receives the destination.
    """

    _name = "move"
    _pause = 0.0

    def __init__(
        self, credential: Credential, topic: str, clock: Clock, move: MoveOperation
    ) -> None:
        super().__init__(credential, topic, clock)
        self._move = move

    def _is_allowed(self, message: Arrived, topic: str) -> bool:
        order = foreign.read_object(message.payload)
        why = "it is not a JSON object" if order is None else self._move.refusal(order)
        if why is not None:
            _log.warning("an order on %s to move was refused: %s", topic, why)
        return why is None

    def _ordered(self, message: Arrived) -> None:
        self._move.destination = (foreign.read_object(message.payload) or {})["to"]
