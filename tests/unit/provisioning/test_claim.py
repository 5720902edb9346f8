"""The claim before it is used: its dates, its key, and the one session under it."""

import datetime as dt
from pathlib import Path
from typing import Any, cast

import pytest

from fleet_agent.clock import BUILT
from fleet_agent.credentials.model import KeyPair, Secret
from fleet_agent.credentials.store import Store
from fleet_agent.errors import AgentError, DeviceError, UnreachableError
from fleet_agent.provisioning.claim import ClaimSession
from fleet_agent.provisioning.clockwatch import ClockWatch
from fleet_agent.provisioning.report import Milestone
from support.certificates import make_certificate
from support.clock import FakeClock
from support.csr import key_pem, make_key
from support.needs import Steps, needs

NOW = BUILT + 86_400.0
KEY = make_key()


def claim(key: Any = KEY) -> KeyPair:
    def moment(seconds: float) -> dt.datetime:
        return dt.datetime.fromtimestamp(NOW + seconds, dt.UTC)

    return KeyPair(
        certificate=make_certificate(KEY, valid_from=moment(-10), valid_to=moment(10)),
        private_key=Secret(key_pem(key).decode()),
        certificate_file="claim.crt",
        private_key_file="claim.key",
    )


class Api:
    """A session that is open when it is waited for."""

    is_open = False
    is_closed = False
    waited = 0
    fails: AgentError | None = None

    def start(self) -> None:
        if self.fails is not None:
            raise self.fails

    def wait_open(self) -> None:
        if self.fails is not None:
            raise self.fails
        self.waited += 1
        self.is_open = True

    def close(self) -> None:
        self.is_closed = True


class Bench:
    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock(NOW)
        self.report = Steps()
        self.api = Api()
        self.pair = claim()
        self.made_with: list[KeyPair] = []
        store = Store(folder, self.clock)
        given = needs(
            store, self.clock, self.report, read_pair=lambda: self.pair, make_api=self.make
        )
        self.watch = ClockWatch(self.clock)
        self.session = ClaimSession("a.example", given, self.watch)

    def make(self, pair: KeyPair) -> Api:
        self.made_with.append(pair)
        return self.api

    def fails(self, kind: type[AgentError]) -> AgentError:
        with pytest.raises(kind) as caught:
            self.session.begin()
        assert caught.value.step == Milestone.CLAIM_SESSION
        return caught.value


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.mark.parametrize("seconds", [-10, 0, 10])
def test_it_is_good_from_its_first_second_to_its_last(bench: Bench, seconds: int) -> None:
    bench.clock.now += seconds
    assert bench.session.begin() is cast("Any", bench.api)
    assert bench.made_with == [bench.pair]
    bench.session.use()
    bench.session.use()
    assert bench.api.waited == 1
    assert bench.report.steps == [(Milestone.CLAIM_SESSION, "a.example")]
    bench.session.close()
    assert bench.api.is_closed
    assert bench.session.api is None
    bench.session.use()
    bench.session.close()


def test_one_of_tomorrow_means_that_the_clock_is_wrong(bench: Bench) -> None:
    bench.clock.now -= 11
    title = bench.fails(UnreachableError).title
    assert "cannot be right before" in title
    assert f", when the certificate in {claim().certificate_file} becomes valid" in title
    assert bench.made_with == []
    assert bench.watch.seconds_left() > 0


def test_one_of_yesterday_is_expired_unless_the_clock_is_in_doubt(bench: Bench) -> None:
    bench.clock.now += 11
    error = bench.fails(DeviceError)
    assert error.code == "claim-expired"
    assert "claim.crt expired" in error.title
    bench.clock.synchronised = False
    assert "by which a certificate is not valid" in bench.fails(UnreachableError).title
    assert bench.watch.seconds_left() > 60
    assert bench.made_with == []


def test_anothers_key_is_found_while_the_handshake_goes_on(bench: Bench) -> None:
    bench.pair = claim(make_key())
    assert "claim.key" in bench.fails(DeviceError).title
    assert bench.made_with == [bench.pair]


def test_a_session_that_does_not_open_is_named(bench: Bench) -> None:
    bench.session.begin()
    bench.api.fails = UnreachableError("No.", remedy="Wait.", code="connect-failed")
    with pytest.raises(UnreachableError) as caught:
        bench.session.use()
    assert caught.value.step == Milestone.CLAIM_SESSION
    assert bench.report.steps == []
