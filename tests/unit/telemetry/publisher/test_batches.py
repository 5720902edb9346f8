"""Readings that share a message: how many, and how long they wait for each other."""

import pytest

from fleet_agent.config.telemetry import Batch
from fleet_agent.config.telemetry import Queue as Queued
from fleet_agent.telemetry.reading import Reading
from support.publishing import TOPIC, Bench, MakeBench


def test_gathered_readings_share_a_message_with_their_sequence_and_count(bench: Bench) -> None:
    bench.put(1, 2, 3)
    bench.connect()
    assert bench.carried() == [[1, 2, 3]]
    properties = dict(bench.wire.carried[0].properties)
    assert (properties["sequence"], properties["count"]) == ("0", "3")
    assert properties["agent"].startswith("fleet-agent/")
    assert bench.wire.carried[0].content_type == "application/json"


def test_hundreds_of_readings_share_one_message(bench: Bench) -> None:
    bench.put(*range(900))
    bench.connect()
    assert bench.carried() == [[*range(900)]]


@pytest.mark.parametrize(("more", "shares"), [(0, [2]), (1, [1, 1])])
def test_a_message_is_filled_to_its_limit(
    make_bench: MakeBench, more: int, shares: list[int]
) -> None:
    bench = make_bench(batch=Batch(max_bytes=1024))
    for size in (510, 511 + more):
        bench.publisher.put(Reading(topic=TOPIC, payload=b"1" * size, time=0.0))
    bench.settle()
    bench.connect()
    assert [int(dict(each.properties)["count"]) for each in bench.wire.carried] == shares


def test_readings_wait_for_others_no_longer_than_the_delay(make_bench: MakeBench) -> None:
    bench = make_bench(batch=Batch(max_delay=10))
    bench.connect()
    bench.put(1)
    bench.clock.go(6)
    bench.put(2)
    assert bench.wire.flying == []
    assert bench.publisher.due <= bench.clock.passed + 4
    bench.clock.go(4.1)
    bench.settle()
    assert bench.carried() == [[1, 2]]


def test_enough_readings_for_a_message_do_not_wait(make_bench: MakeBench) -> None:
    bench = make_bench(batch=Batch(max_delay=10, max_readings=3))
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


def test_each_topic_and_each_message_has_its_own_delay(make_bench: MakeBench) -> None:
    bench = make_bench(batch=Batch(max_delay=10))
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


def test_gathering_begins_again_with_each_connection(make_bench: MakeBench) -> None:
    bench = make_bench(batch=Batch(max_delay=10))
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


def test_a_stop_sends_without_waiting_for_more_readings(make_bench: MakeBench) -> None:
    bench = make_bench(batch=Batch(max_delay=3600))
    bench.connect()
    bench.put(1)
    assert bench.wire.flying == []
    bench.publisher.settle(at_once=True)
    assert bench.carried() == [1]
    bench.answer(0)
    assert bench.publisher.is_idle(bench.clock.monotonic() + 10)


def test_a_stop_commits_at_once_and_waits_for_the_acknowledgement(make_bench: MakeBench) -> None:
    bench = make_bench(queue=Queued(commit_delay=30, synchronous="normal"))
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
