import pytest

from fleet_cloud.errors import UsageError
from fleet_cloud.fleet.spread import LONGEST_SECONDS, duration, window_seconds


@pytest.mark.parametrize(
    ("fleet_size", "quota", "seconds"),
    [
        (1, 10, 0),
        (10, 10, 0),  # all of them fit into one second
        (11, 10, 2),
        (100, 10, 11),
        (10_000, 10, 1050),
        (10_000, 100, 105),
        (4, 0.5, 9),
    ],
)
def test_window_leaves_a_twentieth_of_room(fleet_size: int, quota: float, seconds: int) -> None:
    assert window_seconds(fleet_size, quota) == seconds


@pytest.mark.parametrize("fleet_size", [0, -1])
def test_no_fleet_is_refused(fleet_size: int) -> None:
    with pytest.raises(UsageError, match="--fleet-size"):
        window_seconds(fleet_size)


@pytest.mark.parametrize("quota", [0, -1, float("inf"), float("nan")])
def test_quota_that_is_no_rate_is_refused(quota: float) -> None:
    with pytest.raises(UsageError, match="--quota"):
        window_seconds(100, quota)


def test_window_longer_than_the_agent_takes_is_refused() -> None:
    most = int(LONGEST_SECONDS * 10 / 1.05)
    assert window_seconds(most) == LONGEST_SECONDS
    with pytest.raises(UsageError, match="longer than the 7d"):
        window_seconds(most + 1)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (59, "59s"), (1250, "20m50s"), (3600, "1h"), (90061, "1d1h1m1s")],
)
def test_duration_has_the_biggest_unit_first(seconds: int, text: str) -> None:
    assert duration(seconds) == text
