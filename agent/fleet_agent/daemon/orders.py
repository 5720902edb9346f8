"""Composes what comes down: handlers, messages, and jobs and commands where they are configured."""

from pathlib import Path
from typing import TYPE_CHECKING

from fleet_agent.daemon.orders_context import OrdersContext
from fleet_agent.orders import order as origins
from fleet_agent.orders.answer import Answers
from fleet_agent.orders.handler_context import HandlerContext
from fleet_agent.orders.handler_registry import FOLDER, HandlerRegistry
from fleet_agent.orders.messages import Messages
from fleet_agent.orders.router import Orders, Receiver, RotationObserver
from fleet_agent.telemetry.publisher import Publisher

if TYPE_CHECKING:
    from fleet_agent.orders.rotation import MoveOperation


def make_orders(context: OrdersContext, publisher: Publisher) -> Orders:
    """Builds them. What is not configured is not imported: it would stay in the daemon's memory."""
    settings, health = context.settings, context.health
    shared = HandlerContext(clock=health.clock, health=health, reserved=context.reserved)
    folder = Path(settings.state_dir) / FOLDER
    registry = HandlerRegistry(folder, settings.handlers, context.mailbox, shared)
    answers = Answers(publisher.answer, context.own)
    shared.reporters[origins.MESSAGE] = answers
    messages = Messages(
        registry, answers, health.traffic, health.clock, settings.direct_messages.handler
    )
    messages.configure(context.subscriptions)
    receivers: list[Receiver] = []
    observers: list[RotationObserver] = []
    move = _move(context)
    if move is not None:
        observers.append(move)
    if settings.jobs.enabled or settings.rotation.jobs or context.moves.takes_jobs:
        from fleet_agent.daemon.jobs import make_jobs

        jobs, observer = make_jobs(context, registry, shared, publisher.answer, move)
        shared.reporters[origins.JOB] = jobs
        receivers.append(jobs)
        observers.append(observer)
    if settings.commands.enabled:
        from fleet_agent.orders.commands import Commands

        thing = context.credential.client_id
        commands = Commands(
            settings.commands, thing, registry.named, publisher.answer, health.clock
        )
        shared.reporters[origins.COMMAND] = commands
        receivers.append(commands)
    if context.order_topic is not None:
        from fleet_agent.orders.rotation import OrderTopic

        topic = OrderTopic(context.credential, context.order_topic, health.clock)
        receivers.append(topic)
        observers.append(topic)
    if context.moves.topic is not None and move is not None:
        from fleet_agent.orders.rotation import MoveTopic

        moving = MoveTopic(context.credential, context.moves.topic, health.clock, move)
        receivers.append(moving)
        observers.append(moving)
    registry.tidy()
    return Orders(receivers, messages, registry, observers, move)


def _move(context: OrdersContext) -> "MoveOperation | None":
    if not context.moves.names:
        return None
    from fleet_agent.orders.rotation import MoveOperation

    return MoveOperation(context.credential, context.moves)
