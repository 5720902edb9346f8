"""The work of queue and publisher for a reading, counted in steps of Python and SQLite, grows with no topics."""

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from fleet_agent.config.telemetry import Batch, Limits, Telemetry
from fleet_agent.config.telemetry import Queue as Bounds
from fleet_agent.errors import AgentError
from fleet_agent.session.reasons import NOT_AUTHORIZED
from fleet_agent.telemetry.publisher import Publisher
from fleet_agent.telemetry.queue import Queue
from fleet_agent.telemetry.reading import Reading
from support.clock import FakeClock
from support.held import Held

pytestmark = pytest.mark.slow

FEW, MANY = 200, 1600
GROWTH = 1.6  # of the work for one reading: a logarithm; with eight times the topics, quadratic work grows eightfold
STEPS = 10  # of SQLite's machine, counted at once


class Counted:
    """A publisher whose work is counted."""

    def __init__(self, folder: Path, **changes: object) -> None:
        self.clock = FakeClock()
        off = Limits(publishes=0, bytes=0)
        self.settings = dataclasses.replace(Telemetry(), limits=off, **changes)  # type: ignore[arg-type]
        self.queue = Queue(folder / "q", self.settings.queue, self.clock)
        self.publisher = Publisher(self.queue, self.settings, self.clock, self)
        self.wire = Held()
        self.is_up = False
        self.work = 0
        self.queue._file._connected.set_progress_handler(self.step, STEPS)

    def topic(self, topic: str, error: AgentError | None) -> None:
        """As expected."""

    def disk(self, error: AgentError | None) -> None:
        raise AssertionError(error)

    def step(self) -> int:
        self.work += STEPS
        return 0

    def trace(self, frame: FrameType, event: str, _argument: object) -> Callable[..., Any]:
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode":
            self.work += 1
        return self.trace

    def count(self, act: Callable[[], object]) -> int:
        before = sys.gettrace()
        self.work = 0
        sys.settrace(self.trace)
        try:
            act()
        finally:
            sys.settrace(before)
        return self.work

    def put(self, topics: int) -> None:
        for number in range(topics):
            self.publisher.put(
                Reading(topic=f"flood/{number}", payload=b"1", time=0.0, source="flood")
            )
            if number % 100 == 0:
                self.publisher.put(Reading(topic="calm", payload=b"2", time=0.0, source="calm"))
                self.publisher.settle()
        self.publisher.settle()

    def send(self, code: int = 0) -> None:
        if not self.is_up:
            self.is_up = True
            self.publisher.connected(self.wire)
        self.publisher.settle()
        while self.wire.flying:
            self.publisher.published(self.wire.answer(0, code))
            self.publisher.settle()


def growth(folder: Path, work: Callable[[Counted, int], int], **changes: object) -> float:
    """The work for a reading with many topics, as a multiple of that with few."""
    per_reading = []
    for topics in (FEW, MANY):
        place = folder / str(topics)
        place.mkdir()
        counted = Counted(place, **changes)
        per_reading.append(work(counted, topics) / topics)
        counted.queue.close()
    return per_reading[1] / per_reading[0]


def test_storing(tmp_path: Path) -> None:
    assert growth(tmp_path, lambda it, topics: it.count(lambda: it.put(topics))) < GROWTH


def test_sending(tmp_path: Path) -> None:
    def work(it: Counted, topics: int) -> int:
        it.put(topics)
        found = it.count(it.send)
        assert it.publisher.waiting == 0
        return found

    assert growth(tmp_path, work) < GROWTH


def test_dropping_what_finds_no_room(tmp_path: Path) -> None:
    def work(it: Counted, topics: int) -> int:
        it.put(topics + 100)
        it.queue._bounds = Bounds(max_messages=100)
        found = it.count(lambda: it.put(1))
        assert it.queue.dropped.full >= topics
        return found

    assert growth(tmp_path, work) < GROWTH


def test_dropping_what_is_too_old(tmp_path: Path) -> None:
    def work(it: Counted, topics: int) -> int:
        it.put(topics)
        it.clock.go(it.settings.queue.max_age + 1)
        found = it.count(it.queue.tidy)
        assert it.queue.count == 0
        return found

    assert growth(tmp_path, work) < GROWTH


def test_waiting_for_others_to_share_a_message(tmp_path: Path) -> None:
    def work(it: Counted, topics: int) -> int:
        it.put(topics)

        def send() -> None:
            it.send()
            it.clock.go(11)
            it.send()

        found = it.count(send)
        assert it.publisher.waiting == 0
        return found

    assert growth(tmp_path, work, batch=Batch(max_delay=10)) < GROWTH


def test_topics_that_are_refused(tmp_path: Path) -> None:
    def work(it: Counted, topics: int) -> int:
        it.put(topics)
        found = it.count(lambda: it.send(NOT_AUTHORIZED))
        assert it.publisher.waiting > topics
        return found

    assert growth(tmp_path, work) < GROWTH


def test_the_status(tmp_path: Path) -> None:
    def work(it: Counted, topics: int) -> int:
        it.put(topics)

        def look() -> None:
            for _ in range(topics):
                assert it.queue.oldest() is not None
                assert it.publisher.due

        return it.count(look)

    assert growth(tmp_path, work) < GROWTH


def test_others_wait_no_longer_for_a_flood_of_topics(tmp_path: Path) -> None:
    it = Counted(tmp_path)
    it.put(MANY)
    it.publisher.connected(it.wire)
    it.publisher.settle()
    calm = [index for index, sent in enumerate(it.wire.carried) if sent.topic == "calm"]
    assert calm[0] < 2
    it.queue.close()
