"""AWS IoT Commands: each request to its handler, and its outcome back, until AWS has taken it.

The id of an execution is in the topic alone. A request is acknowledged when its order is on disk, or, if it is refused,
when AWS has the answer; one that is sent twice is carried out once. A command that takes a while is reported as in
progress; its end is sent only after AWS has taken that, since AWS refuses answers that cross.
"""

import collections
import dataclasses
import json
import logging
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from fleet_agent import foreign
from fleet_agent.clock import Clock
from fleet_agent.config.orders import Commands as Settings
from fleet_agent.orders.handler import Handler
from fleet_agent.orders.order import COMMAND, Arrived, Order, arguments, bound
from fleet_agent.orders.outcome import NOT_UNDERSTOOD, Outcome, Result, failure
from fleet_agent.orders.router import Receipt
from fleet_agent.printable import printable
from fleet_agent.record import mutable
from fleet_agent.session.message import Outgoing

_log = logging.getLogger(__name__)

SOON = 1.0  # seconds after which a command is reported to be in progress
LIMIT = 10.0  # seconds to AWS's first answer; doubled with each try
TRIES = 8  # of an answer: more than an hour
# Refused commands that wait for AWS to take the answer: half of what the server may have on its way to this device
# unacknowledged, so that other messages still come where AWS never says that it took one.
REFUSED_KEPT = 50
_TEXT = 1024  # characters of a reason that AWS takes
_OUTPUT = 2048  # characters of an output: a few KB at most in an answer
_ERROR = 64  # characters of a reason's code

_EXECUTION = re.compile(r"[0-9A-Za-z_-]{1,64}")
_NOT_OF_CODES = re.compile(r"[^A-Z0-9_-]")
_IN_PROGRESS = "IN_PROGRESS"
_STATUS = {
    Result.DONE: "SUCCEEDED",
    Result.FAILED: "FAILED",
    Result.REFUSED: "REJECTED",
    Result.TIMED_OUT: "TIMED_OUT",
}
_RETRYABLE = ("DataConflict", "InternalError", "RequestThrottled")


@mutable
class _Execution:
    """A command under way; ``unanswered`` is the status that AWS was sent last and has not answered yet.

    ``due`` is in monotonic seconds. ``handler`` is None of a refused command; ``acknowledge`` is called at its end.
    ``is_new``: AWS does not know yet that it is in progress.
    """

    id: str
    due: float
    handler: Handler | None = None
    is_new: bool = True
    unanswered: str = ""
    tries: int = 0
    end: dict[str, object] | None = None
    forget: Callable[[], None] = lambda: None
    acknowledge: list[Callable[[], None]] = dataclasses.field(default_factory=list)


