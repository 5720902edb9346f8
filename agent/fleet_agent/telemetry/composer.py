"""From the queue to messages: whose turn it is, which readings go together, and what fits into the server's limits.

What it holds was taken from the queue and is not sent yet; it goes back when it cannot be sent.
"""

import collections
import dataclasses
import math
from collections.abc import Collection, Iterator
from typing import Protocol

from fleet_agent.clock import Clock
from fleet_agent.config.telemetry import Telemetry
from fleet_agent.errors import StateDirectoryError
from fleet_agent.record import mutable
from fleet_agent.session.message import Outgoing
from fleet_agent.telemetry import batch
from fleet_agent.telemetry.batch import Stored
from fleet_agent.telemetry.model import Topic
from fleet_agent.telemetry.queue import Queue

# Messages that are composed at once: a topic whose readings do not go together has no longer a turn than others.
SINGLES = 32

# Bytes of a packet besides its payload, at most: a topic of four bytes a character, and what the agent adds.
_AROUND = 4 * 256 + 512


class Watcher(Protocol):
    """Hears what becomes of readings that are not sent."""

    def until(self, topic: Topic) -> float:
        """When messages of this topic may go (monotonic seconds); ``-math.inf``: now."""

    def expired(self, topic: Topic, readings: list[Stored]) -> None:
        """They are of no use any more."""

    def too_large(self, topic: Topic, readings: list[Stored], size: int, most: int) -> None:
        """A single one is larger than the server takes."""

    def unreadable(self, topic: Topic, error: StateDirectoryError) -> None:
        """They cannot be read now."""


# Not frozen: there is one a message, and that costs.
@mutable
class Composed:
    """A message, and the readings of a topic that it carries."""

    topic: Topic
    readings: list[Stored]
    message: Outgoing


