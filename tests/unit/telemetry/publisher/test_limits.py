"""How much may be in flight, wait as answers, and be sent in a second."""

import pytest

from fleet_agent.config.telemetry import Batch
from fleet_agent.config.telemetry import Limits as Pacing
from fleet_agent.session.message import Limits, Outgoing
from fleet_agent.telemetry.batch import packet_size
from fleet_agent.telemetry.publisher import ANSWERS_KEPT
from fleet_agent.telemetry.reading import Reading
from support.publishing import TOPIC, Bench, MakeBench


@pytest.mark.parametrize(
    ("configured", "server"), [(2, Limits()), (1000, Limits(unacknowledged=2))]
)
def test_no_more_is_in_flight_than_the_smaller_window(
    make_bench: MakeBench, configured: int, server: Limits
) -> None:
    bench = make_bench(limits=Pacing(unacknowledged=configured, publishes=0, bytes=0))
    bench.publisher.connected(bench.wire, server)
    full = []
    for number in range(5):
        bench.put(number)
        full.append(bench.publisher.is_full)
    assert len(bench.wire.flying) == 2
    assert full == [False, True, True, True, True]
    bench.answer(0)
    assert bench.carried() == [0, 1, [2, 3, 4]]


def test_no_second_holds_more_messages_than_the_limit(make_bench: MakeBench) -> None:
    bench = make_bench(limits=Pacing(unacknowledged=1000), batch=Batch(format="none"))
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


def test_bytes_a_second_count_whole_packets(make_bench: MakeBench) -> None:
    limits = Pacing(publishes=0, bytes=10_000, unacknowledged=1000)
    bench = make_bench(limits=limits, batch=Batch(format="none"))
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
def test_no_second_holds_more_bytes_than_the_limit(
    make_bench: MakeBench, *, is_answer: bool
) -> None:
    most = 100_000
    limits = Pacing(publishes=0, bytes=most, unacknowledged=1000)
    bench = make_bench(limits=limits, batch=Batch(format="none"))
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


def test_too_many_answers_are_dropped_and_counted(bench: Bench) -> None:
    for number in range(ANSWERS_KEPT + 7):
        bench.publisher.answer(Outgoing(topic="answers", payload=b"%d" % number))
    assert bench.publisher.counts.answers_dropped == 7
