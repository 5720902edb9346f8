"""The soaks in small."""

import os
from pathlib import Path

import pytest

from soak.bursts import Bursts, Found, Target, at_mosquitto, of_fleet
from soak.soak import Soak
from support import mosquitto
from support.fleets import Fleet

pytestmark = pytest.mark.slow
needs_mosquitto = pytest.mark.skipif(
    not mosquitto.is_installed(), reason="needs Debian's mosquitto"
)


@needs_mosquitto
def test_nothing_acknowledged_is_lost_while_broker_and_agent_come_and_go(tmp_path: Path) -> None:
    soak = Soak(tmp_path, 20_000, 1, kills=2, restarts=2)
    try:
        found = soak.run()
    finally:
        soak.close()
    assert (found.missing, found.out_of_order, found.refused) == (0, 0, [])
    assert (found.kills, found.restarts) == (2, 2)
    assert found.duplicates < 20_000


def in_bursts(folder: Path, target: Target, commands: int, readings: int) -> Found:
    """A round of moments that the run's seed chooses."""
    seed = int(os.environ["CRASH_SEED"])
    run = Bursts(folder, target, commands=commands, readings=readings, seed=seed, disturbances=3)
    try:
        return run.run()
    finally:
        run.close()


@needs_mosquitto
def test_bursts_through_stops_and_cuts_lose_and_repeat_nothing(tmp_path: Path) -> None:
    with at_mosquitto(tmp_path) as target:
        found = in_bursts(tmp_path, target, 600, 10_000)
    assert found.is_good, found
    assert found.stops + found.cuts >= 3


@pytest.mark.thorough  # its broker sends again after 30 s only
def test_bursts_at_the_local_cloud_lose_and_repeat_nothing(fleet: Fleet, tmp_path: Path) -> None:
    found = in_bursts(tmp_path, of_fleet(fleet, tmp_path), 300, 2_000)
    assert found.is_good, found
