"""What stands around sources under test: an intake that keeps a list, and the loop's turns over a real mailbox."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from fleet_agent.clock import SystemClock
from fleet_agent.health.status import Health
from fleet_agent.process.listeners import Listeners
from fleet_agent.process.mailbox import Mailbox, Ready
from fleet_agent.telemetry.reading import Callback, Reading, Source
from fleet_agent.telemetry.sources.feed import Feed

LIMIT = 60.0  # seconds until a test gives up


class SupportsClose(Protocol):
    """Anything that can be closed."""

    def close(self) -> None: ...


class Kept:
    """An intake: keeps readings in a list, and tells when the test, or each turn, says so."""

    def __init__(self) -> None:
        self.readings: list[Reading] = []
        self.sent_on: list[bool] = []  # of each: whether its sender does not wait
        self.stored: list[Reading] = []
        self.waiting: list[tuple[Reading, Callback | None]] = []
        self.acknowledge: list[Callback] = []
        self.refuses: str | None = None  # why it takes nothing
        self.is_held = False  # nothing becomes durable by itself

    def put(
        self,
        reading: Reading,
        on_stored: Callback | None = None,
        on_acknowledged: Callback | None = None,
        *,
        sends_on: bool = True,
    ) -> None:
        self.readings.append(reading)
        self.sent_on.append(sends_on)
        self.waiting.append((reading, on_stored))
        if on_acknowledged is not None:
            self.acknowledge.append(on_acknowledged)

    def commit(self, why_not: str | None = None) -> None:
        """What was put is durable now, or refused."""
        why_not = why_not or self.refuses
        waiting, self.waiting = self.waiting, []
        for reading, on_stored in waiting:
            if not why_not:
                self.stored.append(reading)
            if on_stored is not None:
                on_stored(why_not)

    @property
    def payloads(self) -> list[bytes]:
        return [reading.payload for reading in self.readings]


class Bench:
    """One agent's loop, as far as sources see it."""

    def __init__(self, folder: Path) -> None:
        self.clock = SystemClock()
        self.mailbox = Mailbox(self.clock)
        self.intake = Kept()
        self.runtime_dir = folder / "run"
        self.socket = self.runtime_dir / "telemetry.sock"
        self.listeners = Listeners()
        self.state_dir = folder / "state"
        self.state_dir.mkdir(exist_ok=True)
        self.health = Health(self.runtime_dir, self.clock)
        self.health.show()
        self.sources: list[Source] = []
        self.opened: list[SupportsClose] = []  # by the test; closed with it

    def feed(self, name: str, topic: str = "dt/pump-7/{name}") -> Feed:
        return Feed(
            name=name,
            topic=topic.format(name=name),
            priority=1,
            intake=self.intake,
            clock=self.clock,
            health=self.health,
        )

    def turn(self, is_done: Callable[[], Any]) -> None:
        """Runs the sources until the condition holds."""
        limit = self.clock.monotonic() + LIMIT
        while not is_done():
            assert self.clock.monotonic() < limit, self.problems()
            if not self.intake.is_held and self.intake.waiting:
                self.intake.commit()
                continue
            first = min(self.sources, key=lambda source: source.due)
            if self.clock.monotonic() >= first.due:
                first.act()
            else:
                event = self.mailbox.wait(min(first.due, self.clock.monotonic() + 0.05))
                if isinstance(event, Ready):
                    event.act()

    def until(self, count: int) -> list[bytes]:
        """Runs until so many readings have come; what they carry."""
        self.turn(lambda: len(self.intake.readings) >= count)
        return self.intake.payloads

    def problems(self) -> dict[str, str]:
        """Code and name of the source → title, as status.json has them."""
        status = json.loads((self.runtime_dir / "status.json").read_text())
        return {f"{item['code']} {item['name']}": item["title"] for item in status["problems"]}

    def close(self) -> None:
        for source in self.sources:
            source.close()
        self.listeners.close()
        for each in self.opened:
            each.close()
