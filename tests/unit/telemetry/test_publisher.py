"""The publisher over a real queue and a wire that acknowledges, refuses and breaks as it likes."""

import dataclasses
import functools
import json
import math
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from fleet_agent.config.telemetry import Batch, Telemetry
from fleet_agent.config.telemetry import Limits as Pacing
from fleet_agent.config.telemetry import Queue as Queued
from fleet_agent.errors import AgentError
from fleet_agent.session.events import NoAnswer, Published
from fleet_agent.session.message import Limits, Outgoing
from fleet_agent.session.reasons import NOT_AUTHORIZED, TOO_LARGE, UNKNOWN
from fleet_agent.telemetry import commits
from fleet_agent.telemetry.batch import packet_size
from fleet_agent.telemetry.commits import FLUSH_EVERY
from fleet_agent.telemetry.composer import SINGLES
from fleet_agent.telemetry.publisher import ANSWERS_KEPT, Publisher
from fleet_agent.telemetry.queue import Queue
from fleet_agent.telemetry.reading import JSON, MAX_PAYLOAD, TEXT, Reading
from fleet_agent.telemetry.refused_topics import ENDERS_SHOWN, KEPT
from fleet_agent.telemetry.topic_backoff import DISK, POLICY
from support.clock import FakeClock
from support.held import Held

TOPIC = "dt/pump/system"


class Bench:
    """A publisher with all that it needs."""

    opened: ClassVar[list[Queue]] = []

    def __init__(self, folder: Path, **changes: object) -> None:
        self.clock = FakeClock()
        self.settings = dataclasses.replace(Telemetry(), **changes)  # type: ignore[arg-type]
        self.queue = Queue(folder / "q.sqlite3", self.settings.queue, self.clock)
        Bench.opened.append(self.queue)
        self.wire = Held()
        self.reported: list[tuple[str | None, AgentError | None]] = []  # no topic: the disk
        self.publisher = Publisher(self.queue, self.settings, self.clock, self)

    def topic(self, topic: str, error: AgentError | None) -> None:
        self.reported.append((topic, error))

    def disk(self, error: AgentError | None) -> None:
        self.reported.append((None, error))

    def put(self, *numbers: int, topic: str = TOPIC) -> None:
        for number in numbers:
            payload = str(number).encode()
            self.publisher.put(Reading(topic=topic, payload=payload, time=self.clock.wall()))
        self.settle()

    def settle(self) -> None:
        """Nothing more comes."""
        while self.publisher.settle():
            pass

    def connect(self) -> None:
        self.publisher.connected(self.wire)
        self.publisher.settle()

    def answer(self, code: int | None, index: int = 0) -> None:
        self.publisher.published(self.wire.answer(index, code))
        self.publisher.settle()

    def carried(self, topic: str = TOPIC) -> list[object]:
        return [json.loads(each.payload) for each in self.wire.carried if each.topic == topic]


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """Python 3.13 warns of each queue that is left open."""
    yield
    while Bench.opened:
        Bench.opened.pop().close()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_nothing_is_sent_before_the_connection_stands(bench: Bench) -> None:
    bench.put(1)
    assert bench.wire.flying == []
    bench.connect()
    assert bench.carried() == [1]
    assert bench.publisher.waiting == 1
    bench.answer(0)
    assert (bench.publisher.waiting, bench.publisher.counts.acknowledged) == (0, 1)


def test_what_gathered_shares_a_message_that_names_each(bench: Bench) -> None:
    bench.put(1, 2, 3)
    bench.connect()
    assert bench.carried() == [[1, 2, 3]]
    properties = dict(bench.wire.carried[0].properties)
    assert (properties["sequence"], properties["count"]) == ("0", "3")
    assert properties["agent"].startswith("fleet-agent/")
    assert bench.wire.carried[0].content_type == "application/json"


def test_what_aws_has_is_deleted_later_and_at_once_where_it_is_much(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commits, "FLUSH_AT", 3)
    bench.connect()
    bench.put(1, 2)
    bench.answer(0)
    assert bench.publisher.due == bench.clock.monotonic() + commits.FLUSH_EVERY
    bench.put(3)
    bench.answer(0)
    assert bench.queue.has_unwritten
    bench.publisher.disconnected()
    bench.put(4, 5, 6)
    bench.connect()
    bench.answer(0)
    assert bench.publisher.due == bench.clock.monotonic()
    bench.settle()
    assert not bench.queue.has_unwritten


def test_no_subscriber_is_no_failure(bench: Bench) -> None:
    bench.connect()
    bench.put(1)
    bench.answer(16)
    assert bench.publisher.waiting == 0


def test_what_no_puback_came_for_goes_again_in_order(bench: Bench) -> None:
    bench.connect()
    bench.put(1)
    bench.put(2)
    bench.put(3)
    bench.answer(0, index=1)
    bench.publisher.disconnected()
    bench.answer(None)
    bench.answer(None)
    bench.connect()
    assert bench.carried() == [1, 2, 3, 1, 3]


def test_sender_is_told_once_it_is_durable_and_once_aws_has_it(bench: Bench) -> None:
    reported: list[tuple[str, str | None]] = []
    reading = Reading(topic=TOPIC, payload=b"1", time=0.0)
    bench.publisher.put(
        reading,
        lambda why: reported.append(("stored", why)),
        lambda why: reported.append(("sent", why)),
    )
    assert reported == []
    bench.settle()
    assert reported == [("stored", None)]
    bench.connect()
    bench.answer(0)
    assert reported == [("stored", None), ("sent", None)]


