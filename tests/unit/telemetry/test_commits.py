"""When readings are committed and what AWS has is deleted, over a real queue."""

import functools
import math
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet_agent.config.telemetry import Queue as Bounds
from fleet_agent.errors import StateDirectoryError
from fleet_agent.telemetry import commits
from fleet_agent.telemetry.commits import Commits
from fleet_agent.telemetry.group_commit import MOMENT
from fleet_agent.telemetry.queue import Queue
from fleet_agent.telemetry.reading import MAX_PAYLOAD, Reading
from support.clock import FakeClock

DELAY = 5.0


class Bench:
    """Commits that wait for five seconds, and what they report."""

    def __init__(self, path: Path, delay: float = DELAY) -> None:
        self.clock = FakeClock()
        self.path = path
        self.queue = Queue(path, Bounds(synchronous="normal"), self.clock)
        self.disk: list[str | None] = []
        self.stored: list[str | None] = []
        self.heard: dict[int, str | None] = {}
        self.commits = Commits(self.queue, delay, self.clock, self.on_disk)
        self.count = 0
        self.statements: list[str] = []
        self.queue._file._connected.set_trace_callback(self.statements.append)

    def on_disk(self, error: StateDirectoryError | None) -> None:
        self.disk.append(error.code if error else None)

    def put(self, *sizes: int, is_awaited: bool = True) -> None:
        for size in sizes:
            number, self.count = self.count, self.count + 1
            self.commits.put(
                Reading(topic="t", payload=b"1" * size, time=self.clock.wall()),
                self.stored.append,
                functools.partial(self.hear, number) if is_awaited else None,
            )

    def hear(self, number: int, why_not: str | None) -> None:
        assert number not in self.heard, "heard twice"
        self.heard[number] = why_not

    def settle(self, *, at_once: bool = False) -> list[str]:
        grown = self.commits.settle(at_once=at_once)
        while self.commits.pause:
            grown = self.commits.settle(at_once=at_once)
        return [topic.name for topic in grown]

    def send(self, count: int, why_not: str | None = None) -> None:
        """AWS has so many."""
        (topic,) = self.queue.topics
        found = self.queue.take(topic, count, 1 << 20)
        assert len(found) == count
        self.queue.forget(topic, found)
        self.commits.done(topic, found, why_not)
        self.report()

    def report(self) -> None:
        self.commits.report_dropped(lambda: ())

    @property
    def wait(self) -> float:
        """Seconds until there is something to do."""
        return self.commits.due - self.clock.monotonic()

    def break_disk(self) -> None:
        """It takes nothing."""
        self.queue._file.execute("PRAGMA query_only = ON")

    def fix_disk(self) -> None:
        self.queue._file.execute("PRAGMA query_only = OFF")


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    # As of a disk that is mounted read-only.
    monkeypatch.setattr(os, "access", lambda *_, **_keywords: False)
    bench = Bench(tmp_path / "q")
    yield bench
    bench.fix_disk()
    bench.queue.close()


def test_with_nothing_put_nothing_is_written(bench: Bench) -> None:
    assert bench.settle(at_once=True) == []
    assert bench.statements == []
    assert bench.wait == math.inf
    assert (bench.commits.stored, bench.commits.not_stored) == (0, 0)


def test_the_first_waits_for_others_as_long_as_it_may_and_no_longer(bench: Bench) -> None:
    bench.put(1)
    assert bench.wait == DELAY
    bench.clock.go(DELAY - 1)
    bench.put(1)
    assert bench.wait == 1
    assert bench.settle() == []
    assert bench.stored == []
    assert bench.commits.waiting == 2
    bench.clock.go(1)
    assert bench.settle() == ["t"]
    assert bench.stored == [None, None]
    assert bench.commits.waiting == 0
    bench.put(1)
    assert bench.wait == DELAY
    assert bench.settle(at_once=True) == ["t"]
    assert bench.commits.stored == 3


@pytest.mark.parametrize(
    ("few", "enough"),
    [([40, 59], [40, 60]), ([99], [100]), ([1, 1, 1], [1, 1, 1, 1])],
)
def test_many_or_large_ones_wait_for_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, few: list[int], enough: list[int]
) -> None:
    monkeypatch.setattr(commits, "COMMIT_AT", 4)
    monkeypatch.setattr(commits, "COMMIT_BYTES", 100)
    for _ in range(2):
        bench.put(*few)
        assert bench.settle() == []
        bench.settle(at_once=True)
        bench.put(*enough)
        assert bench.settle() == ["t"]


def test_large_ones_right_after_a_commit_do_not_wait_for_others_either(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "q.sqlite3", delay=0)
    bench.put(1)
    assert bench.settle() == ["t"]
    bench.put(1)
    bench.commits.settle(at_once=False)
    assert (bench.commits.waiting, bench.commits.pause) == (1, MOMENT)
    bench.put(*[MAX_PAYLOAD] * 8)
    bench.commits.settle(at_once=False)
    assert (bench.commits.waiting, bench.commits.pause) == (0, 0.0)
    bench.queue.close()


