"""A publisher over a real queue and a wire that acknowledges, refuses and breaks as the test asks."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

from fleet_agent.config.telemetry import Telemetry
from fleet_agent.errors import AgentError
from fleet_agent.telemetry.publisher import Publisher
from fleet_agent.telemetry.queue import Queue
from fleet_agent.telemetry.reading import Reading
from support.clock import FakeClock
from support.held import Held

TOPIC = "dt/pump/system"


class Bench:
    """A publisher with all that it needs."""

    def __init__(self, folder: Path, **changes: object) -> None:
        self.clock = FakeClock()
        self.settings = dataclasses.replace(Telemetry(), **changes)  # type: ignore[arg-type]
        self.queue = Queue(folder / "q.sqlite3", self.settings.queue, self.clock)
        self.wire = Held()
        self.reported: list[tuple[str | None, AgentError | None]] = []  # no topic: the disk
        self.publisher = Publisher(self.queue, self.settings, self.clock, self)

    def topic(self, topic: str, error: AgentError | None) -> None:
        self.reported.append((topic, error))

    def disk(self, error: AgentError | None) -> None:
        self.reported.append((None, error))

    def put(self, *numbers: int, topic: str = TOPIC) -> None:
        for number in numbers:
            payload = str(number).encode()
            self.publisher.put(Reading(topic=topic, payload=payload, time=self.clock.wall()))
        self.settle()

    def settle(self) -> None:
        """Until there is nothing more to do at this moment."""
        while self.publisher.settle():
            pass

    def connect(self) -> None:
        self.publisher.connected(self.wire)
        self.publisher.settle()

    def answer(self, code: int | None, index: int = 0) -> None:
        self.publisher.published(self.wire.answer(index, code))
        self.publisher.settle()

    def carried(self, topic: str = TOPIC) -> list[object]:
        return [json.loads(each.payload) for each in self.wire.carried if each.topic == topic]


def cut(bench: Bench) -> None:
    """The connection ends, and all that is in flight is lost."""
    bench.publisher.disconnected()
    while bench.wire.flying:
        bench.answer(None)
    bench.clock.go(3)


# Takes settings of ``Telemetry`` by name.
MakeBench = Callable[..., Bench]