class Commands:
    """The commands of this thing.

    Args:
        settings: Which handler does what.
        thing: Its name.
        named: Finds a handler by its name.
        send: Publishes.
        clock: For time limits.
    """

    def __init__(
        self,
        settings: Settings,
        thing: str,
        named: Callable[[str], Handler],
        send: Callable[[Outgoing], None],
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._base = f"$aws/commands/things/{thing}/executions/"
        self._named = named
        self._send = send
        self._clock = clock
        self._executions: collections.OrderedDict[str, _Execution] = collections.OrderedDict()
        self._is_connected = False
        # So that nothing of the configuration is missing when the first command comes.
        for name in {*settings.operations.values(), *filter(None, [settings.handler])}:
            named(name)

    @property
    def due(self) -> float:
        """When ``act`` is to be called (monotonic seconds)."""
        if not self._is_connected:
            return math.inf
        return min((execution.due for execution in self._executions.values()), default=math.inf)

    def act(self) -> None:
        """Reports commands in progress, and sends again what AWS has not answered."""
        now = self._clock.monotonic()
        for execution in [
            execution for execution in self._executions.values() if execution.due <= now
        ]:
            if execution.unanswered == _IN_PROGRESS:
                # No answer: the end matters more, and does not wait for one any longer.
                execution.is_new, execution.unanswered = False, ""
            if execution.tries >= TRIES:
                self._give_up(execution)
            else:
                self._send_status(execution)

    def connected(self) -> None:
        """Sends again, on a new connection, what may have been lost."""
        self._is_connected = True
        for execution in list(self._executions.values()):
            if execution.end is not None:
                self._send_status(execution)
            elif execution.is_new:
                execution.due = self._clock.monotonic() + SOON

    def granted(self) -> None:
        """Does nothing: commands that were missed have timed out at AWS."""

    def disconnected(self) -> None:
        """Handles the end of the connection: no answers will arrive, and AWS sends again what is not acknowledged."""
        self._is_connected = False
        for execution in list(self._executions.values()):
            execution.unanswered = ""
            if execution.handler is None or (
                execution.end is None and not execution.handler.keeps(_identity(execution.id))
            ):
                del self._executions[execution.id]

    def take(self, message: Arrived) -> Receipt:
        """Takes a message, if it is one of these."""
        if not message.topic.startswith(self._base):
            return Receipt.NOT_OURS
        identifier, _, path = message.topic.removeprefix(self._base).partition("/")
        if not _EXECUTION.fullmatch(identifier):
            message.acknowledge()
            return Receipt.TAKEN
        if path in ("request", "request/json", "request/cbor"):
            return self._requested(identifier, path, message)
        message.acknowledge()
        if path in ("response/accepted/json", "response/rejected/json"):
            self._answered(identifier, message.payload, is_good="accepted" in path)
        return Receipt.TAKEN

    # A request --------------------------------------------------------------------------------------------------------

    def _requested(self, identifier: str, path: str, message: Arrived) -> Receipt:
        if message.retain or identifier in self._executions:
            return self._again(identifier, message)
        found = foreign.read_object(message.payload) if path == "request/json" else None
        values = found or {}
        operation = values.get(self._settings.member)
        name, words = self._settings.handler, ""
        given = arguments(values.get("arguments", []))
        if isinstance(operation, str) and operation in self._settings.operations:
            name = self._settings.operations[operation]
            if given is None:
                words = "its arguments are not a list of strings that a program can take"
        elif name is None:
            words = self._why_refused(path, found)
        identity = _identity(identifier)
        order = Order(
            topic=message.topic,
            payload=message.payload,
            content_type=message.content_type or _TYPES.get(path),
            identity=identity,
            origin=COMMAND,
            arguments=given or (),
            bound=bound(message.expiry, self._clock),
        )
        execution = _Execution(id=identifier, due=self._clock.monotonic() + SOON)
        if words or name is None:
            _log.warning("%s: refused the command %s", words, identifier)
            self._make_room_for_refused()
            self._executions[identifier] = execution
            outcome = failure(NOT_UNDERSTOOD, words)
            execution.acknowledge.append(message.acknowledge)
            self.report("", order, outcome, lambda: None)
            return Receipt.HELD
        handler = self._named(name)
        if handler.knows(identity) and not handler.has(identity):
            _log.info(
                "the command %s was sent again, but has already been carried out", identifier
            )
            message.acknowledge()
            return Receipt.TAKEN
        _log.info("the command %s is for %s", identifier, name)
        self._executions[identifier] = execution
        execution.handler = handler
        is_taken = handler.take(order, message.acknowledge, will_repeat=message.qos > 0)
        return Receipt.TAKEN if is_taken else Receipt.HELD

    def _why_refused(self, path: str, found: dict[str, Any] | None) -> str:
        """Returns why no handler takes a command, such as one without an operation."""
        member = self._settings.member
        if path != "request/json":
            return f"its payload is not of type application/json, so it has no member `{member}`"
        if found is None:
            return "its payload is not a JSON object"
        operation = found.get(member)
        if isinstance(operation, str):
            return f'the command "{printable(operation, _ERROR)}" is not in commands.operations'
        return f"its payload has no member `{member}` that is a string"

    def _again(self, identifier: str, message: Arrived) -> Receipt:
        """Handles a repeated request, perhaps the same packet: it is not acknowledged before it is safe."""
        _log.info("the command %s was sent again", identifier)
        execution = self._executions.get(identifier)
        if execution is not None and execution.handler is None:
            execution.acknowledge.append(message.acknowledge)
        elif (
            execution is not None
            and execution.handler is not None
            and execution.handler.holds(_identity(execution.id))
        ):
            execution.handler.hold_again(_identity(execution.id), message.acknowledge)
        else:
            message.acknowledge()
            return Receipt.TAKEN
        return Receipt.HELD

    # What AWS hears ---------------------------------------------------------------------------------------------------

    def report(
        self, handler: str, order: Order, outcome: Outcome, forget: Callable[[], None]
    ) -> None:
        """Reports the outcome of a command (``handler_context.Reporter``)."""
        identifier = (order.identity or "").removeprefix("command:")
        execution = self._executions.get(identifier)
        if execution is None:  # it ended, or was begun, before the agent did
            execution = _Execution(id=identifier, due=math.inf, handler=self._named(handler))
            self._executions[identifier] = execution
        execution.end, execution.forget = answer(outcome), forget
        # While AWS has not answered that it is in progress the end waits.
        if not execution.unanswered:
            self._send_status(execution)

    def _send_status(self, execution: _Execution) -> None:
        """Sends the end; or, where AWS does not know yet, that the command is in progress."""
        if not self._is_connected or not (execution.end or execution.is_new):
            execution.due = math.inf
            return
        values = execution.end or {"status": _IN_PROGRESS}
        execution.unanswered = str(values["status"])
        execution.tries += execution.end is not None
        execution.due = self._clock.monotonic() + LIMIT * 2.0 ** max(execution.tries - 1, 0)
        payload = json.dumps(values).encode()
        topic = f"{self._base}{execution.id}/response/json"
        self._send(Outgoing(topic=topic, payload=payload, content_type="application/json"))

    def _answered(self, identifier: str, payload: bytes, *, is_good: bool) -> None:
        execution = self._executions.get(identifier)
        if execution is None or not execution.unanswered:
            return
        status, execution.unanswered = execution.unanswered, ""
        if not is_good and self._is_refused_for_now(execution, payload):
            execution.due = self._clock.monotonic() + min(2.0**execution.tries, 60.0)
        elif status == _IN_PROGRESS:
            # The end is sent even if the execution is over in the cloud: AWS still takes one after its own time-out.
            execution.is_new = False
            self._send_status(execution)
        else:
            if is_good:
                _log.info("the command %s is %s", execution.id, status)
            self._finish(execution)

    def _is_refused_for_now(self, execution: _Execution, payload: bytes) -> bool:
        values = foreign.read_object(payload) or {}
        code, words = (
            printable(str(values.get("error"))),
            printable(str(values.get("errorMessage", ""))),
        )
        _log.warning(
            "AWS IoT refused the answer to the command %s: %s: %s", execution.id, code, words
        )
        return code in _RETRYABLE

    def _make_room_for_refused(self) -> None:
        refused = [each for each in self._executions.values() if each.handler is None]
        if len(refused) >= REFUSED_KEPT:
            self._give_up(refused[0])

    def _give_up(self, execution: _Execution) -> None:
        _log.warning("AWS IoT did not accept the outcome of the command %s", execution.id)
        self._finish(execution)

    def _finish(self, execution: _Execution) -> None:
        del self._executions[execution.id]
        execution.forget()
        for acknowledge in execution.acknowledge:
            acknowledge()


def _identity(identifier: str) -> str:
    return f"command:{identifier}"


_TYPES = {"request/json": "application/json", "request/cbor": "application/cbor"}


def answer(outcome: Outcome) -> dict[str, object]:
    """An outcome as AWS takes it: status, reason and result within its limits."""
    result = (
        {"exit": str(outcome.status)} if outcome.status >= 0 and outcome.packet is None else {}
    )
    texts = {"stdout": outcome.stdout, "stderr": outcome.stderr, "answer": outcome.packet}
    for name, data in texts.items():
        if text := _readable(data):
            result[name] = text
    values: dict[str, object] = {"status": _STATUS[outcome.result]}
    if not outcome.is_good or outcome.status >= 0:
        values["statusReason"] = _reason(outcome)
    if result:
        values["result"] = {name: {"s": text} for name, text in result.items()}
    return values


def _reason(outcome: Outcome) -> Mapping[str, str]:
    code = outcome.error or f"exit_{outcome.status}"
    found = {"reasonCode": _NOT_OF_CODES.sub("_", code.upper())[:_ERROR]}
    text = "".join(
        character if character.isprintable() else " " for character in outcome.reason
    ).strip()
    if text:
        found["reasonDescription"] = text[:_TEXT]
    return found


def _readable(data: bytes | None) -> str:
    """The last of an output, as text without control characters but the ends of lines."""
    text = (data or b"").decode(errors="replace")[-_OUTPUT:].strip()
    return "".join(
        character if character.isprintable() or character == "\n" else " " for character in text
    )
