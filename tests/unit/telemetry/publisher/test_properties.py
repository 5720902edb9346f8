"""The publisher over the real queue, with a server that answers in any order, refuses, cuts and ends the connection.

Whatever it does: each reading that was stored is acknowledged, or dropped and counted; none is stuck; first arrivals of
a topic are in order as long as nothing but the connection stood in their way.
"""

import collections
import dataclasses
import functools
import json
import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fleet_agent.config.telemetry import Batch, Limits, Telemetry
from fleet_agent.config.telemetry import Queue as Bounds
from fleet_agent.errors import AgentError
from fleet_agent.session import message
from fleet_agent.session.events import NoAnswer
from fleet_agent.session.message import Outgoing
from fleet_agent.session.reasons import NOT_AUTHORIZED, TOO_LARGE, UNKNOWN
from fleet_agent.telemetry.publisher import Publisher
from fleet_agent.telemetry.queue import Queue
from fleet_agent.telemetry.reading import JSON, TEXT, Reading
from support.clock import FakeClock
from support.held import Held

TOPICS = ("a", "b", "c")
SOURCES = ("system", "socket/1000")
REFUSALS = (128, NOT_AUTHORIZED, 144, TOO_LARGE, 151, UNKNOWN)
LACKS = (NoAnswer.LATE, NoAnswer.FAILED, NoAnswer.NOT_HERE, NoAnswer.IMPOSSIBLE)


