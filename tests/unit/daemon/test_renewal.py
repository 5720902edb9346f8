"""The daemon looks at the end of its certificate by itself."""

import datetime as dt
import itertools
from pathlib import Path

import pytest

from fleet_agent.config.provisioning import Provisioning
from fleet_agent.config.settings import Settings
from fleet_agent.credentials.store import Store
from fleet_agent.daemon.renewal import LOOK, Renewal
from fleet_agent.health import table
from fleet_agent.health.status import Health
from fleet_agent.identity import due
from support.certificates import make_certificate
from support.clock import DAY, FakeClock
from support.csr import make_key
from support.walks import current, walk

LIFE = DAY


class Bench:
    """A device with a certificate of one day."""

    def __init__(self, folder: Path, *, is_equipped: bool = True) -> None:
        self.clock = FakeClock()
        self.store = Store(folder / "state", self.clock)
        walk(self.store, "a")
        self.health = Health(folder / "run", self.clock)
        self.asked = 0
        self.is_connected = True
        provisioning = Provisioning(template="fleet") if is_equipped else None
        self.renewal = Renewal(
            settings=Settings(endpoint="a.example", provisioning=provisioning),
            store=self.store,
            ask=self._ask,
            clock=self.clock,
            health=self.health,
            jitter=lambda: 0.5,
        )
        self.certificate = self.valid_for(LIFE)

    def valid_for(self, life: float) -> str:
        begin = dt.datetime.fromtimestamp(self.clock.now, dt.UTC)
        end = begin + dt.timedelta(seconds=life)
        return make_certificate(make_key(), valid_from=begin, valid_to=end)

    def _ask(self) -> None:
        self.asked += 1

    def serve(self) -> None:
        self.renewal.serve(current(self.store), self.certificate, lambda: self.is_connected)

    def live(self, seconds: float) -> None:
        """Lets time pass, with every deadline met on the way."""
        end = self.clock.passed + seconds
        while self.clock.passed < end:
            self.clock.go(max(1.0, min(end, self.renewal.due) - self.clock.passed))
            if self.renewal.due <= self.clock.passed:
                self.renewal.act()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_asked_once_in_its_last_third_and_this_device_a_little_later(bench: Bench) -> None:
    bench.serve()
    bench.live(0.67 * LIFE)
    assert bench.asked == 0
    bench.live(0.33 * LIFE * 0.1 * 0.5 + LOOK)
    assert bench.asked == 1
    bench.live(LOOK)
    assert bench.asked == 1, "the answer is still to come"


def test_asked_again_more_often_while_it_fails(bench: Bench) -> None:
    bench.serve()
    bench.live(0.75 * LIFE)
    asked: list[float] = []
    while bench.clock.now < 1.8e9 + LIFE - 1800:
        bench.renewal.act()
        if bench.asked > len(asked):
            asked.append(bench.clock.passed)
            bench.serve()  # the rotation failed: the same is in service again
        bench.live(max(1.0, bench.renewal.due - bench.clock.passed))
    gaps = [later - before for before, later in itertools.pairwise(asked)]
    assert len(asked) > 10
    assert gaps[-1] < gaps[0] / 5


def test_a_new_certificate_begins_again(bench: Bench) -> None:
    bench.serve()
    bench.live(0.8 * LIFE)
    assert bench.asked == 1
    walk(bench.store, "b")
    bench.certificate = bench.valid_for(LIFE)
    bench.serve()
    bench.live(0.6 * LIFE)
    assert bench.asked == 1


def test_without_a_connection_it_waits_for_one(bench: Bench) -> None:
    bench.is_connected = False
    bench.serve()
    bench.live(0.9 * LIFE)
    assert bench.asked == 0
    bench.is_connected = True
    bench.live(120)
    assert bench.asked == 1


def test_a_clock_that_was_set_is_seen_within_the_hour(bench: Bench) -> None:
    bench.serve()
    bench.clock.now += 0.9 * LIFE
    bench.live(LOOK)
    assert bench.asked == 1


def test_one_that_was_begun_goes_on_soon(bench: Bench) -> None:
    walk(bench.store, "b", "certificate")
    bench.serve()
    bench.live(due.BEGUN + 2)
    assert bench.asked == 1


def test_where_nothing_can_replace_it_that_is_a_problem_in_time(tmp_path: Path) -> None:
    bench = Bench(tmp_path, is_equipped=False)
    bench.serve()
    bench.live(0.6 * LIFE)
    assert not bench.health.has(table.CERTIFICATE_EXPIRES)
    bench.live(0.2 * LIFE)
    assert bench.health.has(table.CERTIFICATE_EXPIRES)
    assert bench.asked == 0


def test_dates_that_cannot_be_read_ask_for_nothing(bench: Bench) -> None:
    bench.certificate = "no certificate"
    bench.serve()
    bench.live(2 * LIFE)
    assert bench.asked == 0
