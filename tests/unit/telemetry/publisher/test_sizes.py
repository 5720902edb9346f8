"""What is too large for AWS IoT, or for the server of this connection."""

import json
import re

import pytest

from fleet_agent.session.events import NoAnswer
from fleet_agent.session.message import Limits, Outgoing
from fleet_agent.session.reasons import TOO_LARGE
from fleet_agent.telemetry.batch import packet_size
from fleet_agent.telemetry.reading import MAX_PAYLOAD, Reading
from support.publishing import TOPIC, Bench, cut


def test_a_reading_too_large_for_aws_is_not_accepted(bench: Bench) -> None:
    reported: list[str | None] = []
    payload = b"1" * (MAX_PAYLOAD + 1)
    bench.publisher.put(Reading(topic=TOPIC, payload=payload, time=0.0), reported.append)
    assert "AWS IoT accepts" in str(reported[0])
    assert bench.publisher.waiting == 0


def test_a_message_of_exactly_the_servers_limit_is_sent_whole(bench: Bench) -> None:
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


def test_a_batch_too_large_for_the_server_is_sent_in_parts(bench: Bench) -> None:
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
def test_a_batch_shrinks_until_the_server_accepts_it(
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


@pytest.mark.parametrize("count", [1, 2])
def test_readings_that_the_server_calls_too_large_are_sent_one_by_one_and_dropped_if_alone(
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


def test_a_reading_too_large_for_the_server_is_dropped_reported_and_counted(bench: Bench) -> None:
    reported: list[str | None] = []
    bench.publisher.put(Reading(topic=TOPIC, payload=b"1" * 5000, time=0.0), None, reported.append)
    bench.put(1, topic="dt/pump/other")
    bench.publisher.connected(bench.wire, Limits(packet=1000))
    bench.settle()
    assert bench.carried("dt/pump/other") == [1]
    assert bench.carried() == []
    assert bench.queue.dropped.refused == 1
    topic, error = bench.reported[-1]
    assert topic == TOPIC
    assert re.search(
        r"has 5\d\d\d bytes, but the server accepts 1000 bytes: it was dropped", str(error)
    )
    assert reported == ["it is larger than the server accepts"]


def test_an_answer_too_large_for_the_server_is_dropped_reported_and_counted(bench: Bench) -> None:
    bench.publisher.answer(Outgoing(topic="answers", payload=b"x" * 5000))
    bench.publisher.answer(Outgoing(topic="answers", payload=b"1"))
    bench.publisher.connected(bench.wire, Limits(packet=1000))
    bench.settle()
    assert bench.carried("answers") == [1]
    assert bench.publisher.counts.answers_dropped == 1
    topic, error = bench.reported[-1]
    assert topic == "answers"
    assert re.search(
        r"has 5\d\d\d bytes, but the server accepts 1000 bytes: it was dropped", str(error)
    )
