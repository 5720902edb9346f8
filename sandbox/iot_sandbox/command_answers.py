"""Updates that devices publish about their executions: applied, and answered as accepted or rejected."""

import asyncio
from dataclasses import dataclass
from typing import Any

from iot_sandbox import ground
from iot_sandbox.calls import Call, Calls
from iot_sandbox.command_updates import RESPONSE, UpdateError, read_update, written
from iot_sandbox.executions import Execution, Executions
from iot_sandbox.faults import Faults, Plan, Request

OPERATION = "command-response"
# Two updates within this time collide: AWS accepts the first and requests the second again.
CROSSING_SECONDS = 0.05

Document = dict[str, Any]


@dataclass(frozen=True)
class _Response:
    """One update on its way, and the session it came on."""

    session: Any
    topic: str
    payload: bytes

    @property
    def form(self) -> str:
        return self.topic.rpartition("/")[2]

    @property
    def scope(self) -> tuple[str, str]:
        return self.session.account_id, self.session.region


class CommandAnswers:
    """Answers updates beside the connection they came on, which continues."""

    def __init__(self, executions: Executions, faults: Faults, calls: Calls) -> None:
        self._executions = executions
        self._faults = faults
        self._calls = calls
        self._answering: set[asyncio.Task[None]] = set()

    async def answer(self, session: Any, topic: str, payload: bytes) -> None:  # noqa: ANN401  ministack's session
        """Serves one update."""
        plan = self._faults.plan(Request(OPERATION, session.client_id, (topic,)))
        call = self._calls.begin(OPERATION, session.client_id, session.certificate_id, (topic,))
        if plan.close == "before":
            self._calls.settle(call, "closed")
            await session.close()
            return
        task = asyncio.create_task(self._answered(_Response(session, topic, payload), plan, call))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _answered(self, response: _Response, plan: Plan, call: Call) -> None:
        outcome, document = "accepted", {"executionId": response.topic.split("/")[5]}
        try:
            said = await self._taken(response, plan.refusal)
        except UpdateError as error:
            outcome = "rejected"
            document |= {"error": error.code, "errorMessage": str(error)}
        else:
            document |= {"clientToken": said["clientToken"]} if "clientToken" in said else {}
        self._calls.settle(call, outcome)
        if plan.close == "after":
            await response.session.close()
            return
        await asyncio.sleep(plan.delay)
        base = response.topic.rpartition("/")[0]
        for _ in range(plan.answers):
            call.answers += 1
            await ground.publish(
                *response.scope,
                f"{base}/{outcome}/{response.form}",
                written(document, response.form),
                qos=1,
            )

    async def _taken(self, response: _Response, refusal: Document | None) -> Document:
        if refusal is not None:
            raise UpdateError(refusal["error_code"], refusal["message"])
        said, update = read_update(response.payload, response.form)
        execution = self._named(response)
        if execution.is_busy:
            raise UpdateError("DataConflict", "Another update of the execution is under way")
        if execution.completed is not None:
            raise UpdateError("TerminalStateReached", f"The execution is {execution.status}")
        if execution.is_late and update.status == "IN_PROGRESS":
            raise UpdateError("InvalidStateTransition", "The execution is TIMED_OUT")
        execution.is_busy = True
        try:
            await asyncio.sleep(CROSSING_SECONDS)
            execution.take(update)
        finally:
            execution.is_busy = False
        self._executions.notify(response.scope, execution)
        return said

    def _named(self, response: _Response) -> Execution:
        _, _, kind, target, _, identifier, *_ = response.topic.split("/")
        target = f"{kind.removesuffix('s')}/{target}"
        execution = self._executions.find(response.scope, identifier, target)
        if execution is None:
            raise UpdateError("ResourceNotFound", "There is no such execution for this target")
        return execution


def with_response_topic(parse: Any) -> Any:  # noqa: ANN401  ministack has no types
    """Wraps ministack's reader of the topics it answers on the connection, so that it knows those of updates."""

    def parse_topic(topic: str) -> tuple[str, str | None] | None:
        answered: tuple[str, str | None] | None = parse(topic)
        return (OPERATION, None) if RESPONSE.fullmatch(topic) else answered

    return parse_topic
