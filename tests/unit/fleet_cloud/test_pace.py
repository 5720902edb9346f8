"""How fast an account is asked, with a clock that goes on when somebody waits."""

import pytest

from fleet_cloud.aws.pace import QUOTAS, Pace

SLOW, FAST = "DeleteCertificate", "DeleteThing"


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def seconds_for(pace: Pace, clock: Clock, operation: str, calls: int) -> float:
    """Gives how long so many calls take that wait as they are told."""
    began = clock.now
    for _ in range(calls):
        clock.now += pace.reserve(operation)
    return clock.now - began


@pytest.mark.parametrize("operation", [SLOW, FAST])
def test_quota_of_aws_is_used_to_nine_tenths_and_never_passed(operation: str) -> None:
    clock = Clock()
    pace, calls = Pace(clock, known=True), 100 * int(QUOTAS[operation])
    rate = calls / seconds_for(pace, clock, operation, calls)
    assert 0.9 * QUOTAS[operation] <= rate <= QUOTAS[operation]


def test_operations_have_buckets_of_their_own() -> None:
    clock = Clock()
    pace = Pace(clock, known=True)
    seconds_for(pace, clock, SLOW, 100)
    assert seconds_for(pace, clock, FAST, 10) < 0.11


def test_pause_does_not_become_a_burst_of_more_than_half_a_second() -> None:
    clock = Clock()
    pace = Pace(clock, known=True)
    pace.reserve(SLOW)
    clock.now += 3600
    at_once = 0
    while pace.reserve(SLOW) == 0:
        at_once += 1
    assert at_once <= QUOTAS[SLOW] / 2 + 1


def test_place_that_is_not_amazons_is_not_held_back_until_it_throttles() -> None:
    clock = Clock()
    pace = Pace(clock, known=False)
    assert seconds_for(pace, clock, SLOW, 1000) == 0
    pace.throttled(SLOW)
    assert seconds_for(pace, clock, SLOW, 10_000) > 1


def test_place_that_throttles_has_amazons_quotas_from_then_on() -> None:
    clock = Clock()
    pace = Pace(clock, known=False)
    for _ in range(100):  # at once: far more than the quota
        pace.reserve(SLOW)
    pace.throttled(SLOW)
    assert 0.9 * QUOTAS[SLOW] <= (pace.rate(SLOW) or 0) <= QUOTAS[SLOW]
    clock.now += 2
    pace.throttled(SLOW)  # it allows less than that
    assert (pace.rate(SLOW) or 0) < 0.8 * QUOTAS[SLOW]


def test_throttling_slows_down_once_for_all_that_were_under_way_and_heals() -> None:
    clock = Clock()
    pace = Pace(clock, known=True)
    before = pace.rate(SLOW)
    assert before
    for _ in range(16):
        pace.throttled(SLOW)
    assert pace.rate(SLOW) == pytest.approx(0.7 * before)
    clock.now += 5
    after = pace.rate(SLOW)
    assert after
    assert 0.7 * before < after < before
    clock.now += 60
    assert pace.rate(SLOW) == pytest.approx(before)


def test_account_with_half_the_quota_gets_four_fifths_of_it() -> None:
    """Refuses what comes sooner than the account allows, as AWS's own bucket does."""
    clock, allowed = Clock(), 5.0
    pace = Pace(clock, known=True)
    tokens, at, done, refused = allowed, clock.now, 0, 0
    began = clock.now
    while done < 600:
        clock.now += pace.reserve(SLOW)
        tokens, at = min(allowed, tokens + (clock.now - at) * allowed), clock.now
        if tokens >= 1:
            tokens, done = tokens - 1, done + 1
        else:
            refused += 1
            pace.throttled(SLOW)
    assert done / (clock.now - began) >= 0.8 * allowed
    assert refused < done / 5
