"""The figures that the status shows: counters, rates and what waits; on request as a Prometheus file, too."""

import contextlib
import dataclasses
import logging
from pathlib import Path

from fleet_agent import clock as clocks
from fleet_agent import files
from fleet_agent.clock import Clock
from fleet_agent.errors import StateDirectoryError
from fleet_agent.files.reserved import OwnFileError, Reserved
from fleet_agent.health.status import Traffic
from fleet_agent.orders.router import Orders
from fleet_agent.telemetry.publisher import Publisher
from fleet_agent.telemetry.queue import Queue

_log = logging.getLogger(__name__)

SOURCES_SHOWN = 20  # those that lost most readings

_RATE_OVER = 30.0  # seconds that a rate covers, at least

# Traffic's field → type and help in Prometheus' text format.
_METRICS = {
    "readings_stored": ("counter", "Readings accepted and stored."),
    "readings_acknowledged": ("counter", "Readings that AWS IoT acknowledged."),
    "readings_waiting": ("gauge", "Readings in the queue."),
    "bytes_waiting": ("gauge", "Bytes of readings in the queue."),
    "readings_dropped": (
        "counter",
        "Readings dropped since the queue was created: queue full, too old, expired or refused.",
    ),
    "answers_dropped": ("counter", "Answers and presence messages that were dropped."),
    "messages_published": ("counter", "Messages published; repeated ones count again."),
    "messages_received": ("counter", "Messages received."),
    "messages_unmatched": ("counter", "Messages received that match no subscription."),
}


class TrafficReport:
    """Fills in ``health.traffic``.

    Args:
        traffic: The figures.
        publisher: Counts what goes up.
        queue: Counts what waits and what was dropped.
        orders: Count what handlers did.
        clock: For rates and ages.
        prometheus: A file to write, or None.
        reserved: Files that this may not be.
    """

    def __init__(  # noqa: PLR0913 - all named
        self,
        *,
        traffic: Traffic,
        publisher: Publisher,
        queue: Queue,
        orders: Orders,
        clock: Clock,
        prometheus: Path | None,
        reserved: Reserved,
    ) -> None:
        self._reserved = reserved
        self._traffic = traffic
        self._publisher = publisher
        self._queue = queue
        self._orders = orders
        self._clock = clock
        self._prometheus = prometheus
        self._is_write_failing = False
        self._before = (clock.monotonic(), 0, 0)

    def update(self, *, is_connected: bool) -> None:
        """Fills in every figure."""
        traffic, counts = self._traffic, self._publisher.counts
        traffic.readings_stored = counts.stored
        traffic.readings_acknowledged = counts.acknowledged
        traffic.readings_not_stored = counts.not_stored
        traffic.readings_waiting = self._publisher.waiting
        traffic.bytes_waiting = self._queue.bytes
        traffic.messages_published = counts.messages
        traffic.dropped = dataclasses.asdict(self._queue.dropped)
        traffic.readings_dropped = sum(traffic.dropped.values())
        traffic.answers_dropped = counts.answers_dropped
        for name, dropped in self._queue.most_dropped(SOURCES_SHOWN):
            traffic.sources.setdefault(name, {})["dropped"] = dataclasses.asdict(dropped)
        # The publisher reports it; the last value stands.
        with contextlib.suppress(StateDirectoryError):
            oldest = self._queue.oldest()
            traffic.oldest_waiting = None if oldest is None else clocks.text(oldest)
        traffic.handlers = {
            name: dataclasses.asdict(counters)
            for name, counters in self._orders.registry.counters.items()
        }
        traffic.orders = list(self._orders.last)
        self._rates()
        if self._prometheus:
            self._write(self._prometheus, is_connected=is_connected)

    def _rates(self) -> None:
        now = self._clock.monotonic()
        since, stored, acknowledged = self._before
        seconds = now - since
        if seconds >= _RATE_OVER:
            counts = self._publisher.counts
            self._traffic.readings_stored_per_second = round((counts.stored - stored) / seconds, 2)
            self._traffic.readings_acknowledged_per_second = round(
                (counts.acknowledged - acknowledged) / seconds, 2
            )
            self._before = (now, counts.stored, counts.acknowledged)

    def _write(self, path: Path, *, is_connected: bool) -> None:
        """Replaces the file as a whole, so that a scraper never reads half of it. A failure stops nothing."""
        try:
            self._reserved.refuse_target(path)
            files.write(path, self._text(is_connected=is_connected).encode(), 0o644, durable=False)
        except (OwnFileError, StateDirectoryError) as error:
            if not self._is_write_failing:
                _log.warning("prometheus_file: cannot write %s: %s", path, error)
            self._is_write_failing = True
        else:
            self._is_write_failing = False

    def _text(self, *, is_connected: bool) -> str:
        lines = [
            "# HELP fleet_agent_connected Whether the agent is connected to AWS IoT.",
            "# TYPE fleet_agent_connected gauge",
            f"fleet_agent_connected {int(is_connected)}",
        ]
        for field, (kind, words) in _METRICS.items():
            suffix = "_total" if kind == "counter" else ""
            name = f"fleet_agent_{field}{suffix}"
            lines += [f"# HELP {name} {words}", f"# TYPE {name} {kind}"]
            if field == "readings_dropped":
                lines += [
                    f'{name}{{cause="{cause}"}} {count}'
                    for cause, count in self._traffic.dropped.items()
                ]
            else:
                lines.append(f"{name} {getattr(self._traffic, field)}")
        return "\n".join(lines) + "\n"
