"""The loop over a session that answers as the test says."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from fleet_agent.clock import SystemClock
from fleet_agent.config.telemetry import Telemetry
from fleet_agent.daemon.loop import TelemetryLoop
from fleet_agent.daemon.serving import Serving
from fleet_agent.health import Health
from fleet_agent.mailbox import Mailbox, TimeUp
from fleet_agent.session.connectivity import Connectivity
from fleet_agent.session.events import Connected, Published
from fleet_agent.session.message import Outgoing, Upkeep
from fleet_agent.session.mqtt import Session
from fleet_agent.session.subscriptions import Subscriptions
from fleet_agent.telemetry.commands.handler import Shared
from fleet_agent.telemetry.commands.router import Commands
from fleet_agent.telemetry.orders import Orders
from fleet_agent.telemetry.publisher import Publisher
from fleet_agent.telemetry.queue import Queue
from fleet_agent.telemetry.reading import Reading
from fleet_agent.telemetry.refusals import Refusals
from fleet_agent.telemetry.report import Report
from fleet_agent.telemetry.suspects import Suspects


class Broker(Session):
    """Takes the connection and every message at once."""

    def __init__(self, mailbox: Mailbox) -> None:
        self.mailbox = mailbox
        self.route = cast("Any", SimpleNamespace(host="broker"))
        self.client_id = "pump"
        self.upkeep = Upkeep()

    def start(self, *, is_hasty: bool = False) -> None:
        assert not is_hasty
        self.mailbox.put(Connected(session=self, rejoined=False))

    def publish(self, message: Outgoing, tag: object = None) -> None:
        assert message.payload
        self.mailbox.put(
            Published(session=self, topic=message.topic, tag=tag, reason_code=0, error="")
        )


def test_the_first_acknowledged_reading_is_in_the_status_at_once(tmp_path: Path) -> None:
    clock = SystemClock()
    mailbox = Mailbox(clock)
    health = Health(tmp_path, clock)
    telemetry = Telemetry()
    queue = Queue(tmp_path / "q", telemetry.queue, clock)
    publisher = Publisher(queue, telemetry, clock, Refusals(health).tell)
    shared = Shared(answer=cast("Any", None), clock=clock, health=health)
    commands = Commands(tmp_path / "commands", mailbox, shared)
    session = Broker(mailbox)
    suspects = Suspects()
    loop = TelemetryLoop(
        serving=Serving(
            credential=cast("Any", SimpleNamespace(client_id="pump")),
            session=session,
            is_started=False,
            subscriptions=Subscriptions(session, [], clock, health, lambda: 0.5),
            connectivity=Connectivity(session, clock, health, suspects.calmed),
            presence=None,
            chores=[],
        ),
        suspects=suspects,
        publisher=publisher,
        queue=queue,
        sources=[],
        commands=commands,
        orders=Orders(
            credential=cast("Any", SimpleNamespace(client_id="pump")),
            topic=None,
            takes_jobs=False,
            send=publisher.answer,
            clock=clock,
        ),
        requests=cast("Any", None),
        mailbox=mailbox,
        clock=clock,
        health=health,
        report=Report(
            traffic=health.traffic,
            publisher=publisher,
            queue=queue,
            commands=commands,
            clock=clock,
            prometheus=tmp_path / "agent.prom",
        ),
    )
    publisher.put(Reading(topic="dt/pump/system", payload=b"{}", time=clock.wall()))
    mailbox.limit(clock.monotonic() + 1)
    with pytest.raises(TimeUp):
        loop.run()
    status = json.loads((tmp_path / "status.json").read_text())
    assert (status["readings_acknowledged"], status["readings_waiting"]) == (1, 0)
    prometheus = (tmp_path / "agent.prom").read_text()
    assert "fleet_agent_readings_acknowledged_total 1\n" in prometheus
    assert "fleet_agent_connected 1\n" in prometheus
    queue.close()
