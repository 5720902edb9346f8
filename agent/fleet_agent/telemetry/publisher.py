"""Readings in, messages out: commits many readings at once, and sends as fast as AWS takes them.

A reading goes through three moments: *put* (in memory, for a moment), *stored* (durable: its sender is told), and
*acknowledged* (AWS has it: deleted). Everything here runs on the deciding thread; ``settle`` is called between events.
"""

import collections
import dataclasses
import math
from collections.abc import Callable, Iterator

from fleet_agent.clock import Clock, is_doubtful
from fleet_agent.config.telemetry import Telemetry
from fleet_agent.errors import AgentError, NotAllowedError, RefusedError, StateDirectoryError
from fleet_agent.session.message import Outgoing
from fleet_agent.session.mqtt import NOT_AUTHORIZED, Published, Session
from fleet_agent.telemetry import batch
from fleet_agent.telemetry.batch import Stored
from fleet_agent.telemetry.pace import Pace
from fleet_agent.telemetry.queue import Queue, Topic
from fleet_agent.telemetry.reading import MAX_PAYLOAD, Reading

COMMIT_AT = 1000  # readings that are committed without waiting for more
FLUSH_EVERY = 1.0  # seconds until what AWS has is deleted when nothing else is committed
BLOCKED_FIRST = 30.0  # seconds until a refused topic is tried again; doubled each time
BLOCKED_LONGEST = 3600.0

