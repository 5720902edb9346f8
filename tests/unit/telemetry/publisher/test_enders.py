"""Messages that end the connection: who is suspected, and what becomes of the culprit."""

import json

from fleet_agent.config.telemetry import Batch
from fleet_agent.config.telemetry import Limits as Pacing
from fleet_agent.config.telemetry import Queue as Queued
from fleet_agent.session.message import Outgoing
from fleet_agent.telemetry.reading import Reading
from fleet_agent.telemetry.refused_topics import ENDERS_SHOWN
from support.publishing import Bench, MakeBench, cut


def test_a_reading_that_ends_the_connection_twice_is_dropped_and_others_are_sent(
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
    assert len(bench.reported) == 1  # the problem stays with the next connection
    assert [bench.carried(f"good/{number}")[-1] for number in range(5)] == list(range(5))


def test_of_a_batch_that_ends_the_connection_only_the_culprit_is_dropped(bench: Bench) -> None:
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


def test_messages_lost_together_are_sent_one_by_one_but_not_split(bench: Bench) -> None:
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


def test_a_topic_acknowledged_as_often_as_it_was_lost_is_suspected_no_more(
    make_bench: MakeBench,
) -> None:
    limits = Pacing(unacknowledged=3)
    bench = make_bench(batch=Batch(max_readings=1), limits=limits)
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


def test_a_suspect_with_nothing_left_to_send_does_not_hold_up_others(bench: Bench) -> None:
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


def test_a_topic_that_ends_the_connection_is_tried_again_at_growing_intervals(
    make_bench: MakeBench,
) -> None:
    bench = make_bench(queue=Queued(synchronous="normal"))
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


def test_no_answer_is_sent_to_a_topic_that_ended_the_connection_twice(bench: Bench) -> None:
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


def test_an_answer_that_ends_the_connection_twice_does_not_take_readings_with_it(
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


def test_a_topic_that_ended_the_connection_is_tried_again_after_an_hour(bench: Bench) -> None:
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
