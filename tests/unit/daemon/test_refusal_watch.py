"""Refusals of an identity, counted over hours in a moment: what is dead, what is not, and when it is asked again."""

import dataclasses
import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from fleet_agent.config.identity import Identity
from fleet_agent.config.provisioning import Claim, Provisioning
from fleet_agent.config.settings import Settings
from fleet_agent.credentials.model import KeyPair, Secret
from fleet_agent.credentials.store import Store
from fleet_agent.daemon.refusal_watch import RecoverRequested, RefusalWatch
from fleet_agent.errors import AgentError, RefusedError, UnreachableError
from fleet_agent.health import table
from fleet_agent.health.status import Health
from fleet_agent.identity import ladder, recovery_state
from fleet_agent.identity.ladder import Rung
from fleet_agent.process.mailbox import Mailbox
from fleet_agent.session.events import ConnectFailed
from fleet_agent.session.mqtt import Session
from fleet_agent.session.route import Route
from support.certificates import FAR_AWAY, LONG_AGO, YESTERDAY, make_certificate
from support.clock import HOUR, FakeClock
from support.csr import make_key
from support.tls import free_port
from support.walks import ATTEMPT, current, walk

REFUSAL = RefusedError("It refuses.", remedy="Look.", code="not-allowed")
SILENCE = UnreachableError("No way there.", remedy="Look.", code="endpoint-unreachable")


class Bench:
    def __init__(self, folder: Path, *, claim: bool = True, expired: bool = False) -> None:
        self.clock = FakeClock(1_800_000_000.0)
        self.mailbox = Mailbox(self.clock)
        self.state_dir = folder / "state"
        self.claim = folder / "claim.pem"
        if claim:
            self.claim.write_text("-----BEGIN …")
        self.settings = Settings(
            endpoint="localhost",
            state_dir=str(self.state_dir),
            identity=Identity(dead_after=HOUR),
            claim=Claim(certificate=str(self.claim), private_key=str(self.claim)),
            provisioning=Provisioning(template="fleet"),
        )
        self.state_dir.mkdir()
        self.store = Store(self.state_dir, self.clock)
        walk(self.store, "a")
        ends = YESTERDAY if expired else FAR_AWAY
        pem = make_certificate(make_key(), valid_from=LONG_AGO, valid_to=ends)
        pair = KeyPair(
            certificate=pem, private_key=Secret(""), certificate_file="", private_key_file=""
        )
        route = Route(host="localhost", port=free_port(), ca_file=None, proxy=None)
        self.session = cast(
            "Session", SimpleNamespace(pair=pair, route=route, client_id="thing-a")
        )
        self.health = Health(folder / "run", self.clock)
        self.start()

    def start(self) -> None:
        self.watch = RefusalWatch(
            self.settings,
            self.store,
            current(self.store),
            self.session,
            self.mailbox,
            self.health,
        )

    def fail(self, code: int | None = 135, error: AgentError = REFUSAL) -> None:
        self.watch.failed(ConnectFailed(session=None, reason_code=code, error="X"), error)

    def refuse_for(self, seconds: float, every: float = 300.0) -> None:
        for _ in range(round(seconds / every)):
            self.fail()
            self.go(every)

    def go(self, seconds: float) -> None:
        """Lets time pass, and what is due happen at its time."""
        until = self.clock.passed + seconds
        while self.watch.due <= until:
            self.clock.go(max(0.0, self.watch.due - self.clock.passed))
            self.watch.act()
        self.clock.go(until - self.clock.passed)

    def asked(self) -> bool:
        return isinstance(self.mailbox.wait(-math.inf), RecoverRequested)

    def rung(self) -> Rung:
        return recovery_state.read(self.state_dir).rung

    def keep(self, **changes: Any) -> None:
        known = dataclasses.replace(recovery_state.read(self.state_dir), **changes)
        recovery_state.write(self.state_dir, known)
        self.start()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_dead_after_an_hour_of_refusals_and_not_before(bench: Bench) -> None:
    bench.refuse_for(HOUR - 300)
    assert not bench.asked()
    assert bench.rung() is Rung.REFUSED
    bench.refuse_for(600)
    assert bench.asked()
    assert bench.rung() is Rung.DEAD
    assert bench.health.has(table.IDENTITY_DEAD)


def test_what_is_no_refusal_counts_not_at_all(bench: Bench) -> None:
    for _ in range(100):
        bench.fail(137)
        bench.fail(None, SILENCE)
        bench.go(300)
    assert not bench.asked()
    assert not (bench.state_dir / recovery_state.FILE).exists()


def test_time_offline_between_two_refusals_counts_ten_minutes(bench: Bench) -> None:
    bench.fail()
    bench.fail(None, SILENCE)
    bench.go(30 * 86400)
    bench.fail()
    assert not bench.asked()
    bench.refuse_for(HOUR - 900)
    assert not bench.asked()
    bench.refuse_for(900)
    assert bench.asked()