def test_a_refused_topic_is_kept_named_and_tried_again_slower_and_slower(bench: Bench) -> None:
    bench.connect()
    bench.put(1)
    bench.answer(NOT_AUTHORIZED)
    topic, error = bench.reported[-1]
    assert topic == TOPIC
    assert error is not None
    assert f"iot:Publish on topic/{TOPIC}" in error.title
    bench.put(2, topic="dt/pump/other")  # another topic goes on
    bench.answer(0)
    bench.publisher.settle(at_once=True)  # nor does an end in sight change it
    for wait in (POLICY.first, POLICY.first * 2):
        assert bench.wire.flying == []
        bench.clock.go(wait - 1)
        bench.settle()
        assert bench.wire.flying == []
        bench.clock.go(1.1)
        bench.settle()
        bench.answer(NOT_AUTHORIZED)
    bench.clock.go(POLICY.first * 4 + 1)
    bench.settle()
    bench.answer(0)
    assert bench.reported[-1] == (TOPIC, None)
    assert bench.carried() == [1, 1, 1, 1]
    assert bench.publisher.waiting == 0


def test_a_refused_reading_can_be_dropped_instead(tmp_path: Path) -> None:
    bench = Bench(tmp_path, when_refused="drop")
    bench.connect()
    bench.put(1)
    bench.answer(NOT_AUTHORIZED)
    assert (bench.publisher.waiting, bench.queue.dropped.refused) == (0, 1)


def test_the_window_is_kept(tmp_path: Path) -> None:
    bench = Bench(tmp_path, limits=Pacing(unacknowledged=2, publishes=0, bytes=0))
    bench.connect()
    for number in range(5):
        bench.put(number)
    assert len(bench.wire.flying) == 2
    bench.answer(0)
    assert bench.carried() == [0, 1, [2, 3, 4]]


def test_no_second_holds_more_messages_than_the_limit(tmp_path: Path) -> None:
    bench = Bench(tmp_path, limits=Pacing(unacknowledged=1000), batch=Batch(format="none"))
    bench.connect()
    bench.put(*range(500))
    moments: list[float] = []
    while len(moments) < 500:
        due = bench.publisher.due
        bench.clock.passed = max(bench.clock.passed, due)
        bench.settle()
        moments += [bench.clock.passed] * (len(bench.wire.carried) - len(moments))
    most = max(sum(start <= at < start + 1 for at in moments) for start in moments)
    assert 80 <= most <= 100
    assert moments[-1] - moments[0] < 500 / 85


def test_readings_wait_for_others_as_long_as_they_may(tmp_path: Path) -> None:
    bench = Bench(tmp_path, batch=Batch(max_delay=10))
    bench.connect()
    bench.put(1)
    bench.clock.go(6)
    bench.put(2)
    assert bench.wire.flying == []
    assert bench.publisher.due <= bench.clock.passed + 4
    bench.clock.go(4.1)
    bench.settle()
    assert bench.carried() == [[1, 2]]


def test_enough_for_a_message_wait_for_no_others(tmp_path: Path) -> None:
    bench = Bench(tmp_path, batch=Batch(max_delay=10, max_readings=3))
    bench.connect()
    for first in (0, 3):
        bench.put(first)
        bench.put(first + 1)
        assert bench.wire.flying == []
        bench.put(first + 2)
        assert bench.carried()[-1] == [first, first + 1, first + 2]
        bench.answer(0)
    bench.put(6, 7, 8)
    assert bench.carried()[-1] == [6, 7, 8]


def test_each_topic_and_each_message_waits_for_itself(tmp_path: Path) -> None:
    bench = Bench(tmp_path, batch=Batch(max_delay=10))
    bench.connect()
    began = bench.clock.passed
    for topic in ("a", "b"):
        bench.put(1, topic=topic)
        bench.clock.go(4)
    sent: list[tuple[str, float]] = []
    while len(sent) < 4:
        bench.clock.passed = max(bench.clock.passed, bench.publisher.due)
        bench.settle()
        for message in bench.wire.carried[len(sent) :]:
            sent.append((message.topic, bench.clock.passed - began))
            bench.answer(0)
            if len(sent) <= 2:
                bench.put(2, topic=message.topic)
    assert sent == [("a", 10.0), ("b", 14.0), ("a", 20.0), ("b", 24.0)]


def test_what_was_gathered_when_the_connection_ended_gathers_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path, batch=Batch(max_delay=10))
    bench.connect()
    bench.put(1)
    bench.publisher.disconnected()
    bench.clock.go(8)
    bench.connect()
    bench.clock.go(8)
    bench.put(2)
    assert bench.wire.carried == []
    bench.clock.go(2)
    bench.settle()
    assert bench.carried() == [[1, 2]]


def test_the_newest_go_first_where_that_is_wanted(tmp_path: Path) -> None:
    limits = Pacing(unacknowledged=1, publishes=0, bytes=0)
    batch = Batch(max_readings=3, max_bytes=1024)
    bench = Bench(tmp_path, drain="newest-first", batch=batch, limits=limits)
    bench.put(*range(8))
    bench.connect()
    bench.put(8)
    for _ in range(4):
        bench.answer(0)
    assert bench.carried() == [[5, 6, 7], 8, [2, 3, 4], [0, 1]]
    assert bench.publisher.waiting == 0


