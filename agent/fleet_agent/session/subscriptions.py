"""Subscribes to a session's topic filters after each connect, and again until they are granted.

AWS IoT throttles the subscriptions of a fleet that reconnects together, and policies are corrected while devices are
connected: a filter that is refused, or not answered, is tried again, less and less often. A filter that another one
covers is left out, so that each message comes once, unless the covering one is refused. Copies that overlapping filters
bring are dropped (``copies``). When the connection ends before a SUBACK comes, filters are sent one at a time until all
is well: one of them may have ended it.
"""

import itertools
import logging
import math
from collections.abc import Callable, Sequence
from typing import TypeVar

from fleet_agent.clock import Clock
from fleet_agent.errors import NotAllowedError
from fleet_agent.health import table
from fleet_agent.health.problems import Problem, ProblemKind
from fleet_agent.health.status import Health
from fleet_agent.record import mutable
from fleet_agent.session import backoff, reasons
from fleet_agent.session.backoff import Patience
from fleet_agent.session.copies import Copies
from fleet_agent.session.events import Message, NoAnswer, Subscribed
from fleet_agent.session.filter_memory import FilterMemory
from fleet_agent.session.mqtt import ACK_LIMIT, FILTERS_A_PACKET, Session
from fleet_agent.session.reasons import Kind, Packet
from fleet_agent.topics import filters

_log = logging.getLogger(__name__)

T = TypeVar("T")


@mutable
class _Filter:
    """A filter and the state of its subscription; ``due`` (monotonic seconds) is when it is sent next."""

    name: str
    qos: int
    due: float = math.inf
    tries: int = 0
    is_asked: bool = False
    is_granted: bool = False
    # Why it is not granted: the last SUBACK's code, or that none came.
    code: int | None = None
    no_answer: NoAnswer | None = None

    @property
    def is_doubtful(self) -> bool:
        return self.code is not None or self.no_answer is not None


