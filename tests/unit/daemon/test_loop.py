"""The loop over a session that answers as the test says."""

import contextlib
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from fleet_agent.clock import SystemClock
from fleet_agent.config.telemetry import Telemetry
from fleet_agent.daemon import loop
from fleet_agent.daemon.endings import Ending
from fleet_agent.daemon.loop import Loop
from fleet_agent.daemon.refusal_watch import RecoverRequested
from fleet_agent.daemon.serving import Actor, Serving
from fleet_agent.daemon.traffic_report import TrafficReport
from fleet_agent.health.status import Health
from fleet_agent.orders.answer import Answers
from fleet_agent.orders.handler_context import HandlerContext
from fleet_agent.orders.handler_registry import HandlerRegistry
from fleet_agent.orders.messages import Messages
from fleet_agent.orders.router import Orders
from fleet_agent.orders.suspects import Suspects
from fleet_agent.process.mailbox import Mailbox, ReloadRequested, RotateRequested, TimeUp
from fleet_agent.session.connectivity import Connectivity
from fleet_agent.session.events import Connected, Message, Published
from fleet_agent.session.filter_memory import FilterMemory
from fleet_agent.session.message import Outgoing, Upkeep
from fleet_agent.session.mqtt import Session
from fleet_agent.session.subscriptions import Subscriptions
from fleet_agent.telemetry import queue
from fleet_agent.telemetry.publisher import Publisher
from fleet_agent.telemetry.queue import Queue
from fleet_agent.telemetry.reading import Reading
from fleet_agent.telemetry.refusals import Refusals
from support.clock import LeapingClock
from support.reserved import NOTHING_OWN


class Broker(Session):
    """Takes the connection and every message at once."""

    def __init__(self, mailbox: Mailbox) -> None:
        self.mailbox = mailbox
        self.route = cast("Any", SimpleNamespace(host="broker"))
        self.client_id = "pump"
        self.upkeep = Upkeep()

    def start(self, *, sets_nodelay: bool = False) -> None:
        assert not sets_nodelay
        self.mailbox.put(Connected(session=self, rejoined=False))

    def close(self) -> None:
        """Nothing is open."""

    def publish(self, message: Outgoing, tag: object = None) -> None:
        assert message.payload
        self.mailbox.put(
            Published(session=self, topic=message.topic, tag=tag, reason_code=0, error="")
        )


class Made:
    """A loop that is connected to a ``Broker``, and what it is made of that tests look at."""

    def __init__(
        self,
        folder: Path,
        mailbox: Mailbox,
        requests: object = None,
        *chores: Actor,
        clock: SystemClock | None = None,
    ) -> None:
        self.clock = clock = clock or SystemClock()
        telemetry = Telemetry()
        health = Health(folder, clock)
        self.queue = Queue(folder / "q", telemetry.queue, clock)
        self.publisher = Publisher(self.queue, telemetry, clock, Refusals(health))
        registry = HandlerRegistry(
            folder / "orders",
            {},
            mailbox,
            HandlerContext(clock=clock, health=health, reserved=NOTHING_OWN),
        )
        answers = Answers(cast("Any", None), ())
        orders = Orders([], Messages(registry, answers, health.traffic, clock), registry, [], None)
        self.session = session = Broker(mailbox)
        session.start()
        suspects = Suspects()
        credential = cast("Any", SimpleNamespace(client_id="pump"))
        self.loop = Loop(
            serving=Serving(
                credential=credential,
                session=session,
                subscriptions=Subscriptions(
                    session, [], clock, health, lambda: 0.5, FilterMemory(folder)
                ),
                connectivity=Connectivity(session, clock, health, suspects.forget),
                presence=None,
                chores=[],
            ),
            suspects=suspects,
            publisher=self.publisher,
            queue=self.queue,
            sources=[],
            orders=orders,
            requests=cast("Any", requests),
            mailbox=mailbox,
            clock=clock,
            health=health,
            traffic_report=TrafficReport(
                traffic=health.traffic,
                publisher=self.publisher,
                queue=self.queue,
                orders=orders,
                clock=clock,
                prometheus=folder / "agent.prom",
                reserved=NOTHING_OWN,
            ),
            chores=chores,
        )


def test_the_first_acknowledged_reading_is_in_the_status_at_once(tmp_path: Path) -> None:
    mailbox = Mailbox(SystemClock())
    made = Made(tmp_path, mailbox)
    made.publisher.put(Reading(topic="dt/pump/system", payload=b"{}", time=made.clock.wall()))
    mailbox.limit(made.clock.monotonic() + 1)
    with pytest.raises(TimeUp):
        made.loop.run()
    status = json.loads((tmp_path / "status.json").read_text())
    assert (status["readings_acknowledged"], status["readings_waiting"]) == (1, 0)
    prometheus = (tmp_path / "agent.prom").read_text()
    assert "fleet_agent_readings_acknowledged_total 1\n" in prometheus
    assert "fleet_agent_connected 1\n" in prometheus
    made.queue.close()


def test_what_is_too_old_goes_a_turn_at_a_time_and_nothing_waits_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "_TURN", 0.002)
    clock = LeapingClock()
    made = Made(tmp_path, Mailbox(clock), clock=clock)
    readings = [Reading(topic="t", payload=b"1", time=clock.wall()) for _ in range(1000)]
    made.queue.add(readings)
    clock.go(8 * 86400)
    turns = 0
    made.loop._tidy()
    while made.queue.count:
        assert made.loop._due() <= clock.monotonic()
        made.loop._act()
        turns += 1
    assert turns > 3
    made.loop._act()
    assert made.loop._due() > clock.monotonic()
    made.queue.close()


