import functools
import gc
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from fleet_agent.clock import SystemClock
from fleet_agent.process.mailbox import (
    Mailbox,
    Ready,
    ReloadRequested,
    RotateRequested,
    StopRequested,
    TimeUp,
)
from support.clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def mailbox(clock: FakeClock) -> Mailbox:
    return Mailbox(clock)


def test_nothing_of_one_that_is_gone_stays_open() -> None:
    def is_open() -> bool:
        try:
            os.fstat(descriptor)
        except OSError:
            return False
        return True

    mailbox = Mailbox(SystemClock())
    descriptor = mailbox._wake
    assert is_open()
    del mailbox
    gc.collect()
    assert not is_open()


def test_events_come_out_in_the_order_they_went_in(mailbox: Mailbox, clock: FakeClock) -> None:
    for event in ("a", "b"):
        mailbox.put(event)
    assert [mailbox.wait(clock.passed + 9) for _ in range(2)] == ["a", "b"]


def test_what_is_there_already_is_taken_even_when_time_is_over(
    mailbox: Mailbox, clock: FakeClock
) -> None:
    mailbox.put("late")
    assert mailbox.wait(clock.passed - 1) == "late"


def test_nothing_comes(mailbox: Mailbox, clock: FakeClock) -> None:
    assert mailbox.wait(clock.passed) is None
    real = Mailbox(SystemClock())
    assert real.wait(SystemClock().monotonic() + 0.02) is None


def test_an_event_from_another_thread_ends_the_wait() -> None:
    mailbox = Mailbox(SystemClock())
    thread = threading.Timer(0.01, mailbox.put, ["from there"])
    thread.start()
    assert mailbox.wait(SystemClock().monotonic() + 60) == "from there"
    thread.join()


def test_the_overall_limit_ends_the_wait_under_way_and_forbids_the_next(
    mailbox: Mailbox, clock: FakeClock
) -> None:
    mailbox.limit(clock.passed)
    with pytest.raises(TimeUp):
        mailbox.wait(clock.passed + 100)
    real = Mailbox(SystemClock())
    real.limit(SystemClock().monotonic() + 0.02)
    assert real.wait(SystemClock().monotonic() + 100) is None
    with pytest.raises(TimeUp):
        real.wait(SystemClock().monotonic() + 100)


def test_no_limit_any_more(mailbox: Mailbox, clock: FakeClock) -> None:
    mailbox.limit(clock.passed)
    mailbox.limit(None)
    assert mailbox.wait(clock.passed) is None


def test_the_overall_limit_cuts_a_sleep_short() -> None:
    mailbox = Mailbox(SystemClock())
    mailbox.limit(SystemClock().monotonic() + 0.02)
    mailbox.sleep(100)
    with pytest.raises(TimeUp):
        mailbox.sleep(0)


def test_a_sleep_drops_what_arrives(mailbox: Mailbox, clock: FakeClock) -> None:
    mailbox.put("dropped")
    mailbox.put("dropped too")
    mailbox.sleep(0)
    mailbox.put("kept")
    assert mailbox.wait(clock.passed) == "kept"


def test_what_comes_during_a_rest_is_taken_together(
    clock: FakeClock, pipe: tuple[int, int]
) -> None:
    mailbox = Mailbox(clock)
    mailbox.watch(pipe[0], str)
    mailbox.put("event")
    writing = threading.Timer(0.01, os.write, [pipe[1], b"x"])
    writing.start()
    began = time.monotonic()
    mailbox.rest(0.2)
    assert time.monotonic() >= began + 0.2
    writing.join()
    # The descriptor was looked at, though an event waits.
    found = list(mailbox.burst(clock.passed, 64))
    assert [type(each) for each in found] == [Ready, str]


def test_a_rest_gives_out_what_was_ready_before_it_only_once(
    clock: FakeClock, pipe: tuple[int, int]
) -> None:
    mailbox = Mailbox(clock)
    other = os.eventfd(1)
    mailbox.watch(pipe[0], str)
    mailbox.watch(other, str)
    os.write(pipe[1], b"x")
    first = mailbox.wait(clock.passed)
    mailbox.rest(0)
    second = mailbox.wait(clock.passed)
    os.read(pipe[0], 1)
    os.read(other, 8)
    assert first is not second
    assert mailbox.wait(clock.passed) is None
    os.close(other)


def test_the_watchdog_is_fed_while_nothing_happens() -> None:
    beats: list[float] = []
    clock = SystemClock()
    mailbox = Mailbox(clock, lambda: beats.append(clock.monotonic()), beat_every=0.01)
    assert mailbox.wait(clock.monotonic() + 0.1) is None
    assert 3 <= len(beats) <= 12


