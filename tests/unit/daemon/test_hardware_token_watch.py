"""The watch over a hardware token that may be pulled out and plugged in again."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet_agent.credentials.hardware_token import keys
from fleet_agent.credentials.model import HardwareKey, HardwareToken, Secret
from fleet_agent.daemon.endings import Ending
from fleet_agent.daemon.hardware_token_watch import HardwareTokenWatch
from fleet_agent.process.log import Moment
from support.clock import FakeClock


@pytest.fixture
def key(token: HardwareToken) -> Iterator[HardwareKey]:
    made = HardwareKey(token=token, label="watched", is_ours=True)
    keys.make(made, "ec-p256")
    yield made
    keys.destroy(made)


class Watched:
    """A watch, and whether connections fail."""

    def __init__(self, key: HardwareKey) -> None:
        self.clock = FakeClock()
        self.is_offline = True
        self.watch = HardwareTokenWatch(key, lambda: self.is_offline, self.clock)

    def look(self, later: float = 20.0) -> Ending | None:
        self.clock.go(later)
        return self.watch.act()


def milestones(caplog: pytest.LogCaptureFixture) -> list[str]:
    value = Moment.HARDWARE_TOKEN_BACK.value
    return [
        line.getMessage()
        for line in caplog.records
        if vars(line).get("journal", {}).get("MESSAGE_ID") == value
    ]


def test_one_that_is_back_is_said_to_be(
    key: HardwareKey, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "fleet_agent")
    watched = Watched(key)
    assert watched.look() is None
    pin = Path(key.token.pin_file)
    away = pin.rename(pin.with_suffix(".away"))
    assert watched.look() is None
    assert milestones(caplog) == []
    away.rename(pin)
    assert watched.look() is Ending.RESTART
    assert milestones(caplog) == ["the hardware token is back"]


def test_after_an_hour_it_may_have_been_away_unseen(
    key: HardwareKey, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "fleet_agent")
    watched = Watched(key)
    assert watched.look() is None
    assert watched.look(3599) is None
    # A connection that stood makes it another hour.
    watched.is_offline = False
    assert watched.look(1) is None
    watched.is_offline = True
    assert watched.look() is None
    assert watched.look(3599) is None
    assert watched.look(1) is Ending.RESTART
    assert milestones(caplog) == [
        "the hardware token answers, but may have been unplugged meanwhile"
    ]


def test_a_key_in_a_file_is_not_looked_after() -> None:
    watch = HardwareTokenWatch(Secret("k"), lambda: True, FakeClock())
    assert watch.due == float("inf")