def test_what_is_out_of_date_is_shown_soon_and_so_is_what_was_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "SHOW_SOON", 0.2)
    mailbox = Mailbox(SystemClock())
    health_of: list[Health] = []

    class Handled:
        """Ends with an outcome when the connection has long been shown."""

        due = mailbox._clock.monotonic() + 0.3

        def act(self) -> None:
            Handled.due = float("inf")
            health_of[0].is_outdated = True
            made.publisher.counts.answers_dropped = 7

    made = Made(tmp_path, mailbox, None, Handled())
    health_of.append(made.loop._health)
    mailbox.limit(made.clock.monotonic() + 1)
    with pytest.raises(TimeUp):
        made.loop.run()
    status = json.loads((tmp_path / "status.json").read_text())
    assert status["answers_dropped"] == 7
    assert not health_of[0].is_outdated
    made.queue.close()


def test_at_the_end_no_request_is_carried_out(tmp_path: Path) -> None:
    mailbox = Mailbox(SystemClock())
    made = Made(tmp_path, mailbox)  # without requests: to carry one out would fail
    assert isinstance(mailbox.wait(0.0), Connected)
    messages: list[str] = []
    mailbox.put(RecoverRequested())
    mailbox.put(RotateRequested())
    mailbox.put(
        Message(
            session=made.session,
            topic="cmd/pump/x",
            payload=b"",
            acknowledge=lambda: messages.append("taken"),
        )
    )
    made.loop.finish()
    assert messages == ["taken"]
    made.queue.close()


class Bursts:
    """Puts one burst after the other, each when its deadline comes: messages, orders to reload, descriptors, readings.

    Attributes:
        put: What was put, numbered.
        taken: What reached its end, in that order.
    """

    def __init__(self, mailbox: Mailbox, bursts: Sequence[Sequence[str]]) -> None:
        self.put: list[int] = []
        self.taken: list[int] = []
        self.readings = 0
        self.written = 0  # to the descriptor
        self.looks = 0
        self._mailbox = mailbox
        self._bursts = list(bursts)
        self._pipe = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.made: Made | None = None
        mailbox.watch(self._pipe[0], self._look)

    @property
    def due(self) -> float:
        """At once."""
        return 0.0

    def act(self) -> None:
        """Puts the next burst; after the last one, when all is quiet, what ends the test."""
        assert self.made is not None
        if not self._bursts:
            if self.written == self.looks and not self.made.publisher.waiting:
                self._mailbox.put(RotateRequested())
            return
        for kind in self._bursts.pop(0):
            if kind == "descriptor":
                self.written += os.write(self._pipe[1], b"x")
            elif kind == "reading":
                self.readings += 1
                reading = Reading(topic="dt/pump/x", payload=b"1", time=self.made.clock.wall())
                self.made.publisher.put(reading)
            elif kind == "reload":
                self.put.append(len(self.put))
                self._mailbox.put(ReloadRequested())
            else:
                self._put_message()

    def reload(self) -> Ending | None:
        """An order to reload was taken: the next in order, or the numbers do not match."""
        self.taken.append(len(self.taken))
        return None

    def rotate(self, _serving: Serving) -> Ending:
        """What ends the test was taken."""
        return Ending.RESTART

    def _put_message(self) -> None:
        assert self.made is not None
        number = len(self.put)
        self.put.append(number)
        self._mailbox.put(
            Message(
                session=self.made.session,
                topic="cmd/pump/x",
                payload=b"",
                acknowledge=lambda: self.taken.append(number),
            )
        )

    def _look(self) -> None:
        self.looks += len(os.read(self._pipe[0], 1))

    def close(self) -> None:
        """Lets go of the descriptor."""
        self._mailbox.unwatch(self._pipe[0])
        for end in self._pipe:
            os.close(end)


_PARTS = some.one_of(
    some.tuples(some.just("reload"), some.integers(1, 3)),
    some.tuples(
        some.sampled_from(["message", "descriptor", "reading"]),
        some.sampled_from([1, 2, 63, 64, 65, 66, 130]),
    ),
)


@given(
    bursts=some.lists(
        some.lists(_PARTS, max_size=4).map(
            lambda parts: [kind for kind, count in parts for _ in range(count)]
        ),
        max_size=3,
    ),
    turns=some.sampled_from([1, 7, 64, 100]),
)
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_whatever_comes_in_whatever_bursts_is_taken_once_in_order(
    tmp_path: Path, bursts: list[list[str]], turns: int
) -> None:
    mailbox = Mailbox(SystemClock())
    source = Bursts(mailbox, bursts)
    with (
        tempfile.TemporaryDirectory(dir=tmp_path) as folder,
        pytest.MonkeyPatch.context() as other,
    ):
        other.setattr(loop, "TURNS", turns)
        made = source.made = Made(Path(folder), mailbox, source, source)
        mailbox.limit(made.clock.monotonic() + 5)
        with contextlib.suppress(TimeUp):  # something is missing: said below
            assert made.loop.run() is Ending.RESTART
        made.queue.close()
        source.close()
    assert source.taken == source.put
    assert source.looks == source.written
    assert made.publisher.counts.acknowledged == source.readings
