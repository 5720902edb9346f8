"""Readings that share a message: how many, and how long they wait for each other."""

from pathlib import Path

import pytest

from fleet_agent.config.telemetry import Batch
from fleet_agent.config.telemetry import Queue as Queued
from fleet_agent.telemetry.reading import Reading
from support.publishing import TOPIC, Bench


def test_what_gathered_shares_a_message_that_names_each(bench: Bench) -> None:
    bench.put(1, 2, 3)
    bench.connect()
    assert bench.carried() == [[1, 2, 3]]
    properties = dict(bench.wire.carried[0].properties)
    assert (properties["sequence"], properties["count"]) == ("0", "3")
    assert properties["agent"].startswith("fleet-agent/")
    assert bench.wire.carried[0].content_type == "application/json"


def test_many_readings_are_one_message(bench: Bench) -> None:
    bench.put(*range(900))
    bench.connect()
    assert bench.carried() == [[*range(900)]]


@pytest.mark.parametrize(("more", "shares"), [(0, [2]), (1, [1, 1])])
def test_a_message_carries_as_much_as_it_may(tmp_path: Path, more: int, shares: list[int]) -> None:
    bench = Bench(tmp_path, batch=Batch(max_bytes=1024))
    for size in (510, 511 + more):
        bench.publisher.put(Reading(topic=TOPIC, payload=b"1" * size, time=0.0))
    bench.settle()
    bench.connect()
    assert [int(dict(each.properties)["count"]) for each in bench.wire.carried] == shares


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
