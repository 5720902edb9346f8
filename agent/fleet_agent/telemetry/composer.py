"""Composes messages from the queue: which topic is next, which readings share a message, what fits the server's limits.

What it holds was taken from the queue and is not sent yet; it is given back if it cannot be sent.
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

# Messages composed in one turn: a topic whose readings cannot share a message gets no longer turn than others.
SINGLES = 32

# Bytes of a packet besides its payload, at most: a topic of four bytes a character, and what the agent adds.
_AROUND = 4 * 256 + 512


class Watcher(Protocol):
    """Receives the readings that are not sent, and knows which topics may be."""

    def until(self, topic: Topic) -> float:
        """Returns when messages of this topic may go (monotonic seconds); ``-math.inf``: now."""

    def expired(self, topic: Topic, readings: list[Stored]) -> None:
        """Receives readings that have expired."""

    def too_large(self, topic: Topic, readings: list[Stored], size: int, most: int) -> None:
        """Receives a single reading that is larger than the server accepts."""

    def unreadable(self, topic: Topic, error: StateDirectoryError) -> None:
        """Receives the error when a topic's readings cannot be read now."""


# Not frozen, which would cost time: there is one for each message.
@mutable
class Composed:
    """A message, and the readings of a topic that it carries."""

    topic: Topic
    readings: list[Stored]
    message: Outgoing


class Composer:
    """Composes messages from readings in the queue.

    Args:
        queue: Where readings wait.
        settings: Batches and their order.
        clock: For readings that wait for others.
        watcher: Receives the readings that are not sent.
    """

    def __init__(self, queue: Queue, settings: Telemetry, clock: Clock, watcher: Watcher) -> None:
        self._queue = queue
        self._settings = settings
        self._clock = clock
        self._watcher = watcher
        self._batch = settings.batch
        self._packet: int | None = None  # bytes that the server accepts
        self._parts: collections.deque[tuple[Topic, list[Stored]]] = collections.deque()
        self._composed: Composed | None = None  # of the first part
        # Topic number → when its readings stop waiting for others.
        self._gathering: dict[int, float] = {}
        self._is_urgent = False

    def begin(self, packet: int | None) -> None:
        """Starts over for a new connection, with every topic.

        Args:
            packet: Bytes of the largest packet that the server accepts; None: it did not say.
        """
        self._packet = packet
        self._batch = self._settings.batch
        self._gathering.clear()
        self._queue.resume()

    def shrink(self, message: Outgoing) -> None:
        """Halves the size of later messages of several readings: the server did not accept this one."""
        size = min(batch.packet_size(message) // 2, self._batch.max_bytes)
        self._batch = dataclasses.replace(self._batch, max_bytes=size)
        self.empty()

    def set_urgent(self, *, is_urgent: bool) -> None:
        """Sets whether readings are sent without waiting for others to share their message."""
        if is_urgent and not self._is_urgent:
            self._queue.resume()
        self._is_urgent = is_urgent

    def grown(self, topics: Collection[Topic]) -> None:
        """Notes topics that have more readings, perhaps enough for a message."""
        for topic in topics if self._gathering else ():
            if topic.number in self._gathering and topic.unsent and self._is_full(topic):
                self._queue.resume(topic)

    def due(self) -> float:
        """Returns when ``make`` may compose a message (monotonic seconds)."""
        return -math.inf if self._parts else self._queue.due()

    @property
    def ready(self) -> Outgoing | None:
        """The message that ``take`` returns; None: call ``make`` first."""
        return self._composed.message if self._composed else None

    def make(self, now: float, suspect: Topic | None, *, singly: bool) -> None:
        """Composes the next message, unless a topic turns out empty or must wait.

        Args:
            now: Monotonic seconds.
            suspect: A topic that goes before all others.
            singly: Send that topic's readings one by one.
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
        # Usually far below the limit: counting every byte of each would cost more than composing it.
        if (
            most is None
            or len(message.payload) + _AROUND <= most
            or (size := batch.packet_size(message)) <= most
        ):
            self._composed = Composed(topic, readings, message)
            return
        self._parts.popleft()
        if len(readings) > 1:
            half = len(readings) // 2
            self._parts.extendleft([(topic, readings[half:]), (topic, readings[:half])])
        else:
            self._watcher.too_large(topic, readings, size, most)

    def take(self) -> Composed:
        """Hands out the message that is ready."""
        composed = self._composed
        assert composed  # noqa: S101 - the caller has checked ``ready``
        self._composed = None
        self._parts.popleft()
        return composed

    def empty(self, only: Topic | None = None) -> None:
        """Returns what is held to the queue, all or that of one topic."""
        parts = list(self._parts)
        self._parts.clear()
        self._composed = None
        for topic, readings in parts:
            if only in (None, topic):
                self._queue.give_back(topic, readings)
            else:
                self._parts.append((topic, readings))

    def __iter__(self) -> Iterator[tuple[Topic, list[Stored]]]:
        """Iterates over what is held."""
        return iter(list(self._parts))

    @property
    def _most(self) -> int:
        wanted = self._batch
        return (
            min(SINGLES, wanted.max_readings) if wanted.format == "none" else wanted.max_readings
        )

    def _is_to_wait(self, topic: Topic, now: float) -> bool:
        """Whether to pause the topic: AWS refused it, or more readings may share its message."""
        until = self._watcher.until(topic)
        delay = self._settings.batch.max_delay
        if until <= now and delay and not self._is_urgent and not self._is_full(topic):
            until = self._gathering.setdefault(topic.number, now + delay)
        if until > now:
            self._queue.pause(topic, until)
        return until > now

    def _is_full(self, topic: Topic) -> bool:
        return topic.unsent[-1][1] - topic.unsent[0][0] >= self._settings.batch.max_readings

    def _take_parts(self, topic: Topic, most: int) -> None:
        """Takes readings of a topic from the queue, split into one part for each message."""
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