def test_the_watchdog_is_fed_in_time_after_an_event() -> None:
    beats: list[None] = []
    clock = SystemClock()
    mailbox = Mailbox(clock, lambda: beats.append(None), beat_every=0.4)
    mailbox.put("event")
    assert mailbox.wait(clock.monotonic()) == "event"
    threading.Event().wait(0.3)
    assert mailbox.wait(clock.monotonic() + 0.3) is None
    assert len(beats) >= 2


def test_the_watchdog_is_fed_while_events_pour_in(clock: FakeClock) -> None:
    beats: list[None] = []
    mailbox = Mailbox(clock, lambda: beats.append(None))
    for _ in range(50):
        mailbox.put("event")
        mailbox.wait(clock.passed + 1)
        clock.go(0.1)
    assert len(beats) == 5


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    yield ends
    for end in ends:
        os.close(end)


def test_a_watched_descriptor_is_told_of_for_as_long_as_it_has_something(
    pipe: tuple[int, int],
) -> None:
    clock = SystemClock()
    mailbox = Mailbox(clock)
    mailbox.watch(pipe[0], lambda: None)
    assert mailbox.wait(clock.monotonic()) is None
    os.write(pipe[1], b"x")
    assert isinstance(mailbox.wait(clock.monotonic() + 60), Ready)
    assert isinstance(mailbox.wait(clock.monotonic()), Ready)
    os.read(pipe[0], 1)
    assert mailbox.wait(clock.monotonic()) is None


def test_what_is_unwatched_is_not_told_of_even_when_it_was_ready(pipe: tuple[int, int]) -> None:
    clock = SystemClock()
    mailbox = Mailbox(clock)
    other = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    for reading, writing in (pipe, other):
        mailbox.watch(reading, lambda: None)
        os.write(writing, b"x")
    mailbox.wait(clock.monotonic())
    for reading, _ in (pipe, other):
        mailbox.unwatch(reading)
        mailbox.unwatch(reading)
    assert mailbox.wait(clock.monotonic()) is None
    for end in other:
        os.close(end)


def test_neither_events_nor_descriptors_starve_the_others(pipe: tuple[int, int]) -> None:
    clock = SystemClock()
    mailbox = Mailbox(clock)
    mailbox.watch(pipe[0], lambda: None)
    os.write(pipe[1], b"x")
    found = []
    for _ in range(1000):
        mailbox.put("event")
        found.append(mailbox.wait(clock.monotonic()))
    events = found.count("event")
    assert 300 < events < 999


