"""Publishes what is in the queue, as fast as AWS takes it, until AWS has each reading or it can never be sent.

A reading passes three stages: *put* (in memory, for a moment), *stored* (durable: its sender is informed), and
*acknowledged* (AWS has it: deleted). The first two belong to ``commits``; this module leads from the queue to the
session. Everything runs on the deciding thread; ``settle`` is called between events.
"""

import collections
import math
from collections.abc import Callable

from fleet_agent.clock import Clock
from fleet_agent.config.telemetry import Telemetry
from fleet_agent.errors import StateDirectoryError
from fleet_agent.session.events import Published
from fleet_agent.session.message import Limits, Outgoing
from fleet_agent.session.mqtt import Session
from fleet_agent.telemetry import batch, topic_backoff, verdict
from fleet_agent.telemetry.batch import Stored
from fleet_agent.telemetry.commits import Commits
from fleet_agent.telemetry.composer import Composer
from fleet_agent.telemetry.in_flight import Answer, Counts, InFlight, Problems
from fleet_agent.telemetry.index import Cause
from fleet_agent.telemetry.model import Topic
from fleet_agent.telemetry.queue import Queue
from fleet_agent.telemetry.rate_limit import RateLimit
from fleet_agent.telemetry.reading import Callback, Reading
from fleet_agent.telemetry.refused_topics import RefusedTopics
from fleet_agent.telemetry.suspects import Suspects
from fleet_agent.telemetry.topic_backoff import Patience
from fleet_agent.telemetry.verdict import Verdict

ANSWERS_KEPT = 100  # answers that wait for a connection


