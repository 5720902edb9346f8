"""From a reading to its acknowledgement."""

import dataclasses
import functools
import os

import pytest

from fleet_agent.config.telemetry import Batch
from fleet_agent.config.telemetry import Limits as Pacing
from fleet_agent.session.message import Outgoing
from fleet_agent.telemetry.commits import FLUSH_EVERY
from fleet_agent.telemetry.composer import SINGLES
from fleet_agent.telemetry.reading import JSON, TEXT, Reading
from support.publishing import TOPIC, Bench, MakeBench


def test_nothing_is_sent_without_a_connection(bench: Bench) -> None:
    bench.put(1)
    assert bench.wire.flying == []
    bench.connect()
    assert bench.carried() == [1]
    assert bench.publisher.waiting == 1
    bench.answer(0)
    assert (bench.publisher.waiting, bench.publisher.counts.acknowledged) == (0, 1)


def test_having_no_subscriber_is_not_a_failure(bench: Bench) -> None:
    bench.connect()
    bench.put(1)
    bench.answer(16)
    assert bench.publisher.waiting == 0


def test_a_sender_gets_one_report_when_stored_and_one_when_acknowledged(bench: Bench) -> None:
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


def test_readings_messages_and_answers_are_counted(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
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


def test_acknowledged_readings_are_deleted_when_the_publisher_is_next_due(bench: Bench) -> None:
    bench.connect()
    bench.put(1)
    bench.answer(0)
    assert bench.queue.has_unwritten
    assert bench.publisher.due == bench.clock.monotonic() + FLUSH_EVERY
    bench.clock.go(FLUSH_EVERY)
    bench.settle()
    assert not bench.queue.has_unwritten


def test_the_newest_are_sent_first_where_configured(make_bench: MakeBench) -> None:
    limits = Pacing(unacknowledged=1, publishes=0, bytes=0)
    batch = Batch(max_readings=3, max_bytes=1024)
    bench = make_bench(drain="newest-first", batch=batch, limits=limits)
    bench.put(*range(8))
    bench.connect()
    bench.put(8)
    for _ in range(4):
        bench.answer(0)
    assert bench.carried() == [[5, 6, 7], 8, [2, 3, 4], [0, 1]]
    assert bench.publisher.waiting == 0


def test_a_topic_whose_readings_share_no_message_does_not_hold_up_others(bench: Bench) -> None:
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