class PublisherMachine(RuleBasedStateMachine):
    """Readings in, a server that does as it likes."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(dir="/dev/shm"))  # thousands of files: no disk waits
        self.clock = FakeClock()
        self.wire = Held()
        self.number = 0
        self.is_up = False
        self.is_orderly = True  # the server only acknowledged and cut so far
        self.stored: set[int] = set()
        self.heard: dict[int, str | None] = {}  # None: acknowledged
        self.answers = 0
        self.answers_taken: set[int] = set()
        self.arrived: dict[str, list[int]] = {topic: [] for topic in TOPICS}
        self.arrivals: collections.Counter[int] = collections.Counter()
        self.refused: set[object] = set()  # messages that the server did not take

    @initialize(
        form=st.sampled_from(["json", "ndjson", "none"]),
        most=st.integers(1, 5),
        delay=st.sampled_from([0.0, 0.0, 5.0]),
        window=st.integers(1, 6),
        refused=st.sampled_from(["keep", "drop"]),
    )
    def begin(self, form: str, most: int, delay: float, window: int, refused: str) -> None:
        batch = Batch(max_readings=most, max_delay=delay)
        self.settings = dataclasses.replace(
            Telemetry(),
            batch=dataclasses.replace(batch, format=form),  # type: ignore[arg-type]
            limits=Limits(unacknowledged=window, publishes=0, bytes=0),
            when_refused=refused,  # type: ignore[arg-type]
            queue=Bounds(max_messages=15, synchronous="normal"),
        )
        self.queue = Queue(self.folder / "q", self.settings.queue, self.clock)
        self.publisher = Publisher(self.queue, self.settings, self.clock, self)

    def topic(self, topic: str, error: AgentError | None) -> None:
        assert topic
        assert error is None or (error.title and error.remedy)

    def disk(self, error: AgentError | None) -> None:
        raise AssertionError(error)

    def teardown(self) -> None:
        if not hasattr(self, "queue"):
            return
        self.drain()
        self.queue.close()
        shutil.rmtree(self.folder)

    # What goes in -----------------------------------------------------------------------------------------------------

    @rule(
        topics=st.lists(st.sampled_from(TOPICS), min_size=1, max_size=12),
        source=st.sampled_from(SOURCES),
        kind=st.sampled_from([JSON, JSON, TEXT]),
        size=st.sampled_from([0, 0, 300]),
        lifetime=st.sampled_from([None, None, 20.0]),
    )
    def put(
        self, topics: list[str], source: str, kind: str, size: int, lifetime: float | None
    ) -> None:
        for topic in topics:
            self.number += 1
            number, now = self.number, self.clock.wall()
            self.publisher.put(
                Reading(
                    topic=topic,
                    payload=json.dumps([number, "x" * size]).encode(),
                    time=now,
                    content_type=kind,
                    source=source,
                    expires=None if lifetime is None else now + lifetime,
                ),
                functools.partial(self.on_stored, number),
                functools.partial(self.on_acknowledged, number),
            )

    def on_stored(self, number: int, why: str | None) -> None:
        assert number not in self.stored
        if why is None:
            self.stored.add(number)
        else:
            self.heard[number] = why

    def on_acknowledged(self, number: int, why: str | None) -> None:
        assert number not in self.heard, "heard twice"
        self.heard[number] = why

    @rule()
    def ask(self) -> None:
        self.answers += 1
        self.publisher.answer(Outgoing(topic="answers", payload=b"%d" % self.answers))

    # What the server does ---------------------------------------------------------------------------------------------

    @precondition(lambda self: not self.is_up)
    @rule(packet=st.sampled_from([None, None, 400]), most=st.sampled_from([None, 2]))
    def connect(self, packet: int | None, most: int | None) -> None:
        self.is_up = True
        self.publisher.connected(self.wire, message.Limits(packet=packet, unacknowledged=most))

    @precondition(lambda self: self.wire.flying and self.is_up)
    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        self.receive(data.draw(st.integers(0, len(self.wire.flying) - 1)))

    def receive(self, index: int) -> None:
        """The acknowledgement of one: the server has it, and all that was sent before it."""
        for sent, tag in self.wire.flying[: index + 1]:
            self.arrive(sent, tag)
        self.publisher.published(self.wire.answer(index, 0))

    def arrive(self, sent: Outgoing, tag: object) -> None:
        if tag in self.refused:
            return
        if sent.topic == "answers":
            self.answers_taken.add(int(sent.payload))
            return
        for number in self.carried(sent):
            self.arrivals[number] += 1
            if number not in self.arrived[sent.topic]:
                self.arrived[sent.topic].append(number)

    def carried(self, sent: Outgoing) -> list[int]:
        text = sent.payload.decode()
        if sent.content_type == JSON:
            value = json.loads(text)
            return [value[0]] if isinstance(value[0], int) else [each[0] for each in value]
        return [json.loads(line)[0] for line in text.splitlines()]

    @precondition(lambda self: self.wire.flying and self.is_up)
    @rule(data=st.data(), answer=st.sampled_from([*REFUSALS, *LACKS]))
    def refuse(self, data: st.DataObject, answer: int | NoAnswer) -> None:
        self.is_orderly = False
        index = data.draw(st.integers(0, len(self.wire.flying) - 1))
        self.refused.add(self.wire.flying[index][1])
        if isinstance(answer, NoAnswer):
            self.publisher.published(self.wire.answer(index, None, answer))
        else:
            self.publisher.published(self.wire.answer(index, answer))

    @precondition(lambda self: self.is_up)
    @rule(after=st.sampled_from([1.0, 60.0]), is_late=st.booleans(), data=st.data())
    def cut(self, after: float, is_late: bool, data: st.DataObject) -> None:
        """The connection ends: soon after something was sent, or after a while; its news come in either order."""
        self.clock.go(after)
        if is_late:
            self.publisher.disconnected()
        for sent, tag in self.wire.flying[: data.draw(st.integers(0, len(self.wire.flying)))]:
            self.arrive(sent, tag)
        while self.wire.flying:
            index = data.draw(st.integers(0, len(self.wire.flying) - 1))
            self.publisher.published(self.wire.answer(index, None))
        if not is_late:
            self.publisher.disconnected()
        self.is_up = False

    @rule(seconds=st.sampled_from([0.1, 3.0, 40.0]))
    def wait(self, seconds: float) -> None:
        self.clock.go(seconds)

    @rule()
    def settle(self) -> None:
        self.publisher.settle()

    # What must hold ---------------------------------------------------------------------------------------------------

    @invariant()
    def nothing_is_lost_uncounted(self) -> None:
        if not hasattr(self, "queue"):
            return
        waiting = self.stored - self.heard.keys()
        assert self.queue.count == len(waiting)
        dropped = dataclasses.asdict(self.queue.dropped)
        lost = [number for number, why in self.heard.items() if why is not None]
        assert sum(dropped.values()) == len(lost)
        assert all(self.arrivals[number] for number, why in self.heard.items() if why is None)
        if self.is_orderly:
            for numbers in self.arrived.values():
                assert numbers == sorted(numbers)

    def drain(self) -> None:
        """A server that takes everything gets everything."""
        if not self.is_up:
            self.is_up = True
            self.publisher.connected(self.wire)
        self.publisher.settle(at_once=True)
        for _ in range(3000):
            while self.wire.flying:
                self.receive(0)
                self.publisher.settle(at_once=True)
            if not self.publisher.waiting and not self.publisher._answers:
                break
            due = self.publisher.due
            assert due < self.clock.monotonic() + 7200, "stuck"
            self.clock.go(max(0.01, due - self.clock.monotonic()))
            self.publisher.settle(at_once=True)
        assert self.publisher.waiting == 0, "stuck"
        assert self.heard.keys() >= self.stored
        self.nothing_is_lost_uncounted()
        # One may have arrived, and be refused when it came again.
        taken = len(self.answers_taken)
        assert taken + self.publisher.counts.answers_dropped >= self.answers


TestPublisher = PublisherMachine.TestCase
TestPublisher.settings = settings(max_examples=35, stateful_step_count=40, deadline=None)
