"""Stores readings, many in one commit, and informs each sender when its reading is durable and when AWS has it."""

import math
from collections.abc import Callable, Collection, Sequence

from fleet_agent.clock import Clock
from fleet_agent.errors import StateDirectoryError
from fleet_agent.record import mutable
from fleet_agent.telemetry.batch import Stored
from fleet_agent.telemetry.group_commit import GroupCommit
from fleet_agent.telemetry.model import Topic
from fleet_agent.telemetry.queue import Queue
from fleet_agent.telemetry.reading import MAX_PAYLOAD, Callback, Reading

# Readings, and their bytes, that are committed without waiting for more: until then they are in memory, and afterwards
# in the log, too.
COMMIT_AT = 1000
COMMIT_BYTES = 1 << 20
# Seconds until what AWS has is deleted if nothing else is committed: deleting it with the next readings costs no page
# of its own, and at a reading a minute no wake-up.
FLUSH_EVERY = 90.0
# Readings that AWS has at which they are deleted at once: more of a draining backlog is never sent twice after a crash.
FLUSH_AT = 10_000

_FULL = "the queue is full"
_LOST = "it was dropped: the queue was full, or it waited for too long"
_DAMAGED = "the queue was damaged, and the reading was in it"


# Not frozen, which would cost time: there is one for each reading.
@mutable
class _Put:
    """A reading that waits for the next commit."""

    reading: Reading
    on_stored: Callback | None
    on_acknowledged: Callback | None


class Commits:
    """Puts readings into the queue.

    Args:
        queue: Where they wait for AWS.
        delay: Seconds that a reading may wait for others to share its commit.
        clock: For that.
        on_disk: Called when the disk takes nothing (an error), and when it does again (None).
    """

    def __init__(
        self,
        queue: Queue,
        delay: float,
        clock: Clock,
        on_disk: Callable[[StateDirectoryError | None], None],
    ) -> None:
        self._queue = queue
        self._delay = delay
        self._clock = clock
        self._on_disk = on_disk
        self._put: list[_Put] = []
        self._put_size = 0
        self._put_at = math.inf
        self._sent_on = 0  # of them, readings whose senders do not wait
        self._group_commit = GroupCommit()
        self.pause = 0.0  # seconds to wait for more before the next ``settle``
        self._flush_at = math.inf
        self._to_delete = 0  # readings
        self._waiting_for: dict[tuple[int, int], Callback] = {}
        self._replaced = queue.replaced
        self._is_failing = False
        self.stored = 0
        self.not_stored = 0  # the disk did not take them; their senders were informed

    @property
    def due(self) -> float:
        """When ``settle`` has something to do (monotonic seconds)."""
        return min(self._put_at, self._flush_at)

    @property
    def waiting(self) -> int:
        """Readings that are in memory only."""
        return len(self._put)

    def put(
        self,
        reading: Reading,
        on_stored: Callback | None = None,
        on_acknowledged: Callback | None = None,
        *,
        sends_on: bool = True,
    ) -> None:
        """Takes a reading for the next commit (``reading.Intake``)."""
        if len(reading.payload) > MAX_PAYLOAD:
            if on_stored:
                on_stored(f"it has {len(reading.payload)} bytes; AWS IoT accepts {MAX_PAYLOAD}")
            return
        if not self._put:
            self._put_at = self._clock.monotonic() + self._delay
        self._put.append(_Put(reading, on_stored, on_acknowledged))
        self._put_size += len(reading.payload)
        self._sent_on += sends_on

    def settle(self, *, at_once: bool) -> Collection[Topic]:
        """Commits what was put and deletes what AWS has, when due.

        Returns:
            The topics that have more readings now.
        """
        now = self._clock.monotonic()
        is_much = len(self._put) >= COMMIT_AT or self._put_size >= COMMIT_BYTES
        grown: Collection[Topic] = ()
        self.pause = 0.0
        if self._put and (at_once or now >= self._put_at or is_much):
            if not (at_once or is_much):
                self.pause = self._group_commit.pause(len(self._put), self._sent_on, now)
            if not self.pause:
                grown = self._commit()
                self._group_commit.committed(self._clock.monotonic())
        if now >= self._flush_at:
            self._flush()
        return grown

    def _commit(self) -> Collection[Topic]:
        batch, self._put, self._put_size, self._sent_on = self._put, [], 0, 0
        self._put_at = math.inf
        try:
            places = self._queue.add([each.reading for each in batch])
        except StateDirectoryError as error:
            self.failed(error)
            self.not_stored += len(batch)
            for each in batch:
                if each.on_stored:
                    each.on_stored(error.title)
            return ()
        self._recovered()
        # What AWS has was deleted in the same transaction.
        self._flush_at, self._to_delete = math.inf, 0
        for each, place in zip(batch, places, strict=True):
            if place and each.on_acknowledged:
                self._waiting_for[place[0].number, place[1]] = each.on_acknowledged
            if each.on_stored:
                each.on_stored(None if place else _FULL)
        taken = [place for place in places if place]
        self.stored += len(taken)
        return {topic for topic, _ in taken}

    def _flush(self) -> None:
        self._flush_at, self._to_delete = math.inf, 0
        try:
            self._queue.flush()
        except StateDirectoryError as error:
            self.failed(error)
            self._flush_at = self._clock.monotonic() + FLUSH_EVERY
        else:
            self._recovered()

    def failed(self, error: StateDirectoryError) -> None:
        """Reports that the queue's file cannot be used."""
        self._is_failing = True
        self._on_disk(error)

    def _recovered(self) -> None:
        if self._is_failing:
            self._is_failing = False
            self._on_disk(None)

    # Who waits for AWS ------------------------------------------------------------------------------------------------

    def done(self, topic: Topic, readings: Sequence[Stored], why_not: str | None) -> None:
        """Informs the senders that AWS has these readings, or never will."""
        self._to_delete += len(readings)
        for each in readings if self._waiting_for else ():
            if on_acknowledged := self._waiting_for.pop((topic.number, each.sequence), None):
                on_acknowledged(why_not)

    def report_dropped(
        self, held: Callable[[], Collection[tuple[Topic, Sequence[Stored]]]]
    ) -> None:
        """Informs the senders of what was dropped, or lost with a damaged file; ``held``: readings in memory, too."""
        for place in self._queue.lost if self._waiting_for else ():
            if on_acknowledged := self._waiting_for.pop(place, None):
                on_acknowledged(_LOST)
        self._queue.lost.clear()
        if self._queue.replaced is not self._replaced:
            self._replaced = self._queue.replaced
            safe = {(topic.number, each.sequence) for topic, part in held() for each in part}
            # When damage shows while readings are stored, the new file has those.
            safe |= {
                (topic.number, sequence)
                for topic in self._queue.topics
                for run in topic.unsent
                for sequence in range(*run)
            }
            for place in self._waiting_for.keys() - safe:
                self._waiting_for.pop(place)(_DAMAGED)
        if self._queue.has_unwritten:
            pause = FLUSH_EVERY if self._to_delete < FLUSH_AT else 0.0
            self._flush_at = min(self._flush_at, self._clock.monotonic() + pause)
