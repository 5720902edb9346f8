"""What comes down, joined: handlers, messages, and jobs and commands where they are taken."""

from pathlib import Path
from typing import TYPE_CHECKING

from fleet_agent.daemon.down import Down
from fleet_agent.orders import order as origins
from fleet_agent.orders.answer import Answers
from fleet_agent.orders.messages import Messages
from fleet_agent.orders.roster import FOLDER, Roster
from fleet_agent.orders.router import Listener, Orders, Taker
from fleet_agent.orders.shared import Shared
from fleet_agent.telemetry.publisher import Publisher

if TYPE_CHECKING:
    from fleet_agent.orders.rotation import MoveOperation


def make_orders(down: Down, publisher: Publisher) -> Orders:
    """Joins them. What is not configured is not imported: it would stay in the daemon's memory."""
    settings, health = down.settings, down.health
    shared = Shared(clock=health.clock, health=health, reserved=down.reserved)
    folder = Path(settings.state_dir) / FOLDER
    roster = Roster(folder, settings.handlers, down.mailbox, shared)
    answers = Answers(publisher.answer, down.own)
    shared.reporters[origins.MESSAGE] = answers
    messages = Messages(
        roster, answers, health.traffic, health.clock, settings.direct_messages.handler
    )
    messages.configure(down.subscriptions)
    takers: list[Taker] = []
    listeners: list[Listener] = []
    move = _move(down)
    if move is not None:
        listeners.append(move)
    if settings.jobs.enabled or settings.rotation.jobs or down.moves.takes_jobs:
        from fleet_agent.daemon.jobs import make_jobs

        jobs, listener = make_jobs(down, roster, shared, publisher.answer, move)
        shared.reporters[origins.JOB] = jobs
        takers.append(jobs)
        listeners.append(listener)
    if settings.commands.enabled:
        from fleet_agent.orders.commands import Commands

        thing = down.credential.client_id
        commands = Commands(settings.commands, thing, roster.named, publisher.answer, health.clock)
        shared.reporters[origins.COMMAND] = commands
        takers.append(commands)
    if down.order_topic is not None:
        from fleet_agent.orders.rotation import OrderTopic

        topic = OrderTopic(down.credential, down.order_topic, health.clock)
        takers.append(topic)
        listeners.append(topic)
    if down.moves.topic is not None and move is not None:
        from fleet_agent.orders.rotation import MoveTopic

        moving = MoveTopic(down.credential, down.moves.topic, health.clock, move)
        takers.append(moving)
        listeners.append(moving)
    roster.tidy()
    return Orders(takers, messages, roster, listeners, move)


def _move(down: Down) -> "MoveOperation | None":
    if not down.moves.names:
        return None
    from fleet_agent.orders.rotation import MoveOperation

    return MoveOperation(down.credential, down.moves)
