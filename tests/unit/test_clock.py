import math
from pathlib import Path

import pytest

from fleet_agent import clock
from fleet_agent.clock import BUILT, FAR, SystemClock, passed, uptime
from support.clock import FakeClock

IN_2038 = 2_150_000_000.0


@pytest.mark.parametrize("is_synchronised", [None, False, True])
def test_a_clock_before_this_release_is_wrong_whoever_vouches_for_it(
    is_synchronised: bool | None,
) -> None:
    assert clock.patience(0.0, is_synchronised) == math.inf
    assert clock.patience(BUILT - 1, is_synchronised) == math.inf


@pytest.mark.parametrize(
    ("now", "is_synchronised", "seconds"),
    [
        (BUILT, True, 0.0),
        (BUILT, None, 0.0),
        (BUILT, False, clock.UNVOUCHED_LIMIT),
        (IN_2038, True, 0.0),
        (IN_2038, None, clock.FAR_LIMIT),
        (IN_2038, False, clock.FAR_LIMIT),
    ],
)
def test_how_long_a_clock_is_waited_for(
    now: float, is_synchronised: bool | None, seconds: float
) -> None:
    assert clock.patience(now, is_synchronised) == seconds


def test_2038_is_far() -> None:
    assert BUILT + FAR < IN_2038


def test_what_the_time_service_leaves(tmp_path: Path) -> None:
    assert SystemClock(tmp_path / "none").is_synchronised() is None
    assert SystemClock(tmp_path).is_synchronised() is False
    (tmp_path / "synchronized").touch()
    assert SystemClock(tmp_path).is_synchronised() is True


def test_a_moment_in_words() -> None:
    assert clock.text(0.9) == "1970-01-01T00:00:00Z"
    assert clock.text(1_795_255_080) == "2026-11-21T09:58:00Z"


def test_a_moment_that_a_time_t_of_32_bits_does_not_hold() -> None:
    """gmtime refuses it there; certificates of AWS IoT end in 2049."""
    assert clock.text(2_524_607_999) == "2049-12-31T23:59:59Z"
    source = Path(clock.__file__).read_text()
    assert "gmtime(" not in source


def test_what_has_passed_is_not_what_somebody_sets_the_clock_to() -> None:
    clock = FakeClock()
    wall, since = clock.wall(), uptime(clock)
    clock.go(60)
    for step in (-1e7, 3e7):
        clock.now += step
        assert passed(wall, since, clock) == 60
    # An older version wrote the wall time alone.
    assert passed(wall, None, clock) == clock.wall() - wall


def test_over_a_boot_the_wall_clock_says_it_where_it_can_be_believed() -> None:
    clock = FakeClock()
    wall, since = clock.wall(), uptime(clock)
    clock.reboot()
    clock.go(10)
    clock.now += 600
    assert passed(wall, since, clock) == 610
    clock.now -= 5000
    assert passed(wall, since, clock) == 15
    clock.synchronised = False
    clock.now += 1e6
    assert passed(wall, since, clock) == 15
