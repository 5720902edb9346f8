"""Composes jobs: the handlers of their steps, and the operations that the agent carries out itself."""

import functools
import os
from collections.abc import Callable

from fleet_agent.config.handlers import ExecHandler
from fleet_agent.daemon.orders_context import OrdersContext
from fleet_agent.orders.handler import Handler
from fleet_agent.orders.handler_context import HandlerContext
from fleet_agent.orders.handler_registry import HandlerRegistry
from fleet_agent.orders.jobs.context import JobsContext
from fleet_agent.orders.jobs.document import Step, UnfitError
from fleet_agent.orders.jobs.facts import facts
from fleet_agent.orders.jobs.jobs import Jobs
from fleet_agent.orders.jobs.operation import Operation
from fleet_agent.orders.jobs.progress import NAME
from fleet_agent.orders.rotation import MoveOperation, RotateOperation
from fleet_agent.session.message import Outgoing

_ROOT = "root"
_RUN_COMMAND = "run-command"  # the name of the handler of commands of a document's own


def make_jobs(
    context: OrdersContext,
    registry: HandlerRegistry,
    shared: HandlerContext,
    send: Callable[[Outgoing], None],
    move: MoveOperation | None = None,
) -> tuple[Jobs, RotateOperation]:
    """Builds them; the second value observes how a rotation went."""
    settings, credential = context.settings, context.credential
    rotate = RotateOperation(credential)
    operations: list[Operation] = [rotate] if settings.rotation.jobs else []
    if move is not None and context.moves.takes_jobs:
        operations.append(move)
    steps = _Steps(context, registry)
    jobs_context = JobsContext(
        thing=credential.client_id,
        path=registry.folder / NAME,
        send=send,
        clock=shared.clock,
        handler=steps.handler,
        cancel=registry.cancel,
        facts=functools.partial(facts, credential.client_id, credential.device_configuration),
        not_kept=shared.not_kept,
    )
    return Jobs(settings.jobs, operations, jobs_context), rotate


class _Steps:
    """Finds the handler of a job's step.

    Args:
        context: The configuration.
        registry: The handlers.
    """

    def __init__(self, context: OrdersContext, registry: HandlerRegistry) -> None:
        self._settings = context.settings
        jobs = context.settings.jobs
        names = {*jobs.operations.values(), *filter(None, [jobs.handler])}
        self._handlers = {name: registry.named(name) for name in names}
        self._commands: Handler | None = None
        if jobs.run_command:
            kind = ExecHandler(argv=(), timeout=jobs.run_command_timeout)
            self._commands = registry.own(_RUN_COMMAND, "job", kind)

    def handler(self, step: Step) -> Handler:
        """The handler.

        Raises:
            UnfitError: The step is to run as another user than that handler's programs do.
        """
        runs_as = _own_user()
        if step.handler is not None:
            found = self._handlers[step.handler]
            if self._settings.handlers[step.handler].helper is not None:
                runs_as = _ROOT
        elif self._commands is not None:
            found = self._commands
        else:
            raise UnfitError("this device does not run commands")
        if step.user and step.user != runs_as:
            hint = "; use a handler of the kind helper" if step.user == _ROOT else ""
            raise UnfitError(
                f'the step "{step.name}" should run as {step.user}, but this agent runs as {runs_as}{hint}'
            )
        return found


def _own_user() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
