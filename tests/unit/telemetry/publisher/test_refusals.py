"""Topics that the server refuses, and messages that it does not acknowledge."""

import re

import pytest

from fleet_agent.config.telemetry import Batch
from fleet_agent.config.telemetry import Limits as Pacing
from fleet_agent.session.events import NoAnswer
from fleet_agent.session.message import Outgoing
from fleet_agent.session.reasons import NOT_AUTHORIZED, UNKNOWN
from fleet_agent.telemetry.refused_topics import KEPT
from fleet_agent.telemetry.topic_backoff import POLICY
from support.publishing import TOPIC, Bench, MakeBench


def test_a_refused_reading_is_kept_and_its_topic_tried_again_at_growing_intervals(
    bench: Bench,
) -> None:
    bench.connect()
    bench.put(1)
    bench.answer(NOT_AUTHORIZED)
    topic, error = bench.reported[-1]
    assert topic == TOPIC
    assert error is not None
    assert f"iot:Publish on topic/{TOPIC}" in error.title
    bench.put(2, topic="dt/pump/other")  # another topic is sent
    bench.answer(0)
    bench.publisher.settle(at_once=True)  # a stop does not change that
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


def test_a_refused_reading_can_be_dropped_and_the_next_success_ends_the_refusal(
    make_bench: MakeBench,
) -> None:
    bench = make_bench(when_refused="drop")
    bench.connect()
    bench.put(1)
    bench.answer(NOT_AUTHORIZED)
    assert (bench.publisher.waiting, bench.queue.dropped.refused) == (0, 1)
    bench.put(1)
    bench.answer(0)
    assert bench.reported[-1] == (TOPIC, None)


def test_simultaneous_refusals_count_once_and_a_new_connection_tries_at_once(
    make_bench: MakeBench,
) -> None:
    bench = make_bench(batch=Batch(format="none"))
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


@pytest.mark.parametrize("refused", ["a", "b"])
def test_composed_messages_of_a_refused_topic_wait_and_those_of_others_go_on(
    make_bench: MakeBench, refused: str
) -> None:
    bench = make_bench(batch=Batch(format="none"), limits=Pacing(unacknowledged=2))
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


def test_of_very_many_refused_topics_the_first_are_reported_and_reported_healed(
    bench: Bench,
) -> None:
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


def test_a_refused_answer_is_dropped_and_reported_until_the_next_is_accepted(bench: Bench) -> None:
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


@pytest.mark.parametrize("is_foreign", [True, False])
def test_no_policy_statement_is_offered_for_a_topic_that_a_stranger_chose(
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


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (128, "PUBACK 128"),
        (151, "PUBACK 151"),
        (177, "PUBACK 177"),
        (UNKNOWN, "does not know"),
        # No acknowledgement in time.
        (None, "was not acknowledged.*30 s.*large packets"),
    ],
)
def test_a_failure_that_may_pass_is_reported_and_the_reading_sent_again_after_a_pause(
    bench: Bench, code: int | None, words: str
) -> None:
    bench.connect()
    bench.put(1)
    bench.put(2, topic="dt/pump/other")
    bench.publisher.published(bench.wire.answer(0, code, NoAnswer.LATE))
    bench.answer(0)
    topic, error = bench.reported[-1]
    assert topic == TOPIC
    assert error is not None
    assert re.search(words, f"{error.title} {error.remedy}")
    assert bench.wire.flying == []
    bench.clock.go(1.1)
    bench.settle()
    bench.answer(0)
    assert bench.reported[-1] == (TOPIC, None)
    assert bench.publisher.waiting == 0


def test_a_reading_that_can_never_be_sent_is_dropped_reported_and_counted(bench: Bench) -> None:
    bench.connect()
    bench.put(1)
    bench.publisher.published(bench.wire.answer(0, None, NoAnswer.IMPOSSIBLE))
    assert (bench.publisher.waiting, bench.queue.dropped.refused) == (0, 1)
    assert "can never be sent" in str(bench.reported[-1][1])
