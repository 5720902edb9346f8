"""What was in flight when a connection ended."""

import math

from fleet_agent.session.events import NoAnswer, Published
from fleet_agent.session.message import Outgoing
from support.publishing import Bench, cut


def test_nothing_is_due_between_two_connections(bench: Bench) -> None:
    bench.put(1)
    assert bench.publisher.is_idle(bench.clock.monotonic())
    bench.connect()
    bench.publisher.disconnected()
    assert bench.publisher.due > bench.clock.monotonic() + 3600


def test_readings_without_an_acknowledgement_are_sent_again_in_order(bench: Bench) -> None:
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


def test_answers_without_an_acknowledgement_are_sent_again_in_order(bench: Bench) -> None:
    for number in range(5):
        bench.publisher.answer(Outgoing(topic="answers", payload=b"%d" % number))
    bench.connect()
    cut(bench)
    bench.connect()
    assert bench.carried("answers") == [*range(5), *range(5)]


def test_an_acknowledgement_that_comes_after_the_end_still_counts(bench: Bench) -> None:
    bench.connect()
    bench.put(1)
    bench.publisher.disconnected()
    bench.answer(0)
    bench.connect()
    assert bench.carried() == [1]
    assert bench.publisher.waiting == 0


def test_a_lost_connection_is_not_a_refusal_whichever_event_comes_first(bench: Bench) -> None:
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


def test_one_event_ends_the_connection_and_the_second_changes_nothing(bench: Bench) -> None:
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


def test_messages_in_flight_when_the_agent_disconnects_are_sent_again_and_not_suspected(
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


def test_a_network_that_fails_repeatedly_loses_nothing(bench: Bench) -> None:
    bench.put(1)
    for _ in range(20):
        bench.connect()
        assert bench.wire.flying
        bench.clock.go(40)  # no ping was answered
        cut(bench)
    bench.connect()
    bench.answer(0)
    assert (bench.publisher.waiting, bench.queue.dropped.refused) == (0, 0)


def test_a_message_of_which_the_sdk_never_says_what_became_is_sent_again_on_the_next_connection(
    bench: Bench,
) -> None:
    bench.connect()
    bench.put(1)
    bench.publisher.answer(Outgoing(topic="answers", payload=b"done"))
    bench.settle()
    bench.publisher.disconnected()
    bench.connect()
    bench.settle()
    assert [each.topic for each in bench.wire.carried].count("answers") == 2
    bench.answer(0, index=-1)
    bench.answer(0, index=-1)
    assert bench.publisher.waiting == 0
    assert bench.reported == []