class Publisher:
    """Publishes readings and answers.

    Args:
        queue: Where readings wait; closed by the caller.
        settings: Batches, limits, order.
        clock: For the rate limit and expiry.
        problems: Receives what is wrong with publishing.
        endpoint: Named in policy statements.
    """

    def __init__(
        self,
        queue: Queue,
        settings: Telemetry,
        clock: Clock,
        problems: Problems,
        endpoint: str = "",
    ) -> None:
        self._queue = queue
        self._settings = settings
        self._clock = clock
        self._endpoint = endpoint
        self._commits = Commits(queue, settings.queue.commit_delay, clock, problems.disk)
        self._rate_limit = RateLimit(settings.limits.publishes, settings.limits.bytes)
        self._session: Session | None = None
        self._limits = Limits()
        self._window = settings.limits.unacknowledged
        self._answers: collections.deque[Answer] = collections.deque()
        self._cut_answers: list[Answer] = []  # to be sent again, in their former order
        self._composer = Composer(queue, settings, clock, self)
        self._sent: dict[InFlight, None] = {}
        self._refused_topics = RefusedTopics(problems, clock)
        self._suspects = Suspects()
        self._culprit: InFlight | None = None
        self._is_cut = False
        self._counts = Counts()

    # In -------------------------------------------------------------------------------------------------------------

    def put(
        self,
        reading: Reading,
        on_stored: Callback | None = None,
        on_acknowledged: Callback | None = None,
        *,
        sends_on: bool = True,
    ) -> None:
        """Takes a reading for the next commit (``reading.Intake``)."""
        self._commits.put(reading, on_stored, on_acknowledged, sends_on=sends_on)

    def answer(self, message: Outgoing, on_end: Callable[[], None] | None = None) -> None:
        """Sends a message that is not in the queue: before readings; it survives a lost connection but not a crash.

        Args:
            message: What to send.
            on_end: Called when AWS has it, or never will.
        """
        answer = Answer(message, on_end)
        if self._refused_topics.has_ended_connection(message.topic):
            # Its sender may repeat it for ever.
            self._drop(answer)
            return
        self._answers.append(answer)
        if len(self._answers) > ANSWERS_KEPT:
            self._drop(self._answers.popleft())

    def _drop(self, answer: Answer) -> None:
        self._counts.answers_dropped += 1
        answer.end()

    @property
    def counts(self) -> Counts:
        """The counters since the agent started."""
        self._counts.stored = self._commits.stored
        self._counts.not_stored = self._commits.not_stored
        return self._counts

    # The connection ---------------------------------------------------------------------------------------------------

    def connected(self, session: Session, limits: Limits | None = None) -> None:
        """Starts to send on a new connection, within the server's limits."""
        # Of the one before: the SDK lost what came of them, and says nothing any more.
        self._take_back()
        self._session = session
        self._limits = limits or Limits()
        most = self._settings.limits.unacknowledged
        self._window = min(most, self._limits.unacknowledged or most)
        self._is_cut, self._culprit = False, None
        self._answers.extendleft(reversed(self._cut_answers))
        self._cut_answers.clear()
        self._refused_topics.connected()
        self._composer.begin(self._limits.packet)

    def disconnected(self) -> None:
        """Stops sending. Unacknowledged messages come back through their ``Published`` events."""
        self._cut()
        self._session = None
        self._composer.empty()

    def leave(self) -> None:
        """The agent ends the connection itself: messages in flight are sent again, and none of them is suspected."""
        self._take_back()
        self._session = None
        self._composer.empty()

    def _take_back(self) -> None:
        """Has messages in flight sent again."""
        for sent in list(self._sent):
            del self._sent[sent]
            if isinstance(sent.of, Answer):
                self._cut_answers.append(sent.of)
            else:
                self._queue.give_back(sent.of, sent.readings)

    def _cut(self) -> None:
        """The connection ended: handled once, whichever event reports it first."""
        if self._session is None or self._is_cut:
            return
        self._is_cut = True
        flying = [(sent.of, len(sent.readings), sent.at) for sent in self._sent]
        if self._suspects.cut(flying, self._clock.monotonic()):
            self._culprit = next(iter(self._sent))

    def published(self, event: Published) -> None:
        """Handles a PUBACK, or its absence."""
        sent = event.tag
        if not isinstance(sent, InFlight) or sent not in self._sent:
            return
        found = verdict.judge(event)
        if event.reason_code is None and self._session is None:
            found = Verdict.AGAIN
        if found is Verdict.AGAIN:
            self._cut()
        elif event.reason_code is not None:
            self._suspects.cleared(sent.of)
        del self._sent[sent]
        if sent is self._culprit:
            self._end_of(sent)
        elif isinstance(sent.of, Answer):
            self._answered(sent.of, found, event)
        else:
            self._received(sent.of, sent, found, event)

    def _end_of(self, sent: InFlight) -> None:
        """Gives up a message that ended the connection twice."""
        self._refused_topics.ended_connection(sent.message.topic)
        if isinstance(sent.of, Answer):
            self._drop(sent.of)
            return
        self._forget(sent.of, sent.readings, "it ended the connection to AWS IoT", "refused")
        self._refused_topics.pause_ender(sent.of)

    def _answered(self, answer: Answer, found: Verdict, event: Published) -> None:
        topic = answer.message.topic
        match found:
            case Verdict.TAKEN:
                self._refused_topics.accepted(topic)
                answer.end()
            case Verdict.AGAIN:
                self._cut_answers.append(answer)
            case Verdict.LATER | Verdict.POLICY | Verdict.LARGE | Verdict.NEVER:
                self._drop(answer)
                problem = verdict.problem(
                    event, self._endpoint, is_foreign=answer.message.is_foreign
                )
                self._refused_topics.add(topic, problem)

    def _received(self, topic: Topic, sent: InFlight, found: Verdict, event: Published) -> None:
        readings = sent.readings
        if found is Verdict.TAKEN:
            self._counts.acknowledged += len(readings)
            self._forget(topic, readings)
            self._refused_topics.received(topic)
            return
        if found is Verdict.AGAIN:
            # At least once: it may arrive twice, but is never lost.
            self._queue.give_back(topic, readings)
            return
        if found is Verdict.LARGE and len(readings) > 1:
            self._queue.give_back(topic, readings)
            self._composer.shrink(sent.message)
            return
        self._refused_topics.add(topic.name, verdict.problem(event, self._endpoint))
        is_policy = found is Verdict.POLICY
        if found in (Verdict.NEVER, Verdict.LARGE) or (
            is_policy and self._settings.when_refused == "drop"
        ):
            self._forget(topic, readings, "AWS IoT refused it", "refused")
            return
        self._queue.give_back(topic, readings)
        self._pause(topic, topic_backoff.POLICY if is_policy else topic_backoff.OTHERS)
        self._composer.empty(topic)

    def _pause(self, topic: Topic, patience: Patience) -> None:
        self._queue.pause(topic, self._refused_topics.pause(topic, patience))

    # Between events ---------------------------------------------------------------------------------------------------

    @property
    def due(self) -> float:
        """When ``settle`` has something to do without an event (monotonic seconds)."""
        return min(self._commits.due, self._send_at(self._clock.monotonic()))

    @property
    def waiting(self) -> int:
        """Readings that AWS has not acknowledged yet."""
        return self._queue.count + self._commits.waiting

    @property
    def is_full(self) -> bool:
        """Whether as many messages are in flight as may be: none is sent before another is acknowledged."""
        return len(self._sent) >= self._window

    def is_idle(self, until: float) -> bool:
        """Whether nothing can be sent or acknowledged until then (monotonic seconds)."""
        is_empty = not self._commits.waiting and not self._sent
        return is_empty and self._send_at(self._clock.monotonic()) > until

    def settle(self, *, at_once: bool = False) -> float:
        """Commits what was put, then sends what may go.

        Args:
            at_once: Do not wait for others to share a commit or a message.

        Returns:
            Seconds to leave events alone, for readings that wait to share a commit; usually 0.
        """
        self._composer.set_urgent(is_urgent=at_once)
        self._composer.grown(self._commits.settle(at_once=at_once))
        self._pump()
        self._commits.report_dropped(self._held)
        return self._commits.pause

    def _held(self) -> list[tuple[Topic, list[Stored]]]:
        """Returns what is composed or in flight."""
        flying = [(sent.of, sent.readings) for sent in self._sent if isinstance(sent.of, Topic)]
        return [*self._composer, *flying]

    # Out ------------------------------------------------------------------------------------------------------------

    def _pump(self) -> None:
        while session := self._session:
            now = self._clock.monotonic()
            if self._send_at(now) > now:
                return
            sent = self._next(now)
            if sent is None:
                continue  # only composed now, a topic was empty, or it cannot be sent now
            self._sent[sent] = None
            message = sent.message
            self._rate_limit.spend(now, self._size(message))
            self._counts.messages += 1
            session.publish(message, sent)

    def _send_at(self, now: float) -> float:
        """Returns when the next message may go (monotonic seconds); ``math.inf``: after some event."""
        suspect = self._suspect(now) if self._suspects else None
        window = self._window
        if not self._session or self._is_cut or len(self._sent) >= (1 if suspect else window):
            return math.inf
        ready = now if self._answers or suspect else self._composer.due()
        if ready == math.inf:
            return ready
        message = self._answers[0].message if self._answers else self._composer.ready
        return max(ready, now + self._rate_limit.wait(now, self._size(message) if message else 0))

    def _size(self, message: Outgoing) -> int:
        """Returns the packet's size for the rate limit; 0 where bytes are not limited."""
        return batch.packet_size(message) if self._settings.limits.bytes else 0

    def _suspect(self, now: float) -> Topic | Answer | None:
        """Returns what is to be sent alone now, or is in flight alone."""
        busy = {sent.of for sent in self._sent} | set(self._answers)
        busy |= {topic for topic, _ in self._composer} | set(self._cut_answers)
        for key in self._suspects:
            if isinstance(key, (Topic, Answer)) and key in busy:
                return key
            if not isinstance(key, Topic) or not self._queue.has(key) or not key.unsent:
                self._suspects.discard(key)
            elif self.until(key) <= now:
                return key
        return None

    def _next(self, now: float) -> InFlight | None:
        if self._answers:
            return self._fitting_answer(self._answers.popleft(), now)
        if self._composer.ready:
            composed = self._composer.take()
            return InFlight(composed.topic, composed.readings, composed.message, now)
        suspect = self._suspect(now) if self._suspects else None
        topic = suspect if isinstance(suspect, Topic) else None
        singly = topic is not None and self._suspects.was_alone(topic)
        self._composer.make(now, topic, singly=singly)
        return None

    def _fitting_answer(self, answer: Answer, now: float) -> InFlight | None:
        message = answer.message
        size, most = batch.packet_size(message), self._limits.packet
        if most is not None and size > most:
            self._drop(answer)
            self._refused_topics.add(message.topic, verdict.too_large(message.topic, size, most))
            return None
        return InFlight(answer, [], message, now)

    # What is not sent (composer.Watcher) ------------------------------------------------------------------------------

    def until(self, topic: Topic) -> float:
        """Returns when messages of this topic may go (monotonic seconds)."""
        return self._refused_topics.until(topic)

    def expired(self, topic: Topic, readings: list[Stored]) -> None:
        """Drops readings that have expired."""
        self._forget(topic, readings, "it expired", "expired")

    def too_large(self, topic: Topic, readings: list[Stored], size: int, most: int) -> None:
        """Drops a single reading that is larger than the server accepts."""
        self._refused_topics.add(topic.name, verdict.too_large(topic.name, size, most))
        self._forget(topic, readings, "it is larger than the server accepts", "refused")

    def unreadable(self, topic: Topic, error: StateDirectoryError) -> None:
        """Leaves a topic alone whose readings cannot be read now."""
        self._commits.failed(error)
        self._pause(topic, topic_backoff.DISK)

    def _forget(
        self,
        topic: Topic,
        readings: list[Stored],
        why_not: str | None = None,
        cause: Cause | None = None,
    ) -> None:
        self._queue.forget(topic, readings, cause)
        self._commits.done(topic, readings, why_not)