@pytest.mark.parametrize(("more", "shares"), [(0, [2]), (1, [1, 1])])
def test_a_message_carries_as_much_as_it_may(tmp_path: Path, more: int, shares: list[int]) -> None:
    bench = Bench(tmp_path, batch=Batch(max_bytes=1024))
    for size in (510, 511 + more):
        bench.publisher.put(Reading(topic=TOPIC, payload=b"1" * size, time=0.0))
    bench.settle()
    bench.connect()
    assert [int(dict(each.properties)["count"]) for each in bench.wire.carried] == shares


def test_many_readings_are_one_message(bench: Bench) -> None:
    bench.put(*range(900))
    bench.connect()
    assert bench.carried() == [[*range(900)]]


def test_a_message_of_exactly_what_the_server_takes_is_sent(bench: Bench) -> None:
    bench.put(1, 2)
    bench.connect()
    size = packet_size(bench.wire.carried[0])
    bench.clock.go(60)
    cut(bench)
    bench.publisher.connected(bench.wire, Limits(packet=size))
    bench.settle()
    assert bench.carried()[1:] == [[1, 2]]
    bench.clock.go(60)
    cut(bench)
    bench.publisher.connected(bench.wire, Limits(packet=size - 1))
    bench.settle()
    assert bench.carried()[2:] == [1, 2]
    assert bench.reported == []


def test_what_is_too_large_for_aws_is_not_taken(bench: Bench) -> None:
    reported: list[str | None] = []
    payload = b"1" * (MAX_PAYLOAD + 1)
    bench.publisher.put(Reading(topic=TOPIC, payload=payload, time=0.0), reported.append)
    assert "AWS IoT takes" in str(reported[0])
    assert bench.publisher.waiting == 0


def test_what_expired_while_it_waited_is_not_sent(bench: Bench) -> None:
    now = bench.clock.wall()
    for number, expires in ((1, now + 10), (2, now + 100), (3, None)):
        bench.publisher.put(
            Reading(topic=TOPIC, payload=b"%d" % number, time=now, expires=expires)
        )
    bench.settle()
    bench.clock.go(50)
    bench.connect()
    assert bench.carried() == [2, 3]
    assert bench.wire.carried[0].expiry == 50
    assert bench.wire.carried[1].expiry is None
    assert bench.queue.dropped.expired == 1


@pytest.mark.parametrize(("left", "expiry"), [(0.0, None), (0.5, 1)])
def test_what_is_of_use_to_the_last_moment_is_sent_until_then(
    bench: Bench, left: float, expiry: int | None
) -> None:
    now = bench.clock.wall()
    bench.publisher.put(Reading(topic=TOPIC, payload=b"1", time=now, expires=now + 64))
    bench.settle()
    bench.clock.go(64 - left)
    bench.connect()
    assert [each.expiry for each in bench.wire.carried] == ([expiry] if expiry else [])
    assert bench.queue.dropped.expired == (0 if expiry else 1)


def test_what_cannot_be_read_is_told_and_sent_once_it_can(tmp_path: Path) -> None:
    before = Bench(tmp_path)
    before.put(1, topic="a")
    before.put(2, 3, topic="b")
    before.queue.close()
    bench = Bench(tmp_path)
    connection = bench.queue._file._connected
    connection.set_progress_handler(lambda: 1, 1)
    bench.connect()
    assert bench.wire.carried == []
    assert [topic for topic, _ in bench.reported] == [None, None]
    assert "cannot be used" in str(bench.reported[0][1])
    assert bench.publisher.due == bench.clock.passed + DISK.first
    connection.set_progress_handler(None, 1)
    bench.settle()
    assert bench.wire.carried == []
    bench.clock.go(DISK.first)
    bench.settle()
    assert bench.carried("a") == [1]
    assert bench.carried("b") == [[2, 3]]
    bench.answer(0)
    bench.answer(0)
    assert bench.publisher.waiting == 0
    bench.clock.go(FLUSH_EVERY)
    bench.settle()
    assert bench.reported[2:] == [(None, None)]


def test_a_full_disk_is_told_and_heals(bench: Bench) -> None:
    reported: list[str | None] = []
    reading = Reading(topic=TOPIC, payload=b"1", time=0.0)
    bench.queue._file.execute("PRAGMA max_page_count = 1")
    bench.publisher.put(dataclasses.replace(reading, payload=b"x" * 9000), reported.append)
    bench.settle()
    assert "the disk is full" in str(reported[0])
    assert bench.reported[-1][0] is None
    bench.queue._file.execute("PRAGMA max_page_count = 100000")
    bench.publisher.put(reading, reported.append)
    bench.settle()
    assert reported[1] is None
    assert bench.reported[-1] == (None, None)


def test_topics_take_turns(bench: Bench) -> None:
    for number in range(3):
        bench.put(number, topic="dt/a")
    bench.put(9, topic="dt/b")
    bench.connect()
    assert [each.topic for each in bench.wire.carried] == ["dt/a", "dt/b"]


