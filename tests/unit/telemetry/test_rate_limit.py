"""The pace against a second that is moved over all that was sent."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet_agent.telemetry.rate_limit import RateLimit
from fleet_agent.telemetry.reading import MAX_PAYLOAD

LIMIT = 512 * 1024
PUBLISHES = 100


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from([3, PUBLISHES]),
    st.lists(
        st.tuples(
            st.one_of(st.integers(1, 1000), st.integers(1, MAX_PAYLOAD), st.just(MAX_PAYLOAD)),
            st.one_of(st.just(0.0), st.floats(0, 0.5)),
        ),
        min_size=1,
        max_size=150,
    ),
)
def test_no_second_holds_more_than_the_limits(
    publishes: int, messages: list[tuple[int, float]]
) -> None:
    pace = RateLimit(publishes, LIMIT)
    now = 1000.0
    sent: list[tuple[float, int]] = []
    for size, pause in messages:
        now += pause
        while wait := pace.wait(now, size):
            now += wait
        pace.spend(now, size)
        sent.append((now, size))
    for start, _ in sent:
        second = [size for at, size in sent if start <= at < start + 1]
        assert len(second) <= publishes
        assert sum(second) <= LIMIT


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([200, 3000, 50_000, MAX_PAYLOAD]),
            st.integers(1, 60),
            st.sampled_from([0.0, 0.3, 0.999, 5.0]),
        ),
        min_size=2,
        max_size=8,
    )
)
def test_small_ones_and_large_ones_share_the_bytes_of_a_second(
    bursts: list[tuple[int, int, float]],
) -> None:
    pace, now = RateLimit(0, LIMIT), 1000.0
    # What went out, and the part of it that lies more than a second back.
    sent: list[tuple[float, int]] = []
    total, old = 0, 0
    for size, count, pause in bursts:
        now += pause
        for _ in range(count):
            while wait := pace.wait(now, size):
                assert 0 < wait < 2
                now += wait
            pace.spend(now, size)
            sent.append((now, size))
            total += size
            while sent[old][0] <= now - 1:
                total -= sent[old][1]
                old += 1
            assert total <= LIMIT


@pytest.mark.parametrize(
    ("publishes", "size", "least"),
    [
        (3, 100, 0.88 * 3),
        (PUBLISHES, 100, 0.88 * PUBLISHES),
        (0, 1000, 0.94 * LIMIT / 1000),
        (PUBLISHES, 10 * 1024, 0.94 * LIMIT / (10 * 1024)),
        (PUBLISHES, 32 * 1024, 0.93 * LIMIT / (32 * 1024)),
        (PUBLISHES, MAX_PAYLOAD, 0.74 * LIMIT / MAX_PAYLOAD),
    ],
)
def test_it_is_not_much_slower_than_the_limits(publishes: int, size: int, least: float) -> None:
    pace, now, count = RateLimit(publishes, LIMIT), 0.0, 0
    while now < 20:
        if wait := pace.wait(now, size):
            now += wait
        else:
            pace.spend(now, size)
            count += 1
    assert count / 20 >= least


def test_bytes_are_spread_over_the_second() -> None:
    pace, now, sent = RateLimit(0, LIMIT), 0.0, 0
    while now < 0.5:
        if wait := pace.wait(now, 4096):
            now += wait
        else:
            pace.spend(now, 4096)
            sent += 4096
    assert 0.47 * LIMIT <= sent <= 0.52 * LIMIT


def test_a_message_larger_than_the_limit_goes_and_is_made_up_for() -> None:
    pace, now, sent = RateLimit(0, 32 * 1024), 0.0, 0
    while now < 100:
        if wait := pace.wait(now, MAX_PAYLOAD):
            now += wait
        else:
            pace.spend(now, MAX_PAYLOAD)
            sent += MAX_PAYLOAD
    assert 0.9 <= sent / 100 / (32 * 1024) <= 1.05


def test_without_limits_it_never_waits() -> None:
    pace = RateLimit(0, 0)
    for _ in range(1000):
        pace.spend(0.0, MAX_PAYLOAD)
    assert pace.wait(0.0, MAX_PAYLOAD) == 0


def test_a_full_second_is_waited_out_part_by_part() -> None:
    pace, half = RateLimit(0, LIMIT), 0.49 * LIMIT
    for now in (1000.0, 1000.6):
        assert pace.wait(now, int(half)) == 0
        pace.spend(now, int(half))
    # Of the two parts the first is enough: it is forgotten a second after it went.
    assert pace.wait(1000.7, 1024) == pytest.approx(0.389, abs=0.002)
    assert pace.wait(1001.1, 1024) == pytest.approx(0.0, abs=0.002)
