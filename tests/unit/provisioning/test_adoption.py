"""What is done with a certificate that the device has already: its dates, its place in the store, its refusals."""

import dataclasses
from pathlib import Path

import pytest

from fleet_agent.clock import BUILT
from fleet_agent.credentials.model import HardwareKey, HardwareToken, KeyPair, Secret
from fleet_agent.credentials.store import Store
from fleet_agent.credentials.validity import Validity
from fleet_agent.errors import (
    CONNECT_CLOSED,
    CONNECT_UNANSWERED,
    AgentError,
    DeviceError,
    RefusedError,
    UnreachableError,
)
from fleet_agent.provisioning.adoption import REGISTERING_LIMIT, Adoption
from fleet_agent.provisioning.clockwatch import ClockWatch
from fleet_agent.provisioning.machine import SPREADING_LIMIT
from fleet_agent.provisioning.model import Given, Plan, Step
from fleet_agent.provisioning.report import Milestone
from support.clock import FakeClock
from support.needs import Steps, needs
from support.provisioning import plan_to_adopt

NOW = BUILT + 86_400.0


class Bench:
    def __init__(self, folder: Path, **given: object) -> None:
        plan = plan_to_adopt()
        assert plan.given is not None
        changes: dict[str, object] = {
            "dates": Validity(not_before=NOW - 10, not_after=NOW + 10),
            **given,
        }
        self.given: Given = dataclasses.replace(plan.given, **changes)  # type: ignore[arg-type]
        self.plan: Plan = dataclasses.replace(plan, given=self.given)
        self.clock = FakeClock(NOW)
        self.store = Store(folder, self.clock)
        self.report = Steps()
        self.watch = ClockWatch(self.clock)
        self.adoption = Adoption(
            self.given, needs(self.store, self.clock, self.report), self.watch
        )


@pytest.mark.parametrize("now", [NOW - 10, NOW, NOW + 10])
def test_a_certificate_is_valid_from_its_first_second_to_its_last(
    tmp_path: Path, now: float
) -> None:
    bench = Bench(tmp_path)
    bench.clock.now = now
    bench.adoption.check()


def test_one_that_begins_later_means_that_the_clock_is_wrong(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.clock.now = NOW - 11
    with pytest.raises(UnreachableError, match=r"right before .*, when the certificate in \S*pem"):
        bench.adoption.check()
    assert bench.watch.seconds_left() > 0


def test_one_that_has_ended_is_expired_unless_the_clock_is_in_doubt(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.clock.now = NOW + 11
    with pytest.raises(DeviceError, match=r"device\.pem\.crt expired") as caught:
        bench.adoption.check()
    assert caught.value.code == "certificate-expired"
    bench.clock.synchronised = False
    with pytest.raises(UnreachableError, match="by which a certificate is not valid") as waits:
        bench.adoption.check()
    assert waits.value.code == "clock"
    assert bench.watch.seconds_left() > 60


def test_it_is_stored_as_any_other_without_a_token(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    found = bench.store.open(bench.plan.attempt(NOW, ""))
    for step in (Step.KEY, Step.ISSUE, Step.REGISTER):
        found = bench.adoption.take(step, found)
    stored = bench.store.pending()
    assert stored == found
    assert stored.issued is not None
    assert (stored.issued.certificate_id, stored.issued.received) == ("c1", NOW)
    assert stored.issued.ownership_token is None
    assert stored.registration is not None
    assert (stored.registration.thing_name, stored.registration.device_configuration) == (
        "pump",
        {},
    )
    key = bench.store.key(found.number)
    assert isinstance(key, Secret)
    assert key.reveal() == "its key"
    assert bench.store.key_pair(found.number).certificate == "a certificate"
    assert bench.report.steps == [(Milestone.STORED, "0001"), (Milestone.ADOPTED, "pump")]
    with pytest.raises(AssertionError):
        bench.adoption.take(Step.PROVE, found)


def test_a_key_in_a_token_stays_there_and_there_may_be_no_thing(tmp_path: Path) -> None:
    token = HardwareToken(
        module="/usr/lib/softhsm/libsofthsm2.so",
        label="fleet",
        pin_file="/pin",
        state_dir="/state",
    )
    pair = dataclasses.replace(
        KeyPair(
            certificate="c", private_key=Secret(""), certificate_file="c", private_key_file="k"
        ),
        private_key=HardwareKey(token=token, label="device"),
    )
    bench = Bench(tmp_path, pair=pair, thing_name=None)
    found = bench.store.open(bench.plan.attempt(NOW, ""))
    found = bench.adoption.take(Step.KEY, found)
    assert found.has_key
    assert not (bench.store.folder(found.number) / "private.pem.key").exists()
    found = bench.adoption.take(Step.REGISTER, bench.adoption.take(Step.ISSUE, found))
    assert bench.report.steps[-1] == (Milestone.ADOPTED, "no thing")


def hung_up(code: str = CONNECT_UNANSWERED) -> AgentError:
    return RefusedError("It hangs up.", remedy="Look.", code=code)


@pytest.mark.parametrize(
    ("is_from_aws", "refused_for", "words"),
    [
        (False, REGISTERING_LIMIT - 1, "may still be registering"),
        (False, REGISTERING_LIMIT, "is unknown in the account"),
        (True, 0.0, "is unknown in the account"),
    ],
)
@pytest.mark.parametrize("code", [CONNECT_UNANSWERED, CONNECT_CLOSED])
def test_a_hang_up_is_no_verdict_while_a_ca_may_be_registering_it(
    tmp_path: Path, is_from_aws: bool, refused_for: float, words: str, code: str
) -> None:
    bench = Bench(tmp_path, is_from_aws=is_from_aws)
    assert bench.adoption.patience == (SPREADING_LIMIT if is_from_aws else REGISTERING_LIMIT)
    error = bench.adoption.explain(hung_up(code), refused_for)
    assert isinstance(error, RefusedError)
    assert words in error.title
    assert "certificate c1 (device.pem.crt)" in error.title
    assert "--certificate-id c1." in error.remedy
    assert error.code == CONNECT_UNANSWERED


def test_any_other_failure_is_what_it_is(tmp_path: Path) -> None:
    error = hung_up("not-allowed")
    assert Bench(tmp_path).adoption.explain(error, 0.0) is error
