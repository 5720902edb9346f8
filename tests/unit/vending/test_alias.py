"""When credentials are renewed, and when AWS is left alone: decided without a clock."""

import math

import pytest

from fleet_agent.credentials.model import Secret
from fleet_agent.errors import TemporaryError
from fleet_agent.session.backoff import Patience
from fleet_agent.vending.alias import AliasState, CachedCredentials, Result
from fleet_agent.vending.formats import AwsCredentials

NOW, WALL = 1000.0, 2_000_000_000.0
ERROR = TemporaryError("no", remedy="later", code="x")


def cached(lifetime: float) -> CachedCredentials:
    found = AwsCredentials(
        access_key_id="A",
        secret_access_key=Secret("S"),
        session_token=Secret("T"),
        expires=WALL + lifetime,
    )
    return CachedCredentials(found, until=NOW + lifetime, wall_until=WALL + lifetime)


@pytest.mark.parametrize(
    ("lifetime", "jitter", "seconds_left"),
    [
        (3600, 0.0, 20 * 60),
        (3600, 0.999, 25 * 60),
        (43200, 0.5, 22.5 * 60),
        (900, 0.0, 450),  # the shortest that AWS gives: half its life
        (900, 0.999, 562),
    ],
)
def test_renewed_before_sdks_would(lifetime: float, jitter: float, seconds_left: float) -> None:
    alias = AliasState("logs", is_asking=True)
    alias.received(cached(lifetime), NOW, WALL, jitter)
    assert alias.refresh_at == pytest.approx(NOW + lifetime - seconds_left, abs=2)
    # Nobody has used them since: nothing is due, however late it is.
    assert not alias.is_due(NOW + lifetime)
    assert alias.due == math.inf
    alias.is_wanted = True
    assert alias.due == alias.refresh_at
    assert not alias.is_due(alias.refresh_at - 1)
    assert alias.is_due(alias.refresh_at)


def test_after_a_failure_aws_has_its_rest_and_what_is_kept_stays() -> None:
    alias = AliasState("logs", is_asking=True, is_wanted=True)
    alias.received(cached(3600), NOW, WALL, 0.0)
    alias.is_wanted = True
    later = alias.refresh_at
    for tries in range(1, 12):
        alias.is_asking = True
        alias.failed(ERROR, later, 0.999)
        rest = alias.not_before - later
        assert 0.9 <= rest <= Patience.AWAITED.ceiling
        assert rest >= min(2.0 ** (tries - 1), Patience.AWAITED.ceiling) * 0.99
        assert not alias.is_due(alias.not_before - 0.01)
        assert alias.is_due(alias.not_before)
        later = alias.not_before
    assert alias.cached is not None
    alias.received(cached(3600), later, WALL, 0.0)
    assert (alias.error, alias.tries, alias.not_before) == (None, 0, -math.inf)


def test_without_any_a_failure_is_not_repeated_by_itself() -> None:
    alias = AliasState("logs", is_asking=True, is_wanted=True)
    heard: list[Result] = []
    alias.waiters = [heard.append, heard.append]
    waiters = alias.failed(ERROR, NOW, 0.5)
    assert len(waiters) == 2
    assert alias.waiters == []
    assert alias.due == math.inf


@pytest.mark.parametrize(
    ("passed", "wall_passed", "seconds_left"),
    [(100, 100, 3500), (10, 2000, 1600), (2000, 10, 1600), (0, -5000, 3600), (3600, 0, 0)],
    ids=["as it should", "slept, or put forward", "put back", "far back", "over"],
)
def test_time_left_is_the_least_of_both_clocks(
    passed: float, wall_passed: float, seconds_left: float
) -> None:
    assert cached(3600).seconds_left(NOW + passed, WALL + wall_passed) == seconds_left


def test_who_waits_no_more_is_not_kept() -> None:
    alias = AliasState("logs", is_asking=True)
    heard: list[Result] = []
    alias.waiters.append(heard.append)
    stays = alias.waiters[0]
    gone: list[Result] = []
    leaves = gone.append
    alias.waiters.append(leaves)
    alias.cancel(leaves)
    alias.cancel(leaves)
    assert alias.waiters == [stays]
