"""The loop over a session that answers as the test says."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from fleet_agent.clock import SystemClock
from fleet_agent.config.telemetry import Telemetry
from fleet_agent.health import Health
from fleet_agent.mailbox import Mailbox, TimeUp
from fleet_agent.session.mqtt import Connected, Published, Session
from fleet_agent.telemetry.loop import TelemetryLoop


class Broker(Session):
    """Takes the connection and every message at once."""

    def __init__(self, mailbox: Mailbox) -> None:
        self.mailbox = mailbox
        self.route = cast("Any", SimpleNamespace(host="broker"))
        self.client_id = "pump"

    def start(self, *, is_hasty: bool = False) -> None:
        assert not is_hasty
        self.mailbox.put(Connected(session=self, rejoined=False))

    def publish(self, topic: str, payload: bytes, tag: object = None) -> None:
        assert payload
        self.mailbox.put(Published(session=self, topic=topic, tag=tag, reason_code=0, error=""))


def test_the_first_acknowledged_reading_is_in_the_status_at_once(tmp_path: Path) -> None:
    clock = SystemClock()
    mailbox = Mailbox(clock)
    loop = TelemetryLoop(
        session=Broker(mailbox),
        credential=cast("Any", SimpleNamespace(topic=lambda *_: "dt/pump/system")),
        telemetry=Telemetry(),
        subscriptions=(),
        mailbox=mailbox,
        clock=clock,
        health=Health(tmp_path / "run", clock),
        disk=tmp_path,
    )
    mailbox.limit(clock.monotonic() + 0.3)
    with pytest.raises(TimeUp):
        loop.run()
    status = json.loads((tmp_path / "run/status.json").read_text())
    assert (status["readings_acknowledged"], status["readings_waiting"]) == (1, 0)
