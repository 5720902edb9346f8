"""How old readings are, over boots and clocks that are set."""

import pytest

from fleet_agent.clock import BUILT
from fleet_agent.telemetry.age_clock import UNKNOWN, AgeClock, Era
from support.clock import FakeClock

FIRST, SECOND, NOW = 1, 2, 3


@pytest.fixture
def clock() -> FakeClock:
    clock = FakeClock()
    clock.boot_id, clock.passed, clock.synchronised = "third", 30.0, True
    return clock


@pytest.fixture
def ages(clock: FakeClock) -> AgeClock:
    """Two boots before this one; the first went on for 1000 seconds at least, the second for 200."""
    ages = AgeClock(clock)
    began = clock.now - 30.0
    ages.load(
        [
            Era(SECOND, "second", began - 500.0, 200.0),
            Era(FIRST, "first", began - 5000.0, 1000.0),
        ],
        {FIRST, SECOND},
    )
    return ages


def test_with_the_right_time_all_that_passed_counts(ages: AgeClock) -> None:
    assert ages.now == (NOW, 30.0)
    assert ages.age(NOW, 10.0) == 20.0
    assert ages.age(SECOND, 100.0) == pytest.approx(430.0)
    assert ages.age(FIRST, 990.0) == pytest.approx(4040.0)


def test_without_the_right_time_what_surely_passed_counts(
    ages: AgeClock, clock: FakeClock
) -> None:
    clock.synchronised = False
    assert ages.age(SECOND, 100.0) == 130.0
    assert ages.age(SECOND, 199.5) == 30.5
    assert ages.age(FIRST, 990.0) == 240.0
    # It was stored after that boot was last written down: how much later is not known.
    assert ages.age(SECOND, 250.0) == 30.0


def test_a_time_that_is_behind_counts_for_less_than_what_surely_passed(
    ages: AgeClock, clock: FakeClock
) -> None:
    clock.now = BUILT
    assert ages.age(SECOND, 100.0) == 130.0
    assert ages.age(FIRST, 990.0) == 240.0


def test_between_boots_of_which_one_never_knew_the_time(clock: FakeClock) -> None:
    ages = AgeClock(clock)
    ages.load([Era(FIRST, "first", None, 50.0), Era(SECOND, "second", None, 7.0)], {FIRST, SECOND})
    assert ages.age(FIRST, 49.75) == 37.25
    assert ages.age(SECOND, 6.75) == 30.25


def test_what_an_older_version_stored_has_its_wall_time_alone(
    ages: AgeClock, clock: FakeClock
) -> None:
    assert ages.age(UNKNOWN, clock.now - 0.5) == 0.5
    assert ages.age(UNKNOWN, clock.now + 5.0) == 0.0
    assert ages.age(UNKNOWN, BUILT) == clock.now - BUILT
    assert ages.age(UNKNOWN, BUILT - 1.0) == 0.0
    clock.synchronised = False
    assert ages.age(UNKNOWN, BUILT) == 0.0


def test_of_a_boot_that_is_not_written_down_nothing_is_old(ages: AgeClock) -> None:
    assert ages.age(99, 0.0) == 0.0


def test_what_is_always_of_use_stays_so(ages: AgeClock) -> None:
    assert ages.left(NOW, 10.0, None) is None
    assert ages.left(NOW, 10.0, 50.0) == 30.0


def test_boots_of_which_no_reading_is_left_are_forgotten(clock: FakeClock) -> None:
    ages = AgeClock(clock)
    ages.load([Era(FIRST, "first", None, 1.0), Era(SECOND, "second", None, 1.0)], {SECOND})
    assert [(era.number, era.boot) for era in ages.changed() or ()] == [
        (SECOND, "second"),
        (NOW, "third"),
    ]


def test_what_is_in_memory_keeps_its_age_when_a_damaged_file_was_replaced(
    ages: AgeClock, clock: FakeClock
) -> None:
    moment = ages.now
    clock.go(12.0)
    ages.load([], set())
    assert ages.now[0] == NOW
    assert ages.age(*moment) == 12.0
    assert [era.number for era in ages.changed() or ()] == [NOW]


def test_no_boot_of_a_new_file_is_taken_for_what_an_older_version_stored(
    clock: FakeClock,
) -> None:
    ages = AgeClock(clock)
    ages.load([], set())
    assert ages.now[0] > UNKNOWN
    written = ages.changed()
    assert written is not None
    clock.reboot()
    after = AgeClock(clock)
    after.load(written, {written[0].number})
    assert after.now[0] > written[0].number > UNKNOWN


def test_a_boot_goes_on_where_the_agent_starts_again(clock: FakeClock) -> None:
    ages = AgeClock(clock)
    ages.load([Era(FIRST, "third", None, 7.0)], set())
    assert ages.now == (FIRST, 30.0)
    assert [era.number for era in ages.changed() or ()] == [FIRST]


def test_it_is_written_down_again_until_it_is_on_disk_and_then_once_a_minute(
    ages: AgeClock, clock: FakeClock
) -> None:
    for _ in range(2):
        clock.go(1.0)
        found = ages.changed()
        assert found is not None
        assert (found[-1].last, found[-1].offset) == (clock.passed, clock.now - clock.passed)
    ages.written()
    clock.go(59.0)
    assert ages.changed() is None
    clock.go(2.0)
    assert ages.changed() is not None
    # The disk did not take it.
    assert ages.changed() is not None


def test_a_clock_that_is_set_is_written_down_at_once_and_one_that_drifts_is_not(
    ages: AgeClock, clock: FakeClock
) -> None:
    assert ages.changed()
    ages.written()
    clock.now += 0.9
    assert ages.changed() is None
    clock.now -= 2.0
    found = ages.changed()
    assert found is not None
    assert found[-1].offset == clock.now - clock.passed
    ages.written()
    clock.now, clock.synchronised = 100.0, False
    assert ages.changed() is None
    clock.go(61.0)
    # What is not to be believed does not take the place of what was.
    assert (ages.changed() or found)[-1].offset == pytest.approx(found[-1].offset)
    assert found[-1].offset > BUILT


def test_a_clock_that_comes_late_is_written_down_at_once(clock: FakeClock) -> None:
    clock.synchronised = False
    ages = AgeClock(clock)
    ages.load([], set())
    written = ages.changed()
    assert written is not None
    assert written[-1].offset is None
    ages.written()
    clock.go(1.0)
    assert ages.changed() is None
    clock.synchronised = True
    assert ages.changed() is not None
