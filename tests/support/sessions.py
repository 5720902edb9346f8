"""A session without a network: notes what it is asked, and puts what the test wants to happen into the mailbox."""

import collections
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, cast

from fleet_agent.process.mailbox import Mailbox
from fleet_agent.session.events import (
    Connected,
    Disconnected,
    Message,
    NoAnswer,
    Published,
    Subscribed,
)
from fleet_agent.session.message import Outgoing
from fleet_agent.session.mqtt import Session
from support.clock import FakeClock

# What becomes of a request: a code, words of awscrt's, or anything done instead (None: nothing comes).
Answer = int | str | Callable[[], None] | None


class Timely(Mailbox):
    """A mailbox in which time passes at once when nothing is there."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.moved = clock

    def _next(self, seconds: float) -> object | None:
        if not self._events:
            self.moved.go(seconds)
            return None
        return self._events.popleft()


class Quiet(Session):
    """Answers what is asked of it as ``answers`` say, one after the other, and well when there are none."""

    def __init__(self, mailbox: Mailbox, client_id: str = "pump") -> None:
        self.box = mailbox
        self.route = cast("Any", SimpleNamespace(host="a1b2c3.iot.eu-central-1.amazonaws.com"))
        self.client_id = client_id
        self.answers: collections.deque[Answer] = collections.deque()
        self.asked: list[object] = []
        self.sets_nodelay: bool | None = None
        self.is_closed = False
        self.first: Answer = 0
        self.tag: object = None

    def start(self, *, sets_nodelay: bool = False) -> None:
        self.sets_nodelay = sets_nodelay
        if self.first == 0:
            self.box.put(Connected(session=self, rejoined=False))
        elif callable(self.first):
            self.first()

    def publish(self, message: Outgoing, tag: object = None) -> None:
        self.asked.append(message)
        self.tag = tag
        match self._answer():
            case int(code):
                self.box.put(self.published(tag, reason_code=code))
            case str(error):
                self.box.put(self.published(tag, error=error))
            case _:
                pass

    def published(self, tag: object, reason_code: int | None = None, error: str = "") -> Published:
        """The PUBACK, or why there is none."""
        why = NoAnswer.FAILED if error else None
        return Published(
            session=self, topic="x", tag=tag, reason_code=reason_code, error=error, no_answer=why
        )

    def subscribe(self, filters: Sequence[tuple[str, int]]) -> None:
        self.asked.append(tuple(filters))
        match self._answer():
            case int(code):
                self.suback(dict.fromkeys((name for name, _ in filters), code))
            case str(error):
                self.suback({name: -1 for name, _ in filters}, error)
            case _:
                pass

    def suback(self, codes: dict[str, int], error: str = "") -> None:
        """What is said to filters."""
        self.box.put(
            Subscribed(
                session=self,
                filters=tuple(codes),
                reason_codes=() if error else tuple(codes.values()),
                error=error,
                no_answer=NoAnswer.FAILED if error else None,
            )
        )

    def end(self, code: int | None = None, error: str = "GONE: gone") -> None:
        """The connection ends."""
        self.box.put(Disconnected(session=self, reason_code=code, error=error))

    def cut(self) -> None:
        """What was published is lost with the connection."""
        self.box.put(self.published(self.tag, error="CUT: cut"))
        self.end(135)

    def say(self, topic: str, payload: bytes = b"{}") -> None:
        """A message comes."""
        self.box.put(Message(session=self, topic=topic, payload=payload))

    def close(self) -> None:
        self.is_closed = True

    def _answer(self) -> Answer:
        answer = self.answers.popleft() if self.answers else 0
        if callable(answer):
            answer()
            return None
        return answer