def test_many_refusals_of_one_moment_count_once_and_a_new_connection_tries_at_once(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path, batch=Batch(format="none"))
    bench.connect()
    bench.put(*range(8))
    while bench.wire.flying:
        bench.publisher.published(bench.wire.answer(0, NOT_AUTHORIZED))
    bench.settle()
    bench.clock.go(POLICY.first + 0.1)
    bench.settle()
    assert bench.wire.flying, "it was left alone for longer than the first time"
    bench.publisher.disconnected()
    while bench.wire.flying:
        bench.answer(None)
    bench.connect()
    assert bench.reported[-1] == (TOPIC, None)
    for _ in range(8):
        bench.clock.go(1)
        bench.answer(0)
    assert bench.publisher.waiting == 0


def test_a_refusal_is_over_with_the_next_success_although_readings_were_dropped(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path, when_refused="drop")
    bench.connect()
    for code in (NOT_AUTHORIZED, 0):
        bench.put(1)
        bench.answer(code)
    assert bench.reported[-1] == (TOPIC, None)


def test_a_cut_connection_is_no_refusal_whichever_news_comes_first(bench: Bench) -> None:
    bench.connect()
    bench.put(1)
    message, tag = bench.wire.flying.pop()
    cut = Published(
        session=bench.wire,
        topic=message.topic,
        tag=tag,
        reason_code=None,
        error="AWS_ERROR_MQTT5_OPERATION_FAILED_DUE_TO_OFFLINE_QUEUE_POLICY: …",
        no_answer=NoAnswer.CUT,
    )
    bench.publisher.published(cut)
    bench.publisher.disconnected()
    assert bench.reported == []
    bench.connect()
    assert bench.carried() == [1, 1]


def test_who_waits_for_a_reading_hears_that_the_file_was_damaged(bench: Bench) -> None:
    reported: list[str | None] = []
    for number in range(300):
        payload = str(number).encode().ljust(3000)
        reading = Reading(topic=TOPIC, payload=payload, time=0.0)
        bench.publisher.put(reading, None, reported.append)
    bench.settle()
    path = bench.queue._file._path
    bench.queue._file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    bench.queue._file.execute("PRAGMA cache_size = 1")
    bench.queue._file.execute("PRAGMA shrink_memory")
    with path.open("r+b") as file:
        file.seek(8192)
        file.write(b"\xa5" * 400_000)
    bench.connect()
    while bench.wire.flying:
        bench.answer(0)
    bench.settle()
    assert bench.queue.replaced
    assert len(reported) == 300
    assert any("damaged" in str(words) for words in reported)
    assert bench.publisher.waiting == 0


def test_what_is_of_use_for_a_while_is_so_although_the_clock_is_set(bench: Bench) -> None:
    bench.clock.now = 100.0
    reading = Reading(topic=TOPIC, payload=b"1", time=100.0, expires=160.0)
    bench.publisher.put(reading)
    bench.settle()
    bench.clock.now = 1.8e9
    bench.clock.go(20)
    bench.connect()
    assert bench.carried() == [1]
    assert bench.wire.carried[0].expiry == 40


def test_stopping_waits_for_nobody_to_share_a_message(tmp_path: Path) -> None:
    bench = Bench(tmp_path, batch=Batch(max_delay=3600))
    bench.connect()
    bench.put(1)
    assert bench.wire.flying == []
    bench.publisher.settle(at_once=True)
    assert bench.carried() == [1]
    bench.answer(0)
    assert bench.publisher.is_idle(bench.clock.monotonic() + 10)


def test_stopping_commits_at_once_and_is_not_idle_before_aws_has_it(tmp_path: Path) -> None:
    bench = Bench(tmp_path, queue=Queued(commit_delay=30, synchronous="normal"))
    bench.connect()
    until = bench.clock.monotonic() + 10
    assert bench.publisher.is_idle(until)
    bench.put(1, 2)
    assert bench.publisher.counts.stored == 0
    assert bench.publisher.waiting == 2
    assert not bench.publisher.is_idle(until)
    bench.publisher.settle(at_once=True)
    assert bench.carried() == [[1, 2]]
    assert not bench.publisher.is_idle(until)
    bench.answer(0)
    assert bench.publisher.is_idle(until)
    bench.publisher.put(Reading(topic=TOPIC, payload=b"3", time=0.0))
    bench.publisher.disconnected()
    assert not bench.publisher.is_idle(until)


def test_between_two_connections_nothing_can_be_sent(bench: Bench) -> None:
    bench.put(1)
    assert bench.publisher.is_idle(bench.clock.monotonic())
    bench.connect()
    bench.publisher.disconnected()
    assert bench.publisher.due > bench.clock.monotonic() + 3600


