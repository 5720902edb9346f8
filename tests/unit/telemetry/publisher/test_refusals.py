"""Topics that the server refuses, and messages that it does not acknowledge."""

from pathlib import Path

import pytest

from fleet_agent.config.telemetry import Batch
from fleet_agent.config.telemetry import Limits as Pacing
from fleet_agent.session.events import NoAnswer
from fleet_agent.session.message import Outgoing
from fleet_agent.session.reasons import NOT_AUTHORIZED, UNKNOWN
from fleet_agent.telemetry.refused_topics import KEPT
from fleet_agent.telemetry.topic_backoff import POLICY
from support.publishing import TOPIC, Bench


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


def test_a_refusal_is_over_with_the_next_success_although_readings_were_dropped(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path, when_refused="drop")
    bench.connect()
    for code in (NOT_AUTHORIZED, 0):
        bench.put(1)
        bench.answer(code)
    assert bench.reported[-1] == (TOPIC, None)


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