_SUCCESS = (0, 16)  # PUBACK: success, no matching subscribers
_NEVER = (
    144,
    149,
    153,
)  # PUBACK: topic name, size or payload format that AWS will not take at any time

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
class _Block:
    """A topic that AWS refused, left alone until then (monotonic seconds)."""

    until: float
    seconds: float


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
        self._put_at = math.inf
        self._flush_at = math.inf
        self._answers: collections.deque[Outgoing] = collections.deque(maxlen=100)
        self._sent: set[_Sent] = set()
        self._gathering: dict[
            int, float
        ] = {}  # topic → when its readings wait for no others any more
        self._blocks: dict[int, _Block] = {}
        self._waiting_for: dict[tuple[int, int], _Told] = {}
        self._is_troubled = False
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

    def answer(self, message: Outgoing) -> None:
        """Send a message that is not kept on disk: goes before readings, survives a lost connection, not a crash."""
        self._answers.append(message)

    # The connection ---------------------------------------------------------------------------------------------------

    def connected(self, session: Session) -> None:
        """The connection stands: send."""
        self._session = session
        self._blocks.clear()  # a new connection, perhaps a new policy

    def disconnected(self) -> None:
        """The connection ended: what was not acknowledged comes back by its ``Published`` events."""
        self._session = None

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
            self._forget(topic, sent.readings, "")
            if self._blocks.pop(topic.number, None):
                self._tell(topic.name, None)
        elif event.reason_code is None and self._session is None:
            self._queue.give_back(
                topic, sent.readings
            )  # at least once: it may arrive twice, it is not lost
        else:
            self._refused(topic, sent, event)

    def _answered(self, message: Outgoing, event: Published) -> None:
        if event.reason_code is None and self._session is None:
            self._answers.appendleft(message)
        elif event.reason_code not in _SUCCESS:
            self._tell(message.topic, _refusal(message.topic, event))

    def _refused(self, topic: Topic, sent: _Sent, event: Published) -> None:
        code = event.reason_code
        is_policy = code == NOT_AUTHORIZED
        self._tell(topic.name, _refusal(topic.name, event))
        if code in _NEVER or (is_policy and self._settings.when_refused == "drop"):
            self._queue.dropped.refused += len(sent.readings)
            self._forget(topic, sent.readings, "AWS IoT refused it")
            return
        self._queue.give_back(topic, sent.readings)
        self._block(topic, BLOCKED_FIRST if is_policy else 1.0)

    # Between events ---------------------------------------------------------------------------------------------------

    @property
    def due(self) -> float:
        """When ``settle`` has something to do though nothing happens (monotonic seconds)."""
        return min(self._put_at, self._flush_at, self._send_at(self._clock.monotonic()))

    @property
    def waiting(self) -> int:
        """Readings that AWS has not acknowledged yet."""
        return self._queue.count + len(self._put)

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing that could still be sent now."""
        return (
            not self._put and not self._sent and self._send_at(self._clock.monotonic()) == math.inf
        )

    def settle(self, *, at_once: bool = False) -> None:
        """Commit what came in, then send what may go; ``at_once``: wait for no more to share a commit."""
        now = self._clock.monotonic()
        if self._put and (at_once or now >= self._put_at or len(self._put) >= COMMIT_AT):
            self._commit()
        if now >= self._flush_at:
            self._flush()
        self._pump()
        self._tell_lost()
        if self._queue.has_unwritten:
            self._flush_at = min(self._flush_at, now + FLUSH_EVERY)

    def _commit(self) -> None:
        batch_of, self._put, self._put_at = self._put, [], math.inf
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
        for one, place in zip(batch_of, places, strict=True):
            if place and one.on_acknowledged:
                self._waiting_for[place[0].number, place[1]] = one.on_acknowledged
            if one.on_stored:
                one.on_stored(
                    "" if place else "the queue is full of readings of a higher priority"
                )
        self.counts.stored += sum(place is not None for place in places)

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
                continue  # a topic of which nothing was left
            self._sent.add(sent)
            message = sent.message
            self._pace.spend(now, len(message.payload) + len(message.topic))
            self.counts.messages += 1
            session.publish(message, sent)

    def _send_at(self, now: float) -> float:
        """When the next message may go (monotonic seconds); ``math.inf``: something else must happen first."""
        if not self._session or len(self._sent) >= self._settings.limits.unacknowledged:
            return math.inf
        ready = (
            now
            if self._answers
            else min(map(self._ready_at, self._queue.topics), default=math.inf)
        )
        return ready if ready == math.inf else max(ready, now + self._pace.wait(now))

    def _ready_at(self, topic: Topic) -> float:
        """When a message of this topic may go: after a refusal later, and perhaps others share it until then."""
        block = self._blocks.get(topic.number)
        if block:
            return block.until
        delay = self._settings.batch.max_delay
        if (
            not delay
            or topic.unsent[-1][1] - topic.unsent[0][0] >= self._settings.batch.max_readings
        ):
            return 0.0
        return self._gathering.setdefault(topic.number, self._clock.monotonic() + delay)

    def _next(self, now: float) -> _Sent | None:
        if self._answers:
            return _Sent(None, [], self._answers.popleft())
        topic = next(one for one in self._queue.topics if self._ready_at(one) <= now)
        self._gathering.pop(topic.number, None)
        wanted = self._settings.batch
        try:
            found = self._queue.take(
                topic,
                1 if wanted.format == "none" else wanted.max_readings,
                wanted.max_bytes,
                newest=self._settings.drain == "newest-first",
            )
        except StateDirectoryError as error:
            self._trouble(error)
            self._block(topic, 1.0)
            return None
        readings = self._without_expired(topic, found)
        if not readings:
            return None
        count = batch.share(readings, wanted)
        self._queue.give_back(topic, readings[count:])
        message = batch.compose(topic.name, readings[:count], wanted, self._clock.wall())
        return _Sent(topic, readings[:count], message)

    def _without_expired(self, topic: Topic, readings: list[Stored]) -> list[Stored]:
        now = self._clock.wall()
        expired = [one for one in readings if one.expires is not None and one.expires <= now]
        if not expired or is_doubtful(self._clock):
            return readings
        self._queue.dropped.expired += len(expired)
        self._forget(topic, expired, "it expired")
        return [one for one in readings if one.expires is None or one.expires > now]

    def _block(self, topic: Topic, first: float) -> None:
        before = self._blocks.get(topic.number)
        seconds = min(before.seconds * 2, BLOCKED_LONGEST) if before else first
        self._blocks[topic.number] = _Block(self._clock.monotonic() + seconds, seconds)

    def _forget(self, topic: Topic, readings: list[Stored], why: str) -> None:
        for first, last in _runs(readings):
            part = readings[first:last]
            size = sum(len(one.payload) for one in part)
            self._queue.forget(topic, part[0].sequence, len(part), size)
        for one in readings if self._waiting_for else ():
            if told := self._waiting_for.pop((topic.number, one.sequence), None):
                told(why)

    def _tell_lost(self) -> None:
        for place in self._queue.lost if self._waiting_for else ():
            if told := self._waiting_for.pop(place, None):
                told("it was dropped: the queue was full, or it waited for too long")
        self._queue.lost.clear()


def _runs(readings: list[Stored]) -> Iterator[tuple[int, int]]:
    """Where readings follow each other: first and end of each stretch of the list."""
    start = 0
    for index in range(1, len(readings) + 1):
        if index == len(readings) or readings[index].sequence != readings[index - 1].sequence + 1:
            yield start, index
            start = index


def _refusal(topic: str, event: Published) -> AgentError:
    if event.reason_code == NOT_AUTHORIZED:
        return NotAllowedError("thing", "iot:Publish", f"topic/{topic}")
    what = f"reason code {event.reason_code}" if event.reason_code is not None else event.error
    return RefusedError(
        f"AWS IoT did not take a message on {topic}: {what}.",
        remedy="Look at the topic's name and the account's limits (docs/how-to/troubleshooting.md).",
        code="publish-refused",
    )
