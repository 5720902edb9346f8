"""Where a device's key comes from."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fleet_agent.credentials import keys
from fleet_agent.credentials.hardware_token import keys as hardware_keys
from fleet_agent.credentials.model import Csr, HardwareKey, HardwareToken, Registration, Secret
from fleet_agent.credentials.store import Store
from fleet_agent.provisioning.device_key import DeviceKey
from fleet_agent.provisioning.model import Plan
from support.clock import FakeClock
from support.provisioning import GIVEN_CSR, make_plan
from support.walks import issued, walk

TOKEN = HardwareToken(
    module="/usr/lib/softhsm/libsofthsm2.so", label="fleet", pin_file="/pin", state_dir="/state"
)
CSR = Csr(pem="made", hash="aa", public_key=b"")


class Calls:
    """Answers in place of the program that has cryptography."""

    def __init__(self) -> None:
        self.made: list[tuple[Any, ...]] = []

    def __call__(self, function: Callable[..., Any], /, *args: Any, **_: Any) -> Any:
        self.made.append((function, *args))
        answers = {keys.make_private_key: Secret("made here"), keys.make_csr: CSR}
        return answers[function]


class Bench:
    def __init__(self, folder: Path, plan: Plan) -> None:
        self.clock = FakeClock()
        self.store = Store(folder, self.clock)
        self.plan = plan
        self.calls = Calls()
        self.key = DeviceKey(plan, self.store, self.calls)

    def make(self) -> object:
        self.found = self.key.make(self.store.open(self.plan.attempt(0.0, "")))
        assert self.found.has_key
        return self.store.key(self.found.number)


def text(key: object) -> str:
    assert isinstance(key, Secret)
    return key.reveal()


def test_it_is_made_here_of_the_wanted_kind(tmp_path: Path) -> None:
    plan = dataclasses.replace(make_plan("csr"), key_type="rsa-2048")
    bench = Bench(tmp_path, plan)
    assert text(bench.make()) == "made here"
    assert bench.key.csr(bench.found) is CSR
    (made, kind), (asked, key) = bench.calls.made
    assert (made, kind, asked, text(key)) == (
        keys.make_private_key, "rsa-2048", keys.make_csr, "made here"
    )  # fmt: skip


def test_a_given_request_is_used_with_its_key(tmp_path: Path) -> None:
    bench = Bench(tmp_path, make_plan("csr", GIVEN_CSR, has_csr_key=True))
    assert text(bench.make()) == "its key"
    assert bench.key.csr(bench.found) is GIVEN_CSR
    assert bench.calls.made == []


def test_where_aws_makes_it_nothing_is_asked_with(tmp_path: Path) -> None:
    bench = Bench(tmp_path, make_plan("keys"))
    assert bench.key.csr(bench.store.open(bench.plan.attempt(0.0, ""))) is None


def test_an_identity_brought_back_keeps_its_key(tmp_path: Path) -> None:
    clock = FakeClock()
    before = walk(Store(tmp_path, clock), "a")
    bench = Bench(tmp_path, dataclasses.replace(make_plan("csr"), key_of=before.number))
    assert text(bench.make()) == "key a"
    assert bench.calls.made == []


@pytest.mark.parametrize("is_there", [True, False])
@pytest.mark.parametrize("is_replacement", [True, False])
def test_a_key_in_a_token_is_found_or_made_and_for_a_replacement_always_another(
    token: HardwareToken, tmp_path: Path, is_there: bool, is_replacement: bool
) -> None:
    """By this process: a module may show it no key that another one made."""
    plan = dataclasses.replace(make_plan("csr"), hardware_token=token, label="device")
    if is_replacement:
        walk(Store(tmp_path, FakeClock()), "a")
    label = "device-0002" if is_replacement else "device"
    wanted = HardwareKey(token=token, label=label, is_ours=not is_there)
    if is_there:
        hardware_keys.make(wanted, "ec-p256")
    bench = Bench(tmp_path, plan)
    try:
        key = bench.make()
        assert key == wanted
        assert hardware_keys.exists(wanted) is is_there
        assert bench.key.csr(bench.found) is CSR
        assert hardware_keys.exists(wanted)
        assert bench.calls.made == [(keys.make_csr, key)]
    finally:
        hardware_keys.destroy(wanted)


def test_a_key_in_a_token_is_brought_back_as_it_is(tmp_path: Path) -> None:
    store = Store(tmp_path, FakeClock())
    key = HardwareKey(token=TOKEN, label="device", is_ours=True)
    first = store.keep_key(store.open(make_plan("csr").attempt(0.0, "")), key)
    first = store.keep_certificate(first, issued("a"), "a certificate", None)
    answer = Registration(thing_name="pump", device_configuration={})
    store.promote(store.mark_proven(store.keep_registration(first, answer), "in a test"))
    plan, calls = dataclasses.replace(make_plan("csr"), key_of=first.number), Calls()
    found = DeviceKey(plan, store, calls).make(store.open(plan.attempt(0.0, "")))
    assert found.number != first.number
    assert found.has_key
    assert store.key(found.number) == key
    assert calls.made == []
