"""Readings in: many share one commit, and each sender learns when its reading is durable and when AWS has it."""

import math
from collections.abc import Callable, Collection, Sequence

from fleet_agent.clock import Clock
from fleet_agent.errors import StateDirectoryError
from fleet_agent.record import mutable
from fleet_agent.telemetry.batch import Stored
from fleet_agent.telemetry.group_commit import Sharing
from fleet_agent.telemetry.model import Topic
from fleet_agent.telemetry.queue import Queue
from fleet_agent.telemetry.reading import MAX_PAYLOAD, Callback, Reading

# Readings that are committed without waiting for more, and bytes of them: they are in memory until then, and once more
# in the log.
COMMIT_AT = 1000
COMMIT_BYTES = 1 << 20
# Seconds until what AWS has is deleted when nothing else is committed: deleted with the next readings it costs no page
# of its own, and a reading a minute no wake-up.
FLUSH_EVERY = 90.0
# Readings that AWS has until they are deleted at once: no more of a backlog that goes up is sent again after a crash.
FLUSH_AT = 10_000

_FULL = "the queue is full"
_LOST = "it was dropped: the queue was full, or it waited for too long"
_DAMAGED = "the queue was damaged, and the reading with it"


# Not frozen: there is one a reading, and that costs.
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
        on_disk: Hears that the disk takes nothing (an error), and that it does again (None).
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
        self._sent_on = 0  # readings in it whose senders do not wait
        self._sharing = Sharing()
        self.pause = 0.0  # seconds that what was put waits for more, before the next ``settle``
        self._flush_at = math.inf
        self._to_delete = 0  # readings
        self._waiting_for: dict[tuple[int, int], Callback] = {}
        self._replaced = queue.replaced
        self._is_troubled = False
        self.stored = 0
        self.not_stored = 0  # the disk did not take them; their senders heard it

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
                on_stored(f"it has {len(reading.payload)} bytes, AWS IoT takes {MAX_PAYLOAD}")
            return
        if not self._put:
            self._put_at = self._clock.monotonic() + self._delay
        self._put.append(_Put(reading, on_stored, on_acknowledged))
        self._put_size += len(reading.payload)
        self._sent_on += sends_on

    def settle(self, *, at_once: bool) -> Collection[Topic]:
        """Commits what came in and deletes what AWS has, when it is time to.

        Returns:
            The topics that have more now.
        """
        now = self._clock.monotonic()
        is_much = len(self._put) >= COMMIT_AT or self._put_size >= COMMIT_BYTES
        grown: Collection[Topic] = ()
        self.pause = 0.0
        if self._put and (at_once or now >= self._put_at or is_much):
            if not (at_once or is_much):
                self.pause = self._sharing.pause(len(self._put), self._sent_on, now)
            if not self.pause:
                grown = self._commit()
                self._sharing.committed(self._clock.monotonic())
        if now >= self._flush_at:
            self._flush()
        return grown

    def _commit(self) -> Collection[Topic]:
        batch, self._put, self._put_size, self._sent_on = self._put, [], 0, 0
        self._put_at = math.inf
        try:
            places = self._queue.add([each.reading for each in batch])
        except StateDirectoryError as error:
            self.trouble(error)
            self.not_stored += len(batch)
            for each in batch:
                if each.on_stored:
                    each.on_stored(error.title)
            return ()
        self._well()
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
            self.trouble(error)
            self._flush_at = self._clock.monotonic() + FLUSH_EVERY
        else:
            self._well()

    def trouble(self, error: StateDirectoryError) -> None:
        """The queue's file cannot be used now."""
        self._is_troubled = True
        self._on_disk(error)

    def _well(self) -> None:
        if self._is_troubled:
            self._is_troubled = False
            self._on_disk(None)

    # Who waits for AWS ------------------------------------------------------------------------------------------------

    def done(self, topic: Topic, readings: Sequence[Stored], why_not: str | None) -> None:
        """AWS has these readings, or never will."""
        self._to_delete += len(readings)
        for each in readings if self._waiting_for else ():
            if heard := self._waiting_for.pop((topic.number, each.sequence), None):
                heard(why_not)

    def report_lost(self, held: Callable[[], Collection[tuple[Topic, Sequence[Stored]]]]) -> None:
        """Reports what the queue dropped, or lost with a damaged file; ``held`` is what is not in it alone."""
        for place in self._queue.lost if self._waiting_for else ():
            if heard := self._waiting_for.pop(place, None):
                heard(_LOST)
        self._queue.lost.clear()
        if self._queue.replaced is not self._replaced:
            self._replaced = self._queue.replaced
            safe = {(topic.number, each.sequence) for topic, part in held() for each in part}
            # Damage that shows while readings are stored: the new file has those.
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
