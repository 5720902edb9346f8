"""Readings in, messages out: commits many readings at once, and sends as fast as AWS takes them.

A reading goes through three moments: *put* (in memory, for a moment), *stored* (durable: its sender is told), and
*acknowledged* (AWS has it: deleted). Everything here runs on the deciding thread; ``settle`` is called between events.
"""

import collections
import dataclasses
import math
from collections.abc import Callable

from fleet_agent.clock import Clock
from fleet_agent.config.telemetry import Telemetry
from fleet_agent.errors import AgentError, NotAllowedError, RefusedError, StateDirectoryError
from fleet_agent.session.message import Outgoing
from fleet_agent.session.mqtt import CUT, NOT_AUTHORIZED, Published, Session
from fleet_agent.telemetry import batch, blocks
from fleet_agent.telemetry.accounts import Cause
from fleet_agent.telemetry.batch import Stored
from fleet_agent.telemetry.blocks import Blocks, Patience
from fleet_agent.telemetry.inventory import Topic
from fleet_agent.telemetry.pace import Pace
from fleet_agent.telemetry.queue import Queue
from fleet_agent.telemetry.reading import MAX_PAYLOAD, Reading

COMMIT_AT = 1000  # readings that are committed without waiting for more
COMMIT_BYTES = (
    1 << 20
)  # and bytes of them: they are in memory until then, and once more in the log
FLUSH_EVERY = 1.0  # seconds until what AWS has is deleted when nothing else is committed
SINGLES = 32  # readings that are read from the queue at once to go in a message each
REFUSED_KEPT = 100  # topics of which is remembered that they were refused

_SUCCESS = (0, 16)  # PUBACK: success, no matching subscribers
# PUBACK: topic name, size or payload format that AWS will not take at any time.
_NEVER = (144, 149, 153)

_Told = Callable[[str], None]


@dataclasses.dataclass(frozen=True, slots=True)
class _Put:
    """A reading that waits for the next commit."""

    reading: Reading
    on_stored: _Told | None
    on_acknowledged: _Told | None


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class _Sent:
    """A message under way; of an answer no readings."""

    topic: Topic | None
    readings: list[Stored]
    message: Outgoing


@dataclasses.dataclass(slots=True)
class Counts:
    """Since the agent started."""

    stored: int = 0
    acknowledged: int = 0
    messages: int = 0
    not_stored: int = 0  # the disk did not take them; their senders were told


