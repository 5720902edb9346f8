import pytest
from hypothesis import given
from hypothesis import strategies as some

from fleet_agent.session.backoff import SHORTEST, Patience, delay

patiences = some.sampled_from(Patience)
tries = some.integers(1, 10**9)
jitters = some.floats(0, 1, exclude_max=True)


@given(patiences, tries, jitters)
def test_a_wait_is_never_shorter_than_a_second_nor_longer_than_its_ceiling(
    patience: Patience, count: int, jitter: float
) -> None:
    assert SHORTEST <= delay(patience, count, jitter) <= max(SHORTEST, patience.ceiling)


@given(patiences, tries, jitters)
def test_the_span_never_shrinks(patience: Patience, count: int, jitter: float) -> None:
    assert delay(patience, count + 1, jitter) >= delay(patience, count, jitter)


@given(patiences, tries, jitters, jitters)
def test_the_jitter_is_the_part_of_the_span(
    patience: Patience, count: int, one: float, other: float
) -> None:
    low, high = sorted((one, other))
    assert delay(patience, count, low) <= delay(patience, count, high)


@given(patiences, some.integers(1, 30))
def test_the_span_doubles_until_the_ceiling(patience: Patience, count: int) -> None:
    span = delay(patience, count, 1.0)
    assert span == max(SHORTEST, min(patience.ceiling, patience.first * 2 ** (count - 1)))


@pytest.mark.parametrize("patience", Patience)
def test_no_jitter_is_the_shortest_wait(patience: Patience) -> None:
    assert delay(patience, 1, 0.0) == SHORTEST


def test_refusals_are_waited_out_up_to_an_hour_and_slower_than_anything_else() -> None:
    assert Patience.REFUSED.ceiling == 3600
    assert Patience.REFUSED.first == max(patience.first for patience in Patience)
    assert all(0 < patience.first <= patience.ceiling for patience in Patience)