def test_while_more_and_more_is_sent_on_a_commit_waits_for_two_moments(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "q.sqlite3", delay=0)
    bench.put(1)
    assert bench.settle() == ["t"]
    for _ in range(2):
        bench.put(1)
        bench.commits.settle(at_once=False)
        assert bench.commits.pause == MOMENT
    bench.put(1)
    assert bench.settle() == ["t"]
    # After two moments, though more came.
    assert bench.commits.stored == 4
    bench.queue.close()


def test_the_largest_that_aws_takes_is_taken(bench: Bench) -> None:
    bench.put(MAX_PAYLOAD, MAX_PAYLOAD + 1)
    assert bench.stored == [f"it has {MAX_PAYLOAD + 1} bytes; AWS IoT accepts {MAX_PAYLOAD}"]
    bench.settle(at_once=True)
    assert bench.stored[1:] == [None]
    assert bench.commits.waiting == 0


def test_what_the_disk_does_not_take_is_counted_and_told_and_that_it_heals_is_told_once(
    bench: Bench,
) -> None:
    bench.break_disk()
    for sizes in ([1, 1], [1]):
        bench.put(*sizes)
        assert bench.settle(at_once=True) == []
    assert bench.disk == ["queue-erofs", "queue-erofs"]
    assert [
        str(why).startswith(f"The queue of readings {bench.path}") for why in bench.stored
    ] == [True] * 3
    bench.fix_disk()
    for sizes in ([1], [1, 1]):
        bench.put(*sizes)
        assert bench.settle(at_once=True) == ["t"]
    assert bench.disk[2:] == [None]
    assert (bench.commits.stored, bench.commits.not_stored) == (3, 3)
    bench.send(3)
    # Nobody hears of those that were never stored.
    assert bench.heard == {3: None, 4: None, 5: None}


def test_what_aws_has_is_deleted_after_a_while_or_when_it_is_much(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commits, "FLUSH_AT", 3)
    bench.put(*[1] * 9)
    bench.settle(at_once=True)
    for _ in range(2):
        bench.send(2)
        assert bench.wait == commits.FLUSH_EVERY
        bench.clock.go(10.0)
        bench.send(1)
        assert bench.wait == 0
        bench.settle()
        assert not bench.queue.has_unwritten
    bench.send(2)
    bench.put(1)
    # With the next readings, in one transaction.
    bench.settle(at_once=True)
    assert not bench.queue.has_unwritten
    bench.send(2)
    assert bench.wait == commits.FLUSH_EVERY


def test_a_disk_on_which_nothing_can_be_deleted_is_tried_again_after_a_while(
    bench: Bench,
) -> None:
    bench.put(1)
    bench.settle(at_once=True)
    bench.send(1)
    bench.break_disk()
    for count in (1, 2):
        bench.clock.go(commits.FLUSH_EVERY)
        bench.settle()
        assert bench.disk == ["queue-erofs"] * count
        assert bench.wait == commits.FLUSH_EVERY
    bench.fix_disk()
    bench.clock.go(commits.FLUSH_EVERY)
    bench.settle()
    assert bench.disk[2:] == [None]
    assert bench.wait == math.inf


def test_only_who_waits_for_aws_hears_of_it_and_hears_it_once(bench: Bench) -> None:
    bench.put(1, 1)
    bench.put(1, is_awaited=False)
    bench.put(1)
    bench.settle(at_once=True)
    bench.send(1)
    bench.send(1, "it expired")
    assert bench.heard == {0: None, 1: "it expired"}
    bench.send(2)
    assert bench.heard == {0: None, 1: "it expired", 3: None}


def test_who_waits_hears_that_the_queue_dropped_it(bench: Bench) -> None:
    bench.queue._bounds = Bounds(max_messages=2, synchronous="normal")
    bench.put(1, 1, 1)
    bench.settle(at_once=True)
    assert bench.stored == ["the queue is full", None, None]
    bench.put(1, is_awaited=False)
    bench.put(1)
    bench.settle(at_once=True)
    bench.report()
    assert bench.heard == dict.fromkeys((1, 2), commits._LOST)
    assert bench.queue.lost == []


def test_damage_before_it_was_stored_is_not_that_of_a_reading(tmp_path: Path) -> None:
    path = tmp_path / "q"
    path.write_bytes(b"what is this" * 1000)
    bench = Bench(path)
    assert bench.queue.replaced
    bench.put(1)
    bench.settle(at_once=True)
    bench.report()
    assert bench.heard == {}
    bench.send(1)
    assert bench.heard == {0: None}
    bench.queue.close()


def test_damage_is_reported_once_and_not_of_what_is_in_hand(bench: Bench) -> None:
    bench.put(1, 1)
    bench.settle(at_once=True)
    (topic,) = bench.queue.topics
    held = bench.queue.take(topic, 1, 100)
    bench.queue._file.close()
    bench.path.write_bytes(b"what is this" * 1000)
    bench.path.with_name("q-wal").unlink(missing_ok=True)
    bench.put(1)
    bench.settle(at_once=True)
    bench.commits.report_dropped(lambda: [(topic, held)])
    assert bench.heard == {1: commits._DAMAGED}
    bench.commits.report_dropped(lambda: [(topic, held)])
    bench.report()
    assert bench.heard == {1: commits._DAMAGED}
    bench.send(1)
    assert bench.heard == {1: commits._DAMAGED, 2: None}