class Composer:
    """Makes messages of what waits in the queue.

    Args:
        queue: Where readings wait.
        settings: Batches and their order.
        clock: For readings that wait for others.
        watcher: Hears what is not sent.
    """

    def __init__(self, queue: Queue, settings: Telemetry, clock: Clock, watcher: Watcher) -> None:
        self._queue = queue
        self._settings = settings
        self._clock = clock
        self._watcher = watcher
        self._batch = settings.batch
        self._packet: int | None = None  # bytes that the server takes
        self._parts: collections.deque[tuple[Topic, list[Stored]]] = collections.deque()
        self._made: Composed | None = None  # of the first part
        # Topic's number → when its readings wait for no others any more.
        self._gathering: dict[int, float] = {}
        self._is_urgent = False

    def begin(self, packet: int | None) -> None:
        """A new connection: all is tried again.

        Args:
            packet: Bytes of the largest packet that the server takes; None: it did not say.
        """
        self._packet = packet
        self._batch = self._settings.batch
        self._gathering.clear()
        self._queue.wake()

    def shrink(self, message: Outgoing) -> None:
        """The server does not accept such a message: from now on those of several readings have half its size."""
        size = min(batch.packet_size(message) // 2, self._batch.max_bytes)
        self._batch = dataclasses.replace(self._batch, max_bytes=size)
        self.empty()

    def set_urgent(self, *, is_urgent: bool) -> None:
        """Whether readings are sent without waiting for others to share their message."""
        if is_urgent and not self._is_urgent:
            self._queue.wake()
        self._is_urgent = is_urgent

    def grown(self, topics: Collection[Topic]) -> None:
        """These have more readings: perhaps enough for a message."""
        for topic in topics if self._gathering else ():
            if topic.number in self._gathering and topic.unsent and self._is_full(topic):
                self._queue.wake(topic)

    def due(self) -> float:
        """When ``make`` may find one (monotonic seconds)."""
        return -math.inf if self._parts else self._queue.due()

    @property
    def ready(self) -> Outgoing | None:
        """The message that ``take`` gives; None: ``make`` comes first."""
        return self._made.message if self._made else None

    def make(self, now: float, suspect: Topic | None, *, singly: bool) -> None:
        """Makes the next message ready, unless nothing is left of a topic or it cannot be sent now.

        Args:
            now: Monotonic seconds.
            suspect: A topic whose turn it is before all others.
            singly: Of that one, a reading a message.
        """
        if not self._parts:
            if suspect is not None:
                self._take_parts(suspect, 1 if singly else self._most)
            elif (topic := self._queue.next(now)) and not self._is_to_wait(topic, now):
                self._take_parts(topic, self._most)
        if not self._parts:
            return
        topic, readings = self._parts[0]
        first = readings[0]
        left = None
        if first.lifetime is not None:
            left = self._queue.ages.left(first.era, first.moment, first.lifetime)
        message = batch.compose(topic.name, readings, self._batch, left)
        most = self._packet
        # Mostly far below the limit: counting every byte of each would cost more than making it.
        if (
            most is None
            or len(message.payload) + _AROUND <= most
            or (size := batch.packet_size(message)) <= most
        ):
            self._made = Composed(topic, readings, message)
            return
        self._parts.popleft()
        if len(readings) > 1:
            half = len(readings) // 2
            self._parts.extendleft([(topic, readings[half:]), (topic, readings[:half])])
        else:
            self._watcher.too_large(topic, readings, size, most)

    def take(self) -> Composed:
        """The message that is ready; it is no longer held."""
        made = self._made
        assert made  # noqa: S101 - who takes has looked
        self._made = None
        self._parts.popleft()
        return made

    def empty(self, only: Topic | None = None) -> None:
        """Gives what is held back to the queue, all or of one topic."""
        parts = list(self._parts)
        self._parts.clear()
        self._made = None
        for topic, readings in parts:
            if only in (None, topic):
                self._queue.give_back(topic, readings)
            else:
                self._parts.append((topic, readings))

    def __iter__(self) -> Iterator[tuple[Topic, list[Stored]]]:
        """What is held."""
        return iter(list(self._parts))

    @property
    def _most(self) -> int:
        wanted = self._batch
        return (
            min(SINGLES, wanted.max_readings) if wanted.format == "none" else wanted.max_readings
        )

    def _is_to_wait(self, topic: Topic, now: float) -> bool:
        """Leaves a topic alone that AWS refused, and one whose readings others may join."""
        until = self._watcher.until(topic)
        delay = self._settings.batch.max_delay
        if until <= now and delay and not self._is_urgent and not self._is_full(topic):
            until = self._gathering.setdefault(topic.number, now + delay)
        if until > now:
            self._queue.rest(topic, until)
        return until > now

    def _is_full(self, topic: Topic) -> bool:
        return topic.unsent[-1][1] - topic.unsent[0][0] >= self._settings.batch.max_readings

    def _take_parts(self, topic: Topic, most: int) -> None:
        """Takes readings of a topic from the queue, as the parts that messages are made of."""
        self._gathering.pop(topic.number, None)
        is_newest = self._settings.drain == "newest-first"
        try:
            found = self._queue.take(topic, most, self._batch.max_bytes - 1, newest=is_newest)
        except StateDirectoryError as error:
            self._watcher.unreadable(topic, error)
            return
        readings = self._without_expired(topic, found)
        parts: list[list[Stored]] = []
        while readings:
            count = batch.share(readings, self._batch)
            parts.append(readings[:count])
            readings = readings[count:]
        if is_newest:
            parts.reverse()
        self._parts.extend((topic, part) for part in parts[:SINGLES])
        for part in parts[SINGLES:]:
            self._queue.give_back(topic, part)

    def _without_expired(self, topic: Topic, readings: list[Stored]) -> list[Stored]:
        left = self._queue.ages.left
        expired = [
            reading
            for reading in readings
            if reading.lifetime is not None
            and (left(reading.era, reading.moment, reading.lifetime) or 0.0) <= 0
        ]
        if not expired:
            return readings
        self._watcher.expired(topic, expired)
        gone = {reading.sequence for reading in expired}
        return [reading for reading in readings if reading.sequence not in gone]
