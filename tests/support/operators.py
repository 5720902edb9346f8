"""Somebody in the cloud who sends commands to devices and hears their answers.

with operating(fleet, tmp_path) as operator:
    answer = operator.ask("cmd/pump/x", b"on", answers="dt/pump/answers")
"""

import itertools
import json
import queue
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from awscrt import mqtt5

from support.fleets import Fleet, make_unbound
from support.mqtt import Device

_numbers = itertools.count(1)


class Operator(Device):
    """A client that may do everything; ``packets`` has all that arrived, whole."""

    def __init__(self, *words: Any, **more: Any) -> None:
        self.packets: queue.Queue[mqtt5.PublishPacket] = queue.Queue()
        super().__init__(*words, **more)

    def _received(self, data: mqtt5.PublishReceivedData) -> None:
        self.packets.put(data.publish_packet)

    def send(self, topic: str, payload: bytes = b"", **more: Any) -> None:
        """Publishes at QoS 1; ``more`` are properties of the packet, ``id`` a user property."""
        if (found := more.pop("id", None)) is not None:
            more["user_properties"] = [mqtt5.UserProperty("id", found)]
        packet = mqtt5.PublishPacket(
            topic=topic, payload=payload, qos=mqtt5.QoS.AT_LEAST_ONCE, **more
        )
        self._client.publish(packet).result(15)

    def hear(self, seconds: float = 30.0) -> mqtt5.PublishPacket:
        """The next that arrived."""
        return self.packets.get(timeout=seconds)

    def said(self, seconds: float = 30.0) -> dict[str, Any]:
        """The next that arrived, as JSON."""
        found: dict[str, Any] = json.loads(self.hear(seconds).payload or b"")
        return found


@contextmanager
def operating(fleet: Fleet, folder: Path) -> Iterator[Operator]:
    """Connects one for as long as the block lasts."""
    identity = make_unbound(fleet.sandbox, folder)
    operator = Operator(fleet.sandbox, identity, f"operator-{next(_numbers)}")
    try:
        yield operator
    finally:
        operator.stop()
