"""What every source works with: where its readings go, and where its problems are reported."""

from fleet_agent import clock as clocks
from fleet_agent.clock import Clock
from fleet_agent.health import table
from fleet_agent.health.status import Health
from fleet_agent.record import record
from fleet_agent.telemetry.reading import JSON, Callback, Intake, Reading


@record
class Feed:
    """A source's access to the agent; ``topic`` is that of its readings, ``priority`` an index of ``PRIORITIES``."""

    name: str
    topic: str
    priority: int
    intake: Intake
    clock: Clock
    health: Health

    def put(
        self,
        payload: bytes,
        content_type: str = JSON,
        on_stored: Callback | None = None,
    ) -> None:
        """Hands in a reading made now."""
        reading = Reading(
            topic=self.topic,
            payload=payload,
            time=self.clock.wall(),
            content_type=content_type,
            priority=self.priority,
            source=self.name,
        )
        self.intake.put(reading, on_stored)

    def fails(self, title: str, remedy: str) -> None:
        """Something is wrong with this source, until ``works``."""
        title = f"Source {self.name}: {title}"
        now = clocks.text(self.clock.wall())
        source = self.health.traffic.sources.setdefault(self.name, {})
        source.update(last_error=title, last_error_time=now)
        self.health.report(table.SOURCE_FAILED.problem(title, remedy, name=self.name))

    def works(self) -> None:
        """Clears the source's problem."""
        self.health.clear(table.SOURCE_FAILED, self.name)


def one_line(json_text: bytes) -> bytes:
    """Valid JSON without its line ends, so that it can be a line of NDJSON: in JSON they stand between tokens only."""
    return json_text.strip().replace(b"\r", b" ").replace(b"\n", b" ")