class Publisher:
    """The way up.

    Args:
        queue: Where readings wait; closed by the caller.
        settings: Batches, limits, order.
        clock: For pace and expiry.
        tell: Hears of what is refused (an error), and that a topic or the disk is well again (None), by a name.
    """

    def __init__(
        self,
        queue: Queue,
        settings: Telemetry,
        clock: Clock,
        tell: Callable[[str, AgentError | None], None],
    ) -> None:
        self._queue = queue
        self._settings = settings
        self._clock = clock
        self._tell = tell
        self._pace = Pace(settings.limits.publishes, settings.limits.bytes)
        self._session: Session | None = None
        self._put: list[_Put] = []
        self._put_size = 0
        self._put_at = math.inf
        self._flush_at = math.inf
        self._answers: collections.deque[Outgoing] = collections.deque(maxlen=100)
        # Taken from the queue to be sent as soon as the pace allows: each the readings of a message.
        self._hand: collections.deque[tuple[Topic, list[Stored]]] = collections.deque()
        self._sent: set[_Sent] = set()
        # Topic's number → when its readings wait for no others any more.
        self._gathering: dict[int, float] = {}
        self._refused_topics: set[str] = set()
        self._blocks = Blocks()
        self._waiting_for: dict[tuple[int, int], _Told] = {}
        self._replaced = queue.replaced
        self._is_troubled = False
        self._is_hasty = False  # readings do not wait for others
        self.counts = Counts()

    # In -------------------------------------------------------------------------------------------------------------

    def put(
        self,
        reading: Reading,
        on_stored: _Told | None = None,
        on_acknowledged: _Told | None = None,
    ) -> None:
        """Take a reading for the next commit (``reading.Intake``)."""
        if len(reading.payload) > MAX_PAYLOAD:
            if on_stored:
                on_stored(f"it has {len(reading.payload)} bytes, AWS IoT takes {MAX_PAYLOAD}")
            return
        if not self._put:
            self._put_at = self._clock.monotonic() + self._settings.queue.commit_delay
        self._put.append(_Put(reading, on_stored, on_acknowledged))
        self._put_size += len(reading.payload)

    def answer(self, message: Outgoing) -> None:
        """Send a message that is not kept on disk: goes before readings, survives a lost connection, not a crash."""
        self._answers.append(message)

    # The connection ---------------------------------------------------------------------------------------------------

    def connected(self, session: Session) -> None:
        """The connection stands: send."""
        self._session = session
        self._blocks.clear()  # a new connection, perhaps a new policy: all is tried again
        self._gathering.clear()
        self._queue.wake()
        for topic in self._refused_topics:
            self._tell(topic, None)
        self._refused_topics.clear()

    def disconnected(self) -> None:
        """Send no more. What was sent and is not acknowledged comes back by its ``Published`` events."""
        self._session = None
        self._empty_hand()

    def published(self, event: Published) -> None:
        """A PUBACK, or the end of waiting for one."""
        sent = event.tag
        if not isinstance(sent, _Sent) or sent not in self._sent:
            return
        self._sent.remove(sent)
        topic = sent.topic
        if topic is None:
            self._answered(sent.message, event)
        elif event.reason_code in _SUCCESS:
            self.counts.acknowledged += len(sent.readings)
            self._forget(topic, sent.readings)
            self._blocks.clear(topic.number)
            self._taken(topic.name)
        elif self._is_cut(event):
            # At least once: it may arrive twice, it is not lost.
            self._queue.give_back(topic, sent.readings)
        else:
            self._refused(topic, sent, event)

    def _answered(self, message: Outgoing, event: Published) -> None:
        if event.reason_code in _SUCCESS:
            self._taken(message.topic)
        elif self._is_cut(event):
            self._answers.appendleft(message)
        else:
            self._not_taken(message.topic, event)

    def _is_cut(self, event: Published) -> bool:
        """Whether the connection ended before the PUBACK came."""
        return event.reason_code is None and (self._session is None or CUT in event.error)

    def _refused(self, topic: Topic, sent: _Sent, event: Published) -> None:
        code = event.reason_code
        is_policy = code == NOT_AUTHORIZED
        self._not_taken(topic.name, event)
        if code in _NEVER or (is_policy and self._settings.when_refused == "drop"):
            self._forget(topic, sent.readings, "AWS IoT refused it", "refused")
            return
        self._queue.give_back(topic, sent.readings)
        patience = blocks.POLICY if is_policy else blocks.OTHERS
        self._block(topic, patience)
        self._empty_hand(topic)

    def _block(self, topic: Topic, patience: Patience) -> None:
        self._blocks.block(topic.number, patience, self._clock.monotonic())
        self._queue.rest(topic, self._blocks.until(topic.number))

    def _not_taken(self, topic: str, event: Published) -> None:
        if topic in self._refused_topics or len(self._refused_topics) < REFUSED_KEPT:
            self._refused_topics.add(topic)
            self._tell(topic, _refusal(topic, event))

    def _taken(self, topic: str) -> None:
        if topic in self._refused_topics:
            self._refused_topics.remove(topic)
            self._tell(topic, None)

    # Between events ---------------------------------------------------------------------------------------------------

    @property
    def due(self) -> float:
        """When ``settle`` has something to do though nothing happens (monotonic seconds)."""
        return min(self._put_at, self._flush_at, self._send_at(self._clock.monotonic()))

    @property
    def waiting(self) -> int:
        """Readings that AWS has not acknowledged yet."""
        return self._queue.count + len(self._put)

    def is_idle(self, until: float) -> bool:
        """Whether nothing can be sent, nor be acknowledged, up to then (monotonic seconds)."""
        return not self._put and not self._sent and self._send_at(self._clock.monotonic()) > until

    def settle(self, *, at_once: bool = False) -> None:
        """Commit what came in, then send what may go; ``at_once``: nothing waits to share a commit or a message."""
        if at_once and not self._is_hasty:
            self._queue.wake()
        self._is_hasty = at_once
        now = self._clock.monotonic()
        is_much = len(self._put) >= COMMIT_AT or self._put_size >= COMMIT_BYTES
        if self._put and (at_once or now >= self._put_at or is_much):
            self._commit()
        if now >= self._flush_at:
            self._flush()
        self._pump()
        self._tell_lost()
        if self._queue.has_unwritten:
            self._flush_at = min(self._flush_at, now + FLUSH_EVERY)

    def _commit(self) -> None:
        batch_of, self._put, self._put_size, self._put_at = self._put, [], 0, math.inf
        try:
            places = self._queue.add([one.reading for one in batch_of])
        except StateDirectoryError as error:
            self._trouble(error)
            self.counts.not_stored += len(batch_of)
            for one in batch_of:
                if one.on_stored:
                    one.on_stored(error.title)
            return
        self._well()
        self._flush_at = math.inf  # what AWS has was deleted in the same transaction
        if self._gathering:
            self._wake_full(places)
        for one, place in zip(batch_of, places, strict=True):
            if place and one.on_acknowledged:
                self._waiting_for[place[0].number, place[1]] = one.on_acknowledged
            if one.on_stored:
                one.on_stored(
                    "" if place else "the queue is full of readings of a higher priority"
                )
        self.counts.stored += sum(place is not None for place in places)

    def _wake_full(self, places: list[tuple[Topic, int] | None]) -> None:
        """Topics that wait for others no more: there are enough for a message."""
        for topic in {place[0] for place in places if place}:
            if topic.number in self._gathering and topic.unsent and self._is_full(topic):
                self._queue.wake(topic)

    def _flush(self) -> None:
        self._flush_at = math.inf
        try:
            self._queue.flush()
        except StateDirectoryError as error:
            self._trouble(error)
            self._flush_at = self._clock.monotonic() + FLUSH_EVERY
        else:
            self._well()

    def _trouble(self, error: StateDirectoryError) -> None:
        self._is_troubled = True
        self._tell("", error)

    def _well(self) -> None:
        if self._is_troubled:
            self._is_troubled = False
            self._tell("", None)

    # Out ------------------------------------------------------------------------------------------------------------

    def _pump(self) -> None:
        while (session := self._session) and len(
            self._sent
        ) < self._settings.limits.unacknowledged:
            now = self._clock.monotonic()
            if self._send_at(now) > now:
                return
            sent = self._next(now)
            if sent is None:
                continue  # nothing was left of a topic, or it cannot be read now
            self._sent.add(sent)
            message = sent.message
            self._pace.spend(now, len(message.payload) + len(message.topic))
            self.counts.messages += 1
            session.publish(message, sent)

    def _send_at(self, now: float) -> float:
        """When the next message may go (monotonic seconds); ``math.inf``: something else must happen first."""
        if not self._session or len(self._sent) >= self._settings.limits.unacknowledged:
            return math.inf
        is_ready = self._answers or self._hand
        ready = now if is_ready else self._queue.due()
        return ready if ready == math.inf else max(ready, now + self._pace.wait(now))

    def _next(self, now: float) -> _Sent | None:
        if self._answers:
            return _Sent(None, [], self._answers.popleft())
        if not self._hand and (topic := self._queue.next(now)):
            if self._is_to_wait(topic, now):
                return None
            self._draw(topic)
        if not self._hand:
            return None
        topic, readings = self._hand.popleft()
        first = readings[0]
        left = self._queue.ages.left(first.era, first.moment, first.lifetime)
        message = batch.compose(topic.name, readings, self._settings.batch, left)
        return _Sent(topic, readings, message)

    def _is_to_wait(self, topic: Topic, now: float) -> bool:
        """Leave a topic alone that AWS refused, and one whose readings others may join."""
        until = self._blocks.until(topic.number)
        delay = self._settings.batch.max_delay
        if until <= now and delay and not self._is_hasty and not self._is_full(topic):
            until = self._gathering.setdefault(topic.number, now + delay)
        if until > now:
            self._queue.rest(topic, until)
        return until > now

    def _is_full(self, topic: Topic) -> bool:
        return topic.unsent[-1][1] - topic.unsent[0][0] >= self._settings.batch.max_readings

    def _draw(self, topic: Topic) -> None:
        """Take readings of a topic in hand, as messages."""
        self._gathering.pop(topic.number, None)
        wanted = self._settings.batch
        is_newest = self._settings.drain == "newest-first"
        most = (
            min(SINGLES, wanted.max_readings) if wanted.format == "none" else wanted.max_readings
        )
        try:
            found = self._queue.take(topic, most, wanted.max_bytes - 2, newest=is_newest)
        except StateDirectoryError as error:
            self._trouble(error)
            self._block(topic, blocks.DISK)
            return
        readings = self._without_expired(topic, found)
        while readings:
            count = batch.share(readings, wanted)
            part, readings = readings[:count], readings[count:]
            if is_newest:
                self._hand.appendleft((topic, part))
            else:
                self._hand.append((topic, part))

    def _empty_hand(self, only: Topic | None = None) -> None:
        """Give back what is in hand, all or of one topic."""
        hand = list(self._hand)
        self._hand.clear()
        for topic, readings in hand:
            if only in (None, topic):
                self._queue.give_back(topic, readings)
            else:
                self._hand.append((topic, readings))

    def _without_expired(self, topic: Topic, readings: list[Stored]) -> list[Stored]:
        left = self._queue.ages.left
        expired = [
            one
            for one in readings
            if one.lifetime is not None and (left(one.era, one.moment, one.lifetime) or 0.0) <= 0
        ]
        if not expired:
            return readings
        self._forget(topic, expired, "it expired", "expired")
        gone = {one.sequence for one in expired}
        return [one for one in readings if one.sequence not in gone]

    def _forget(
        self, topic: Topic, readings: list[Stored], why: str = "", cause: Cause | None = None
    ) -> None:
        self._queue.forget(topic, readings, cause)
        for one in readings if self._waiting_for else ():
            if told := self._waiting_for.pop((topic.number, one.sequence), None):
                told(why)

    def _tell_lost(self) -> None:
        for place in self._queue.lost if self._waiting_for else ():
            if told := self._waiting_for.pop(place, None):
                told("it was dropped: the queue was full, or it waited for too long")
        self._queue.lost.clear()
        if self._queue.replaced is not self._replaced:
            self._replaced = self._queue.replaced
            self._tell_damaged()

    def _tell_damaged(self) -> None:
        """What is neither in hand nor under way was in the damaged file."""
        parts = [*self._hand, *((one.topic, one.readings) for one in self._sent)]
        held = {(topic.number, one.sequence) for topic, part in parts if topic for one in part}
        for place in self._waiting_for.keys() - held:
            self._waiting_for.pop(place)("the queue was damaged, and the reading with it")


def _refusal(topic: str, event: Published) -> AgentError:
    if event.reason_code == NOT_AUTHORIZED:
        return NotAllowedError("thing", "iot:Publish", f"topic/{topic}")
    what = f"reason code {event.reason_code}" if event.reason_code is not None else event.error
    return RefusedError(
        f"AWS IoT did not take a message on {topic}: {what}.",
        remedy="Look at the topic's name and the account's limits (docs/how-to/troubleshooting.md).",
        code="publish-refused",
    )