def test_what_goes_through_is_counted(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[int] = []
    bench.put(1, topic="a")
    bench.put(2, 3, topic="b")
    for number in range(2):
        answer = Outgoing(topic="answers", payload=b"1")
        bench.publisher.answer(answer, functools.partial(ended.append, number))
    bench.connect()
    assert len(bench.wire.flying) == 4
    while bench.wire.flying:
        bench.answer(0)
    assert ended == [0, 1]
    assert dataclasses.asdict(bench.publisher.counts) == {
        "stored": 3,
        "acknowledged": 3,
        "messages": 4,
        "not_stored": 0,
        "answers_dropped": 0,
    }
    # As of a disk that is mounted read-only.
    monkeypatch.setattr(os, "access", lambda *_, **_keywords: False)
    bench.queue._file.execute("PRAGMA query_only = ON")
    bench.put(4)
    assert bench.publisher.counts.not_stored == 1
    bench.queue._file.execute("PRAGMA query_only = OFF")


def test_bytes_a_second_are_those_of_whole_packets(tmp_path: Path) -> None:
    limits = Pacing(publishes=0, bytes=10_000, unacknowledged=1000)
    bench = Bench(tmp_path, limits=limits, batch=Batch(format="none"))
    topic = "t" * 200
    bench.put(*range(100, 300), topic=topic)
    bench.connect()
    began = bench.clock.passed
    while len(bench.wire.carried) < 200:
        bench.clock.passed = max(bench.clock.passed, bench.publisher.due)
        bench.settle()
    seconds = sum(packet_size(message) for message in bench.wire.carried) / 10_000
    assert seconds < bench.clock.passed - began < 1.1 * seconds


@pytest.mark.parametrize("is_answer", [False, True])
def test_no_second_holds_more_bytes_than_the_limit(tmp_path: Path, *, is_answer: bool) -> None:
    most = 100_000
    limits = Pacing(publishes=0, bytes=most, unacknowledged=1000)
    bench = Bench(tmp_path, limits=limits, batch=Batch(format="none"))
    payload = b"1" * 30_000
    for _ in range(12):
        if is_answer:
            bench.publisher.answer(Outgoing(topic="answers", payload=payload))
        else:
            bench.publisher.put(Reading(topic=TOPIC, payload=payload, time=0.0))
    bench.connect()
    moments = [bench.clock.passed] * len(bench.wire.carried)
    while len(moments) < 12:
        bench.clock.passed = max(bench.clock.passed, bench.publisher.due)
        bench.settle()
        moments += [bench.clock.passed] * (len(bench.wire.carried) - len(moments))
    for start in moments:
        assert sum(30_000 for at in moments if start <= at < start + 1) <= most
    assert moments[-1] - moments[0] < 12 * 30_000 / most * 1.3


# What the server does not accept --------------------------------------------------------------------------------------


def cut(bench: Bench) -> None:
    """The connection ends with all that is under way."""
    bench.publisher.disconnected()
    while bench.wire.flying:
        bench.answer(None)
    bench.clock.go(3)


def test_a_batch_that_is_too_large_for_the_server_is_sent_in_parts(bench: Bench) -> None:
    bench.put(*range(1000))
    bench.publisher.connected(bench.wire, Limits(packet=600))
    for _ in range(200):
        bench.clock.go(1)
        bench.settle()
        while bench.wire.flying:
            bench.answer(0)
    sent = [json.loads(each.payload) for each in bench.wire.carried]
    assert [number for part in sent for number in part] == list(range(1000))
    assert max(len(each.payload) for each in bench.wire.carried) < 600
    assert bench.queue.dropped.refused == 0


@pytest.mark.parametrize("answer", [(TOO_LARGE, NoAnswer.CUT), (None, NoAnswer.NOT_HERE)])
def test_a_batch_shrinks_until_the_server_takes_it(
    bench: Bench, answer: tuple[int | None, NoAnswer]
) -> None:
    bench.put(*range(1000))
    bench.connect()
    while bench.publisher.waiting:
        bench.clock.go(1)
        bench.settle()
        message, _ = bench.wire.flying[0]
        code, no_answer = answer if len(message.payload) > 500 else (0, NoAnswer.CUT)
        bench.publisher.published(bench.wire.answer(0, code, no_answer))
    taken = [each for each in bench.wire.carried if len(each.payload) <= 500]
    # What was under way behind one that was too large arrived before it.
    assert sorted(n for each in taken for n in json.loads(each.payload)) == list(range(1000))
    assert bench.queue.dropped.refused == 0
    assert bench.reported == []


def test_a_reading_that_is_too_large_for_the_server_is_dropped_named_and_counted(
    bench: Bench,
) -> None:
    heard: list[str | None] = []
    bench.publisher.put(Reading(topic=TOPIC, payload=b"1" * 5000, time=0.0), None, heard.append)
    bench.put(1, topic="dt/pump/other")
    bench.publisher.connected(bench.wire, Limits(packet=1000))
    bench.settle()
    assert bench.carried("dt/pump/other") == [1]
    assert bench.carried() == []
    assert bench.queue.dropped.refused == 1
    topic, error = bench.reported[-1]
    assert topic == TOPIC
    assert re.search(r"has 5\d\d\d bytes, the server takes 1000 bytes: it was dropped", str(error))
    assert heard == ["it is larger than the server takes"]


def test_two_readings_that_are_too_large_together_go_one_by_one(bench: Bench) -> None:
    for _ in range(2):
        bench.publisher.put(Reading(topic=TOPIC, payload=b"1" * 500, time=0.0))
    bench.settle()
    bench.publisher.connected(bench.wire, Limits(packet=900))
    bench.settle()
    assert [len(each.payload) for each in bench.wire.carried] == [500, 500]
    assert bench.reported == []


@pytest.mark.parametrize("count", [1, 2])
def test_two_readings_that_the_server_calls_too_large_are_sent_one_by_one(
    bench: Bench, count: int
) -> None:
    for _ in range(count):
        bench.publisher.put(Reading(topic=TOPIC, payload=b"1" * 500, time=0.0))
    bench.settle()
    bench.connect()
    bench.answer(TOO_LARGE)
    while bench.wire.flying:
        bench.answer(0)
    assert [len(each.payload) for each in bench.wire.carried[1:]] == [500, 500][: 2 * (count - 1)]
    assert (bench.publisher.waiting, bench.queue.dropped.refused) == (0, 2 - count)


def test_an_answer_that_is_too_large_for_the_server_is_dropped_named_and_counted(
    bench: Bench,
) -> None:
    bench.publisher.answer(Outgoing(topic="answers", payload=b"x" * 5000))
    bench.publisher.answer(Outgoing(topic="answers", payload=b"1"))
    bench.publisher.connected(bench.wire, Limits(packet=1000))
    bench.settle()
    assert bench.carried("answers") == [1]
    assert bench.publisher.counts.answers_dropped == 1
    topic, error = bench.reported[-1]
    assert topic == "answers"
    assert re.search(r"has 5\d\d\d bytes, the server takes 1000 bytes: it was dropped", str(error))


@pytest.mark.parametrize("refused", ["a", "b"])
def test_what_is_in_hand_of_a_refused_topic_waits_and_that_of_others_goes_on(
    tmp_path: Path, refused: str
) -> None:
    bench = Bench(tmp_path, batch=Batch(format="none"), limits=Pacing(unacknowledged=2))
    bench.put(0, topic="b")
    bench.put(*range(6), topic="a")
    bench.connect()
    assert [each.topic for each in bench.wire.carried] == ["b", "a"]
    bench.answer(NOT_AUTHORIZED, index=0 if refused == "b" else 1)
    for _ in range(20):
        bench.clock.go(1)
        bench.settle()
        if bench.wire.flying:
            bench.answer(0)
    assert bench.carried("a") == ([0] if refused == "a" else [*range(6)])
    bench.clock.go(POLICY.first)
    bench.settle()
    while bench.wire.flying:
        bench.clock.go(1)
        bench.answer(0)
    assert bench.carried("a") == ([0, *range(6)] if refused == "a" else [*range(6)])
    assert bench.carried("b") == ([0] if refused == "a" else [0, 0])
    assert bench.publisher.waiting == 0


def test_of_very_many_refused_topics_the_first_are_told_and_told_to_be_well(bench: Bench) -> None:
    bench.connect()
    for number in range(KEPT + 3):
        bench.publisher.answer(Outgoing(topic=f"t{number}", payload=b"1"))
        bench.clock.go(1)
        bench.settle()
        bench.answer(NOT_AUTHORIZED)
    first = [f"t{number}" for number in range(KEPT)]
    assert [topic for topic, _ in bench.reported] == first
    bench.publisher.answer(Outgoing(topic="t5", payload=b"1"))
    bench.clock.go(1)
    bench.settle()
    bench.answer(NOT_AUTHORIZED)  # in other words, perhaps
    assert bench.reported[-1][0] == "t5"
    for topic in first:
        bench.publisher.answer(Outgoing(topic=topic, payload=b"1"))
        bench.clock.go(1)
        bench.settle()
        bench.answer(0)
    assert bench.reported[KEPT + 1 :] == [(topic, None) for topic in first]


def test_a_refused_answer_is_dropped_its_end_heard_and_the_next_one_clears_it(
    bench: Bench,
) -> None:
    ended: list[str] = []
    bench.connect()
    for code in (NOT_AUTHORIZED, 0):
        answer = Outgoing(topic="answers", payload=b"1")
        bench.publisher.answer(answer, lambda: ended.append("end"))
        bench.settle()
        bench.answer(code)
    assert ended == ["end", "end"]
    assert [(topic, error is None) for topic, error in bench.reported] == [
        ("answers", False),
        ("answers", True),
    ]
    assert bench.publisher.counts.answers_dropped == 1


@pytest.mark.parametrize("code", [128, 151, UNKNOWN, 177])
def test_a_code_that_passes_is_named_and_the_reading_sent_again_after_a_pause(
    bench: Bench, code: int
) -> None:
    bench.connect()
    bench.put(1)
    bench.put(2, topic="dt/pump/other")
    bench.answer(code)
    bench.answer(0)
    topic, error = bench.reported[-1]
    assert topic == TOPIC
    assert ("does not know" if code == UNKNOWN else f"PUBACK {code}") in str(error)
    assert bench.wire.flying == []
    bench.clock.go(1.1)
    bench.settle()
    bench.answer(0)
    assert bench.reported[-1] == (TOPIC, None)
    assert bench.publisher.waiting == 0


def test_no_acknowledgement_in_time_is_called_that_and_the_reading_sent_again(
    bench: Bench,
) -> None:
    bench.connect()
    bench.put(1)
    bench.publisher.published(bench.wire.answer(0, None, NoAnswer.LATE))
    _, error = bench.reported[-1]
    assert error is not None
    assert "No acknowledgement" in error.title
    assert "30 s" in error.title
    assert "topic's name" not in error.remedy
    bench.clock.go(1.1)
    bench.settle()
    bench.answer(0)
    assert bench.publisher.waiting == 0


def test_what_can_never_be_sent_is_dropped_named_and_counted(bench: Bench) -> None:
    bench.connect()
    bench.put(1)
    bench.publisher.published(bench.wire.answer(0, None, NoAnswer.IMPOSSIBLE))
    assert (bench.publisher.waiting, bench.queue.dropped.refused) == (0, 1)
    assert "can never be sent" in str(bench.reported[-1][1])


def test_an_answer_that_ends_the_connection_twice_is_dropped_and_none_goes_there_again(
    bench: Bench,
) -> None:
    answer = Outgoing(topic="poison", payload=b"")
    bench.publisher.answer(answer)
    for _ in range(2):
        bench.connect()
        assert [each.topic for each in bench.wire.carried][-1] == "poison"
        bench.publisher.disconnected()
        bench.answer(None)
        assert bench.publisher.due  # between two connections, too
    assert "ended the connection twice" in str(bench.reported[-1][1])
    carried = len(bench.wire.carried)
    bench.publisher.answer(answer)
    bench.connect()
    assert len(bench.wire.carried) == carried
    assert bench.publisher.counts.answers_dropped == 2
    bench.put(1)
    bench.answer(0)
    assert bench.publisher.waiting == 0


def test_a_reading_that_ends_the_connection_twice_is_dropped_and_others_go_on(
    bench: Bench,
) -> None:
    bench.put(1, topic="bad")
    for number in range(5):
        bench.put(number, topic=f"good/{number}")
    cuts = 0
    while bench.publisher.waiting:
        bench.connect()
        while bench.wire.flying:
            # The server looks at what comes first.
            if bench.wire.flying[0][0].topic == "bad":
                cut(bench)
                cuts += 1
                break
            bench.answer(0)
        assert cuts < 10
    assert cuts == 4
    assert bench.queue.dropped.refused == 1
    assert [topic for topic, error in bench.reported if error] == ["bad"]
    assert "ended the connection twice" in str(bench.reported[0][1])
    bench.connect()
    assert len(bench.reported) == 1  # it is still told with the next connection
    assert [bench.carried(f"good/{number}")[-1] for number in range(5)] == list(range(5))


def test_of_a_batch_that_ends_the_connection_only_the_culprit_goes(bench: Bench) -> None:
    bench.put(*range(8))
    cuts = 0
    received: list[object] = []
    while bench.publisher.waiting:
        bench.clock.go(4000)
        bench.connect()
        while bench.wire.flying:
            found = json.loads(bench.wire.flying[0][0].payload)
            numbers = found if isinstance(found, list) else [found]
            if 5 in numbers:
                cut(bench)
                cuts += 1
                break
            received += numbers
            bench.answer(0)
        assert cuts < 5
    assert received == [0, 1, 2, 3, 4, 6, 7]
    assert bench.queue.dropped.refused == 1
    assert cuts == 2


def test_messages_that_were_cut_together_go_alone_as_large_as_they_were(bench: Bench) -> None:
    for topic in ("a", "b"):
        bench.put(1, 2, 3, topic=topic)
    for _ in range(2):
        bench.connect()
        assert len(bench.wire.flying) == 2
        cut(bench)
    bench.connect()
    for topic in ("a", "b"):
        assert [each.topic for each, _ in bench.wire.flying] == [topic]
        assert bench.carried(topic)[-1] == [1, 2, 3]
        bench.answer(0)
    # They are well: what comes next goes together again.
    bench.put(4, topic="a")
    bench.put(4, topic="b")
    assert len(bench.wire.flying) == 2
    assert bench.reported == []


def test_who_was_answered_as_often_as_it_was_cut_is_suspected_no_more(tmp_path: Path) -> None:
    limits = Pacing(unacknowledged=3)
    bench = Bench(tmp_path, batch=Batch(max_readings=1), limits=limits)
    bench.put(*range(6), topic="a")
    bench.put(*range(6), topic="b")
    for _ in range(2):
        bench.connect()
        assert len(bench.wire.flying) == 3
        cut(bench)
    bench.connect()
    alone = []
    while len(bench.wire.flying) == 1:
        alone.append(bench.wire.flying[0][0].topic)
        bench.answer(0)
    assert (alone, len(bench.wire.flying)) == (["a", "a", "b", "b"], 3)


def test_a_suspect_of_which_nothing_is_left_holds_nobody_up(bench: Bench) -> None:
    now = bench.clock.wall()
    bench.publisher.put(Reading(topic="a", payload=b"1", time=now, expires=now + 60))
    bench.put(1, topic="b")
    for _ in range(2):
        bench.connect()
        cut(bench)
    bench.clock.go(60)
    bench.connect()
    bench.answer(0)
    bench.put(2, topic="b")
    bench.put(2, topic="c")
    assert [each.topic for each, _ in bench.wire.flying] == ["b", "c"]


def test_one_news_of_the_end_is_enough_and_the_second_changes_nothing(bench: Bench) -> None:
    for number in range(3):
        bench.publisher.answer(Outgoing(topic=f"answers/{number}", payload=b"1"))
    bench.connect()
    # The last that is cut is alone by then, and no culprit for it.
    while bench.wire.flying:
        bench.answer(None)
        assert bench.publisher.due == math.inf
    bench.publisher.disconnected()
    bench.connect()
    assert len(bench.wire.flying) == 3
    while bench.wire.flying:
        bench.answer(0)
    assert [each.topic for each in bench.wire.carried] == [f"answers/{n}" for n in (0, 1, 2)] * 2
    assert bench.publisher.counts.answers_dropped == 0
    assert bench.reported == []


def test_what_was_acknowledged_before_the_end_is_not_sent_again(bench: Bench) -> None:
    bench.connect()
    bench.put(1)
    bench.publisher.disconnected()
    bench.answer(0)
    bench.connect()
    assert bench.carried() == [1]
    assert bench.publisher.waiting == 0


def test_a_message_that_ended_the_connection_is_tried_again_after_an_hour(bench: Bench) -> None:
    answer = Outgoing(topic="poison", payload=b"")
    bench.publisher.answer(answer)
    for _ in range(2):
        bench.connect()
        cut(bench)
    assert [topic for topic, error in bench.reported if error] == ["poison"]
    bench.clock.go(ENDERS_SHOWN)
    bench.connect()
    assert bench.reported[-1] == ("poison", None)
    bench.publisher.answer(answer)
    bench.settle()
    bench.answer(0)
    assert [each.topic for each in bench.wire.carried] == ["poison"] * 3
    cut(bench)
    bench.connect()
    assert len(bench.reported) == 2


def test_a_topic_that_ends_the_connection_is_tried_again_slower_and_slower(tmp_path: Path) -> None:
    bench = Bench(tmp_path, queue=Queued(synchronous="normal"))
    bench.put(*range(100), topic="bad")
    began, cuts = bench.clock.passed, []
    while bench.clock.passed < began + 3600:
        bench.put(1, topic="good")
        bench.connect()
        while bench.wire.flying:
            if bench.wire.flying[0][0].topic == "bad":
                cut(bench)
                cuts.append(bench.clock.passed - began)
                break
            bench.answer(0)
        else:
            bench.publisher.disconnected()
        bench.clock.go(3)
    assert 5 < len(cuts) < 12, cuts
    assert bench.publisher.waiting > 90
    assert len(bench.carried("good")) > 500


def test_an_answer_that_ends_the_connection_twice_is_dropped_and_readings_go_on(
    bench: Bench,
) -> None:
    bench.publisher.answer(Outgoing(topic="$aws/unknown", payload=b"1"))
    bench.put(1)
    for _ in range(4):
        bench.connect()
        assert bench.wire.flying[0][0].topic == "$aws/unknown"
        cut(bench)
    bench.connect()
    bench.answer(0)
    assert bench.carried()[-1] == 1
    assert (bench.publisher.waiting, bench.publisher.counts.answers_dropped) == (0, 1)
    assert "$aws/unknown" in str(bench.reported[0][1])


def test_a_network_that_breaks_again_and_again_loses_nothing(bench: Bench) -> None:
    bench.put(1)
    for _ in range(20):
        bench.connect()
        assert bench.wire.flying
        bench.clock.go(40)  # no ping was answered
        cut(bench)
    bench.connect()
    bench.answer(0)
    assert (bench.publisher.waiting, bench.queue.dropped.refused) == (0, 0)


def test_answers_that_were_cut_go_again_in_their_order(bench: Bench) -> None:
    for number in range(5):
        bench.publisher.answer(Outgoing(topic="answers", payload=b"%d" % number))
    bench.connect()
    cut(bench)
    bench.connect()
    assert bench.carried("answers") == [*range(5), *range(5)]


def test_too_many_answers_are_dropped_and_counted(bench: Bench) -> None:
    for number in range(ANSWERS_KEPT + 7):
        bench.publisher.answer(Outgoing(topic="answers", payload=b"%d" % number))
    assert bench.publisher.counts.answers_dropped == 7


def test_the_servers_own_window_is_kept(bench: Bench) -> None:
    for number in range(5):
        bench.put(number, topic=f"t{number}")
    bench.publisher.connected(bench.wire, Limits(unacknowledged=2))
    bench.settle()
    assert len(bench.wire.flying) == 2


def test_a_topic_whose_readings_do_not_go_together_has_no_longer_turn(bench: Bench) -> None:
    for number in range(300):
        kind = JSON if number % 2 else TEXT
        bench.publisher.put(
            Reading(topic="mixed", payload=b"%d" % number, time=0.0, content_type=kind, source="a")
        )
    bench.publisher.put(Reading(topic="other", payload=b"0", time=0.0, source="b"))
    bench.settle()
    bench.connect()
    for _ in range(SINGLES + 1):
        bench.clock.go(1)
        bench.answer(0)
    assert bench.carried("other") == [0]
    while bench.wire.flying:
        bench.clock.go(1)
        bench.answer(0)
    assert bench.carried("mixed") == list(range(300))


@pytest.mark.parametrize("is_foreign", [True, False])
def test_no_statement_is_offered_for_an_answer_whose_topic_a_stranger_chose(
    bench: Bench, is_foreign: bool
) -> None:
    bench.connect()
    bench.publisher.answer(Outgoing(topic="secret", payload=b"1", is_foreign=is_foreign))
    bench.settle()
    bench.answer(NOT_AUTHORIZED)
    topic, error = bench.reported[-1]
    assert topic == "secret"
    assert error is not None
    assert "iot:Publish on topic/secret" in error.title
    assert ("Effect" in error.remedy) is not is_foreign


def test_what_is_under_way_when_we_leave_is_sent_again_and_nothing_of_it_is_suspected(
    bench: Bench,
) -> None:
    bench.connect()
    bench.put(1)
    bench.publisher.answer(Outgoing(topic="answers", payload=b"done"))
    bench.settle()
    late = [bench.wire.answer(0, None), bench.wire.answer(0, None)]
    for _ in range(3):
        bench.publisher.leave()
        bench.connect()
    for event in late:
        bench.publisher.published(event)
    bench.settle()
    bench.answer(0, index=-1)
    bench.answer(0, index=-1)
    assert bench.publisher.waiting == 0
    assert [each.topic for each in bench.wire.carried].count("answers") == 4
    assert bench.reported == []
