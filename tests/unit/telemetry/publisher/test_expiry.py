"""Readings that are of use for a while."""

import pytest

from fleet_agent.telemetry.reading import Reading
from support.publishing import TOPIC, Bench


def test_expired_readings_are_not_sent(bench: Bench) -> None:
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
def test_a_reading_is_sent_until_the_moment_it_expires(
    bench: Bench, left: float, expiry: int | None
) -> None:
    now = bench.clock.wall()
    bench.publisher.put(Reading(topic=TOPIC, payload=b"1", time=now, expires=now + 64))
    bench.settle()
    bench.clock.go(64 - left)
    bench.connect()
    assert [each.expiry for each in bench.wire.carried] == ([expiry] if expiry else [])
    assert bench.queue.dropped.expired == (0 if expiry else 1)


def test_setting_the_clock_does_not_change_when_a_reading_expires(bench: Bench) -> None:
    bench.clock.now = 100.0
    reading = Reading(topic=TOPIC, payload=b"1", time=100.0, expires=160.0)
    bench.publisher.put(reading)
    bench.settle()
    bench.clock.now = 1.8e9
    bench.clock.go(20)
    bench.connect()
    assert bench.carried() == [1]
    assert bench.wire.carried[0].expiry == 40