@pytest.fixture
def orders_by_signal() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGHUP, signal.SIGUSR1)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class Exchange:
    """A mailbox with pipes that it watches: what was put and what was taken."""

    def __init__(self) -> None:
        self.put: list[object] = []
        self.taken: list[object] = []
        self.signals = self.reloads = 0
        self.written, self.read = [0, 0, 0], [0, 0, 0]
        self._clock = SystemClock()
        self._mailbox = Mailbox(self._clock)
        self._mailbox.take_requests_by_signal()
        self._pipes = [os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC) for _ in self.read]
        for number, (reading, _) in enumerate(self._pipes):
            self._mailbox.watch(reading, functools.partial(self._drain, number))

    def do(self, kind: str, value: int) -> None:
        """One step of the test."""
        now = self._clock.monotonic()
        match kind:
            case "put":
                for _ in range(value):
                    self.put.append(len(self.put))
                    self._mailbox.put(self.put[-1])
            case "ready":
                self.written[value] += os.write(self._pipes[value][1], b"x")
            case "signal":
                self.signals += 1
                signal.raise_signal(signal.SIGHUP)
            case "take":
                for _ in range(value):
                    self._keep(self._mailbox.wait(now))
            case "burst":
                for event in self._mailbox.burst(now, value):
                    self._keep(event)
            case _:  # a burst that ends in the midst, as an exception would end it
                for event in itertools.islice(self._mailbox.burst(now, value), value // 2):
                    self._keep(event)

    def finish(self) -> None:
        """Takes all that is left."""
        is_more = True
        while is_more:
            is_more = False
            for event in self._mailbox.burst(self._clock.monotonic(), 100):
                self._keep(event)
                is_more = True
        for end in itertools.chain(*self._pipes):
            os.close(end)

    def _keep(self, event: object) -> None:
        if isinstance(event, Ready):
            event.act()
        elif isinstance(event, ReloadRequested):
            self.reloads += 1
        elif event is not None:
            self.taken.append(event)

    def _drain(self, number: int) -> None:
        self.read[number] += len(os.read(self._pipes[number][0], 1))


_COUNTS = some.integers(1, 200)
_STEPS = some.one_of(
    some.tuples(some.sampled_from(["put", "take", "burst", "cut short"]), _COUNTS),
    some.tuples(some.just("ready"), some.integers(0, 2)),
    some.just(("signal", 1)),
)


@given(steps=some.lists(_STEPS, max_size=20))
@settings(max_examples=100, deadline=None)
@pytest.mark.usefixtures("orders_by_signal")
def test_every_event_is_taken_once_in_order_whatever_comes_between(
    steps: list[tuple[str, int]],
) -> None:
    exchange = Exchange()
    for kind, value in steps:
        exchange.do(kind, value)
    exchange.finish()
    assert exchange.read == exchange.written
    assert exchange.taken == exchange.put
    # Several that came while nobody took them are one.
    assert min(1, exchange.signals) <= exchange.reloads <= exchange.signals


def test_no_wake_up_is_lost_between_threads() -> None:
    clock = SystemClock()
    mailbox = Mailbox(clock)
    answers = Mailbox(clock)

    def echo() -> None:
        for _ in range(2000):
            answers.put(mailbox.wait(clock.monotonic() + 60))

    thread = threading.Thread(target=echo)
    thread.start()
    started = clock.monotonic()
    for number in range(2000):
        mailbox.put(number)
        assert answers.wait(clock.monotonic() + 60) == number
    thread.join()
    assert clock.monotonic() - started < 50  # a lost one costs 60 s


@pytest.fixture
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_stop_whoever_waits_next_unwinds(
    mailbox: Mailbox, clock: FakeClock, number: signal.Signals
) -> None:
    mailbox.stop_on_signals()
    mailbox.put("before")
    signal.raise_signal(number)
    mailbox.put("after")
    assert mailbox.wait(clock.passed) == "before"
    for _ in range(3):  # it is remembered
        with pytest.raises(StopRequested):
            mailbox.wait(clock.passed)
    with pytest.raises(StopRequested):
        mailbox.sleep(5)


WAITS = """
from fleet_agent.clock import SystemClock
from fleet_agent.process.mailbox import Mailbox, Ready, StopRequested
mailbox = Mailbox(SystemClock())
mailbox.stop_on_signals()
print("waiting", flush=True)
try:
    mailbox.sleep(600)
except StopRequested:
    print("unwinding", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_long_wait_at_once(number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WAITS], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(number)
        assert process.stdout.readline() == "unwinding\n"
        assert process.wait(10) == 0


def test_bursts_take_every_event_once_and_in_order(mailbox: Mailbox, clock: FakeClock) -> None:
    for number in range(200):
        mailbox.put(number)
    bursts = []
    while burst := list(mailbox.burst(clock.passed, 64)):
        bursts.append(burst)
    assert [len(burst) for burst in bursts] == [64, 64, 64, 8]
    assert [number for burst in bursts for number in burst] == list(range(200))


def test_a_burst_that_is_left_early_takes_nothing_that_was_not_seen(
    mailbox: Mailbox, clock: FakeClock
) -> None:
    for number in range(3):
        mailbox.put(number)
    assert next(mailbox.burst(clock.passed, 64)) == 0
    assert list(mailbox.burst(clock.passed, 64)) == [1, 2]


def test_sleeping_keeps_orders_by_signal_and_nothing_else() -> None:
    mailbox = Mailbox(SystemClock())
    for event in ("of a closed session", ReloadRequested(), RotateRequested(), RotateRequested()):
        mailbox.put(event)
    mailbox.sleep(0.01)
    kinds = [type(event) for event in mailbox.burst(SystemClock().monotonic(), 64)]
    assert kinds == [ReloadRequested, RotateRequested]


def test_who_waits_for_something_else_has_descriptors_served(
    mailbox: Mailbox, clock: FakeClock
) -> None:
    ours, theirs = os.pipe()
    os.write(theirs, b"xyz")
    taken: list[bytes] = []
    settled: list[int] = []

    def settle() -> float:
        settled.append(len(taken))
        return clock.passed + 100

    mailbox.watch(ours, lambda: taken.append(os.read(ours, 1)))
    with mailbox.serving(settle):
        mailbox.put("event")
        assert mailbox.wait(clock.passed) == "event"
        os.write(theirs, b"!" * 9)
        # One that sends without end does not keep the others from their time limit.
        assert mailbox.wait(clock.passed) is None
    assert taken
    assert settled[-1] < len(taken) + 1
    assert isinstance(mailbox.wait(clock.passed), Ready)
    mailbox.unwatch(ours)
    os.close(ours)
    os.close(theirs)


def test_what_came_meanwhile_is_settled_in_time() -> None:
    clock = SystemClock()
    mailbox = Mailbox(clock)
    due = clock.monotonic() + 0.02
    settled: list[float] = []

    def settle() -> float:
        settled.append(clock.monotonic())
        return due if clock.monotonic() < due else due + 100

    with mailbox.serving(settle):
        assert mailbox.wait(due + 0.05) is None
    assert any(due <= moment < due + 0.05 for moment in settled)