class Subscriptions:
    """Subscribes, and follows what is granted.

    Args:
        session: Whose they are.
        wanted: Topic filters with their QoS.
        clock: Deadlines are its monotonic seconds.
        health: Where refusals are shown.
        jitter: A random number in [0, 1).
        memory: Which filters the session had before.
    """

    def __init__(
        self,
        session: Session,
        wanted: Sequence[tuple[str, int]],
        clock: Clock,
        health: Health,
        jitter: Callable[[], float],
        memory: FilterMemory,
    ) -> None:
        self._session = session
        self._clock = clock
        self._health = health
        self._jitter = jitter
        self._memory = memory
        self._unwanted: list[str] = []
        # With the QoS of what it stands for: one that is there twice, or that it covers.
        self._filters = {
            name: _Filter(
                name=name,
                qos=max(qos for of, qos in wanted if of == name or filters.covers(name, of)),
            )
            for name, _ in wanted
        }
        self._copies = Copies()
        # Titles of problems that the log has.
        self._logged: dict[str, set[str]] = {}
        self._is_connected = False
        self._is_cautious = False

    @property
    def due(self) -> float:
        """When ``act`` is to be called (monotonic seconds)."""
        if not self._is_connected or (self._is_cautious and self._under_way()):
            return math.inf
        return min((item.due for item in self._filters.values()), default=math.inf)

    def connected(self, *, rejoined: bool) -> None:
        """Subscribes to all filters on a new connection, even in a resumed session: the configuration may be new."""
        self._is_connected = True
        self._copies.connected()
        now = self._clock.monotonic()
        for item in self._filters.values():
            item.is_asked = item.is_granted = False
            if not (self._is_cautious and item.tries):
                item.due = now
        covered = [item.name for item in self._filters.values() if self._is_covered(item)]
        for item in (self._filters[name] for name in covered):
            item.due = math.inf
        # Asked for again on each connection: it may have ended before the server heard of it.
        self._unwanted += self._memory.replace(self._filters)
        if rejoined:
            for names in _packets([*covered, *self._unwanted], FILTERS_A_PACKET):
                self._session.unsubscribe(names)
        self.act()

    def disconnected(self) -> None:
        """Handles the end of the connection: a filter in flight may be the reason, so it is retried later, alone."""
        self._is_connected = False
        now = self._clock.monotonic()
        under_way = self._under_way()
        for item in under_way:
            self._is_cautious = True
            item.is_asked = False
            # By itself, and not for the first time: it, and no other, ends it.
            is_culprit = len(under_way) == 1 and item.tries > 0
            item.no_answer = NoAnswer.CUT if is_culprit else item.no_answer
            self._postpone(item, Patience.REFUSED if is_culprit else Patience.BUSY, now)
            _log.info("the connection ended during the subscription to %s", item.name)
        self._show()

    def act(self) -> None:
        """Subscribes to what is due."""
        now = self._clock.monotonic()
        due = [item for item in self._filters.values() if item.due <= now]
        most = 1 if self._is_cautious else FILTERS_A_PACKET
        for part in _packets(due, most):
            for item in part:
                item.is_asked, item.due = True, math.inf
            self._session.subscribe([(item.name, item.qos) for item in part])
            if self._is_cautious:
                return

    def subscribed(self, event: Subscribed) -> bool:
        """Takes a SUBACK, or the news that none came; returns whether it grants what was not granted before."""
        if event.no_answer is NoAnswer.CUT:
            return False  # ``disconnected`` deals with it
        now = self._clock.monotonic()
        granted, is_late, has_healed = [], False, False
        codes: Sequence[int | None] = event.reason_codes or [None] * len(event.filters)
        for name, code in itertools.zip_longest(event.filters, codes[: len(event.filters)]):
            item = self._filters.get(name)
            if item is None or not item.is_asked:
                continue
            item.is_asked = False
            if code is None:
                self._not_answered(item, event.no_answer, now)
            elif reasons.reason(Packet.SUBACK, code).is_failure:
                self._refused(item, code, now)
            else:
                is_late = is_late or item.tries > 0
                has_healed = has_healed or _is_policys(item.code)
                self._granted(item, code)
                granted.append(name)
        if granted:
            _log.info("subscribed to %s", ", ".join(granted))
        if has_healed and not self._is_cautious:
            self._ask_for_refused(now)
        self._is_cautious = self._is_cautious and any(
            item.tries for item in self._filters.values()
        )
        self._show()
        return is_late

    def has_brought(self, message: Message) -> bool:
        """Whether another filter has brought the message already: this is a copy of it."""
        granted = [item.name for item in self._filters.values() if item.is_granted]
        count = sum(filters.brings_all(name, message.topic) for name in granted)
        shared = sum(filters.matches(name, message.topic) for name in granted) - count
        return self._copies.has(message, count, shared, self._clock.monotonic())

    def _granted(self, item: _Filter, code: int) -> None:
        item.is_granted, item.tries, item.code, item.no_answer = True, 0, None, None
        if code < item.qos:
            _log.warning("%s is granted only with QoS %d: messages may be lost", item.name, code)
        covered = [
            other
            for other in self._filters.values()
            if other.is_granted and self._is_covered(other)
        ]
        for other in covered:
            other.is_granted = False
        for part in _packets([other.name for other in covered], FILTERS_A_PACKET):
            self._session.unsubscribe(part)

    def _refused(self, item: _Filter, code: int, now: float) -> None:
        never = reasons.reason(Packet.SUBACK, code).kind is Kind.NEVER
        item.code, item.no_answer = code, None
        self._postpone(item, Patience.REFUSED if never else Patience.BUSY, now)
        self._ask_for_covered(now)

    def _not_answered(self, item: _Filter, why: NoAnswer | None, now: float) -> None:
        item.code, item.no_answer = None, why or NoAnswer.FAILED
        self._postpone(
            item, Patience.REFUSED if why is NoAnswer.IMPOSSIBLE else Patience.BUSY, now
        )
        self._ask_for_covered(now)

    def _ask_for_covered(self, now: float) -> None:
        """Subscribes to what a refused filter covered."""
        for item in self._filters.values():
            is_idle = item.due == math.inf and not item.is_asked and not item.is_granted
            if is_idle and not self._is_covered(item):
                item.due = now

    def _ask_for_refused(self, now: float) -> None:
        """Subscribes to what the policy did not allow: it has been changed."""
        for item in self._filters.values():
            if _is_policys(item.code) and not item.is_asked:
                item.due = now

    def _postpone(self, item: _Filter, patience: Patience, now: float) -> None:
        item.tries += 1
        item.due = now + backoff.delay(patience, item.tries, self._jitter())

    def _under_way(self) -> list[_Filter]:
        return [item for item in self._filters.values() if item.is_asked]

    def _is_covered(self, item: _Filter) -> bool:
        """Whether another filter brings all that this one would, unless that was refused."""
        return any(
            filters.covers(other.name, item.name) and not other.is_doubtful
            for other in self._filters.values()
            if other is not item
        )

    # Problems ---------------------------------------------------------------------------------------------------------

    def _show(self) -> None:
        endpoint = self._session.route.host
        refused, silent = [], []
        for item in self._filters.values():
            if item.code is not None:
                refused.append(_refusal(item.name, item.code, endpoint))
            if item.no_answer is not None:
                silent.append(_silence(item.name, item.no_answer))
        self._report(table.SUBSCRIBE_REFUSED, refused)
        self._report(table.SUBSCRIBE_UNANSWERED, silent)

    def _report(self, kind: ProblemKind, problems: Sequence[Problem]) -> None:
        logged = self._logged.get(kind.code, set())
        self._logged[kind.code] = titles = {problem.title for problem in problems}
        if not problems:
            self._health.clear(kind)
            return
        first = problems[0]
        if others := len(problems) - 1:
            first = kind.problem(f"{first.title} The same applies to {others} more.", first.remedy)
        # With some granted, the rest is no news: it is asked for again before long.
        show = self._health.report if titles <= logged else self._health.warn
        show(first)


def _is_policys(code: int | None) -> bool:
    return code is not None and reasons.reason(Packet.SUBACK, code).kind is Kind.POLICY


def _refusal(name: str, code: int, endpoint: str) -> Problem:
    found = reasons.reason(Packet.SUBACK, code)
    if found.kind is Kind.POLICY:
        resource = f"topicfilter/{name}"
        error = NotAllowedError("thing", "iot:Subscribe", resource, endpoint=endpoint)
        return table.SUBSCRIBE_REFUSED.problem(error.title, error.remedy)
    words = f"{reasons.words(Packet.SUBACK, code)}; {found.cause}"
    return table.SUBSCRIBE_REFUSED.problem(
        f"AWS IoT did not grant the subscription to {name}: {words}.", found.remedy
    )


def _silence(name: str, why: NoAnswer) -> Problem:
    words = f"no SUBACK arrived within {ACK_LIMIT} s" if why is NoAnswer.LATE else why.value
    return table.SUBSCRIBE_UNANSWERED.problem(
        f"AWS IoT did not acknowledge the subscription to {name}: {words}."
    )


def _packets(items: Sequence[T], most: int) -> list[Sequence[T]]:
    return [items[first : first + most] for first in range(0, len(items), most)]
