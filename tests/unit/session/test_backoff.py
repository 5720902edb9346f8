import pytest
from hypothesis import given
from hypothesis import strategies as some

from fleet_agent.session.backoff import (
    CONNECT_INTERVAL,
    LATE_SPAN,
    REGISTRATIONS,
    ROOM,
    Patience,
    delay,
    first_contact,
    window,
)

patiences = some.sampled_from(Patience)
tries = some.integers(1, 10**9)
jitters = some.floats(0, 1, exclude_max=True)


@given(patiences, tries, jitters)
def test_a_wait_is_never_shorter_than_a_second_nor_longer_than_its_ceiling(
    patience: Patience, count: int, jitter: float
) -> None:
    assert (
        CONNECT_INTERVAL
        <= delay(patience, count, jitter)
        <= max(CONNECT_INTERVAL, patience.ceiling)
    )


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
    assert span == max(CONNECT_INTERVAL, min(patience.ceiling, patience.first * 2 ** (count - 1)))


@pytest.mark.parametrize("patience", Patience)
def test_no_jitter_is_the_shortest_wait(patience: Patience) -> None:
    assert delay(patience, 1, 0.0) == CONNECT_INTERVAL


def test_refusals_are_waited_out_up_to_an_hour_and_slower_than_anything_else() -> None:
    assert Patience.REFUSED.ceiling == 3600
    assert Patience.REFUSED.first == max(patience.first for patience in Patience)
    assert all(0 < patience.first <= patience.ceiling for patience in Patience)


@pytest.mark.parametrize("patience", Patience)
def test_on_a_bench_only_what_somebody_has_to_change_ends_at_once(patience: Patience) -> None:
    assert patience.needs_person is (patience.name in ("REFUSED", "UNTRUSTED"))


@pytest.mark.parametrize(
    ("devices", "seconds"), [(1, 0), (10, 0), (11, 2), (100, 11), (1000, 105), (10_001, 1051)]
)
def test_a_fleet_gets_a_window_in_which_all_can_register(devices: int, seconds: int) -> None:
    assert window(devices) == seconds


@given(some.integers(REGISTRATIONS + 1, 10**7))
def test_a_window_has_room_for_bunches_and_little_more(devices: int) -> None:
    needed = devices * ROOM
    assert needed <= window(devices) * REGISTRATIONS < needed + REGISTRATIONS + 1e-6


windows = some.floats(1, 7 * 86400)
moments = some.floats(1.7e9, 2.0e9)


@given(windows, some.none() | moments, moments, jitters)
def test_first_contact_is_neither_in_the_past_nor_later_than_the_window(
    window: float, planned: float | None, now: float, jitter: float
) -> None:
    assert now <= first_contact(window, planned, now, jitter) <= now + window


@given(windows, moments, jitters, jitters)
def test_a_moment_still_ahead_is_kept_whatever_is_drawn_after_a_power_cut(
    window: float, now: float, one: float, other: float
) -> None:
    planned = first_contact(window, None, now, one)
    back = now + 0.5 * (planned - now)
    assert first_contact(window, planned, back, other) == pytest.approx(planned)


def test_a_moment_that_passed_without_power_is_drawn_again_within_what_it_is_late_by() -> None:
    assert first_contact(1000.0, 5000.0, 5010.0, 0.5) == 5010.0 + 10.0 * LATE_SPAN * 0.5
    assert first_contact(1000.0, 5000.0, 99000.0, 0.5) == 99000.0 + 500.0  # at most the window


def test_a_clock_that_stepped_back_is_no_reason_to_wait_longer_than_the_window() -> None:
    assert first_contact(1000.0, 9000.0, 5000.0, 0.25) == 5250.0
    # The last moment of the window is one of it.
    assert first_contact(1000.0, 6000.0, 5000.0, 0.25) == 6000.0