def test_hang_up_is_no_verdict_where_the_endpoint_is_not_reached(bench: Bench) -> None:
    hang_up = RefusedError("hangs up", remedy="", code="connect-unanswered")
    for _ in range(20):
        bench.fail(None, hang_up)
        bench.go(300)
    assert not bench.asked()


def test_connection_forgets_refusals(bench: Bench) -> None:
    bench.refuse_for(HOUR - 300)
    bench.watch.connected()
    assert bench.rung() is Rung.IN_SERVICE
    bench.refuse_for(HOUR - 300)
    assert not bench.asked()


@pytest.mark.parametrize("reboots", [False, True])
def test_restart_goes_on_and_the_clock_s_steps_change_nothing(bench: Bench, reboots: bool) -> None:
    bench.refuse_for(HOUR / 2)
    bench.clock.now += 40 * 86400
    if reboots:
        bench.clock.reboot()
    bench.start()
    bench.refuse_for(HOUR / 2 - 900)
    assert not bench.asked()
    bench.refuse_for(900)
    assert bench.asked()


def test_restarts_in_between_count_the_time_there_was(bench: Bench) -> None:
    for _ in range(40):
        bench.fail()
        bench.go(120)
        bench.start()
    bench.fail()
    bench.go(0)
    assert bench.asked()


def test_clock_that_cannot_be_believed_is_waited_for(bench: Bench) -> None:
    bench.clock.now = 100.0
    bench.start()
    bench.refuse_for(2 * HOUR)
    assert not bench.asked()
    bench.clock.now = 1_800_000_000.0
    bench.refuse_for(300)
    assert bench.asked()


def test_expired_certificate_is_dead_with_the_first_refusal(tmp_path: Path) -> None:
    bench = Bench(tmp_path, expired=True)
    bench.fail()
    bench.go(0)
    assert bench.asked()
    assert "expired" in bench.health.problems[0].title


def test_clock_nobody_vouches_for_makes_no_certificate_expired(tmp_path: Path) -> None:
    bench = Bench(tmp_path, expired=True)
    bench.clock.synchronised = False
    bench.fail()
    bench.go(30)
    assert not bench.asked()


def test_fleet_that_died_together_is_spread(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    provisioning = Provisioning(template="fleet", spread=10 * HOUR)
    bench.settings = dataclasses.replace(bench.settings, provisioning=provisioning)
    bench.start()
    bench.fail()
    bench.keep(delay=4 * HOUR)
    bench.refuse_for(5 * HOUR - 600)
    assert not bench.asked()
    bench.refuse_for(900)
    assert bench.asked()


def test_without_a_claim_it_stays_dead_until_one_is_there(tmp_path: Path) -> None:
    bench = Bench(tmp_path, claim=False)
    bench.refuse_for(HOUR + 300)
    assert not bench.asked()
    assert bench.rung() is Rung.DEAD
    bench.claim.write_text("-----BEGIN …")
    bench.refuse_for(300)
    assert bench.asked()


def test_next_try_comes_at_its_time(bench: Bench) -> None:
    bench.refuse_for(HOUR + 300)
    assert bench.asked()
    now = recovery_state.stamp(bench.clock)
    bench.keep(rung=Rung.APPROVAL, tries=3, tried=now, wait=900.0)
    bench.refuse_for(600)
    assert not bench.asked()
    assert json.loads((bench.state_dir.parent / "run" / "status.json").read_text())["doing"] == (
        "waiting for approval"
    )
    bench.refuse_for(600)
    assert bench.asked()


def test_certificate_is_asked_for_once_a_day(bench: Bench) -> None:
    bench.refuse_for(HOUR + 300)
    assert bench.asked()
    bench.keep(rung=Rung.WAITING, asked=recovery_state.stamp(bench.clock))
    bench.refuse_for(ladder.CERTIFICATE_EVERY - 600)
    assert not bench.asked()
    assert bench.rung() is Rung.WAITING
    bench.refuse_for(900)
    assert bench.asked()


def test_attempt_that_has_its_certificate_costs_none(bench: Bench) -> None:
    walk(bench.store, "b", "certificate", attempt=dataclasses.replace(ATTEMPT, key_of=1))
    bench.refuse_for(HOUR + 300)
    assert bench.asked()
    bench.keep(rung=Rung.APPROVAL, asked=recovery_state.stamp(bench.clock))
    bench.refuse_for(300)
    assert bench.asked()


def test_identity_that_works_again_gives_the_attempt_up(bench: Bench) -> None:
    walk(bench.store, "b", "registered", attempt=dataclasses.replace(ATTEMPT, key_of=1))
    bench.refuse_for(HOUR + 300)
    bench.watch.connected()
    assert bench.store.pending() is None
    assert bench.store.ledger.latest()["c-b"] == "dropped"
    assert not bench.health.problems
    assert bench.rung() is Rung.IN_SERVICE


def test_rotation_under_way_stays_when_nothing_was_refused(bench: Bench) -> None:
    walk(bench.store, "b", "registered")
    bench.watch.connected()
    assert bench.store.pending() is not None
