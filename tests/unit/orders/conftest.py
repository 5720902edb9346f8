"""All that comes down, driven as the loop drives it: real mailbox, real programs, real sockets, real files."""

import contextlib
import dataclasses
import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fleet_agent.config.handlers import Handler as HandlerSettings
from fleet_agent.config.subscriptions import Subscription
from fleet_agent.health.status import Health
from fleet_agent.orders.answer import Answers
from fleet_agent.orders.handler_context import Counters, HandlerContext
from fleet_agent.orders.handler_registry import HandlerRegistry
from fleet_agent.orders.messages import Messages
from fleet_agent.orders.order import MESSAGE
from fleet_agent.process.mailbox import Mailbox, Ready
from fleet_agent.session.message import Outgoing
from support.clock import LeapingClock
from support.reserved import NOTHING_OWN

LIMIT = 60.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arriving:
    """A message, as the session gives it."""

    topic: str
    payload: bytes = b""
    response_topic: str | None = "answers"
    correlation_data: bytes | None = b"\x00c"
    content_type: str | None = None
    user_properties: tuple[tuple[str, str], ...] = ()
    retain: bool = False
    qos: int = 1
    expiry: int | None = None
    acknowledge: Callable[[], None] = lambda: None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Answer:
    """What was published for a sender."""

    topic: str
    payload: bytes
    correlation_data: bytes | None
    content_type: str
    user_properties: tuple[tuple[str, str], ...]

    @property
    def said(self) -> dict[str, Any]:
        """The payload as JSON."""
        found: dict[str, Any] = json.loads(self.payload)
        return found


class Bench:
    """A device's subscriptions; ``die`` and ``live`` are an agent that is killed and comes back."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.answers: list[Answer] = []
        self.own: list[str] = []
        self.clock = LeapingClock()
        self.mailbox = Mailbox(self.clock)
        self.health = Health(folder / "run", self.clock)
        self.handlers: dict[str, HandlerSettings] = {}
        self.direct: str | None = None
        # What is published is acknowledged at once, but where a test takes that away.
        self.acknowledges = True
        self.unacknowledged: list[Callable[[], None]] = []
        self._subscriptions: tuple[Subscription, ...] = ()
        self._new()

    def _new(self) -> None:
        self.shared = HandlerContext(clock=self.clock, health=self.health, reserved=NOTHING_OWN)
        answers = Answers(self._answer, self.own)
        self.shared.reporters[MESSAGE] = answers
        self.registry = HandlerRegistry(
            self.folder / "orders", self.handlers, self.mailbox, self.shared
        )
        self.messages = Messages(
            self.registry, answers, self.health.traffic, self.clock, self.direct
        )

    def listen(self, *subscriptions: Subscription) -> None:
        """Begins again with these."""
        self.registry.close()
        self._new()
        self.live(*subscriptions)

    def die(self) -> None:
        """As after kill -9: nothing is told, nothing tidied."""
        for handler in self.registry:
            handler._work.close()
        self.answers.clear()
        self._new()

    def live(self, *subscriptions: Subscription) -> None:
        """Begins, with the subscriptions from before where none are given."""
        self._subscriptions = subscriptions or self._subscriptions
        self.messages.configure([(item.topic, item) for item in self._subscriptions])
        self.registry.tidy()
        if self.registry.due <= self.clock.monotonic():
            self.registry.act()

    def send(self, topic: str, payload: bytes = b"", **more: Any) -> None:
        self.messages.take(Arriving(topic=topic, payload=payload, **more))

    def turn(self, is_done: Callable[[], object]) -> None:
        limit = self.clock.monotonic() + LIMIT
        while not is_done():
            assert self.clock.monotonic() < limit
            if self.clock.monotonic() >= self.registry.due:
                self.registry.act()
            elif isinstance(
                event := self.mailbox.wait(min(self.registry.due, self.clock.monotonic() + 0.1)),
                Ready,
            ):
                event.act()

    def turn_once(self) -> None:
        """What is there now, and no more."""
        event = self.mailbox.wait(self.clock.monotonic() + 0.05)
        if isinstance(event, Ready):
            event.act()

    def answered(self, count: int = 1) -> list[Answer]:
        """Waits for so many answers, and takes them."""
        self.turn(lambda: len(self.answers) >= count)
        found, self.answers[:] = list(self.answers), []
        return found

    def ask(self, topic: str, payload: bytes = b"", **more: Any) -> dict[str, Any]:
        """Sends one and gives what it was answered."""
        self.send(topic, payload, **more)
        (answer,) = self.answered()
        return answer.said

    def counters(self, name: str = "h") -> Counters:
        return self.registry.counters[name]

    @property
    def problems(self) -> dict[str, str]:
        """Code, or code and name of the handler → title."""
        return {
            f"{item.kind.code} {item.name or ''}".rstrip(): item.title
            for item in self.health.problems
        }

    def _answer(self, message: Outgoing, on_end: Callable[[], None]) -> None:
        answer = Answer(
            topic=message.topic,
            payload=message.payload,
            correlation_data=message.correlation_data,
            content_type=message.content_type or "",
            user_properties=message.properties,
        )
        self.answers.append(answer)
        if self.acknowledges:
            on_end()
        else:
            self.unacknowledged.append(on_end)

    def close(self) -> None:
        self.registry.close()
        assert not self.mailbox._watched


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    found = Bench(tmp_path)
    yield found
    found.close()


class Program:
    """A local program that listens on a SOCK_SEQPACKET socket."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(str(path))
        self._listener.listen(8)
        self._listener.settimeout(LIMIT)

    def accept(self) -> tuple[socket.socket, dict[str, Any]]:
        connection, _ = self._listener.accept()
        connection.settimeout(LIMIT)
        packet: dict[str, Any] = json.loads(connection.recv(1 << 20))
        return connection, packet

    def has_caller(self) -> bool:
        """Whether somebody waits to be accepted."""
        self._listener.setblocking(False)
        try:
            self._listener.accept()[0].close()
        except BlockingIOError:
            return False
        finally:
            self._listener.settimeout(LIMIT)
        return True

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # ends a thread's accept
        self._listener.close()


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    found = Program(tmp_path / "app.sock")
    yield found
    found.close()
