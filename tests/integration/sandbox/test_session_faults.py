"""Faults of connecting, subscribing and publishing, and policies that spread slowly."""

import time
from pathlib import Path

import pytest

from iot_sandbox.client import FaultClient
from iot_sandbox.launch import Sandbox
from support.claimant import CREATE_KEYS, Claimant, Provisioned
from support.fleets import Fleet
from support.mqtt import ConnectRefusedError, Identity, connected

NOT_AUTHORIZED = 135
QUOTA_EXCEEDED = 151


def refusal(sandbox: Sandbox, identity: Identity, client_id: str) -> int | None:
    """Gives the reason code a connect is refused with, None where there is no CONNACK."""
    with (
        pytest.raises(ConnectRefusedError) as refused,
        connected(sandbox, identity, client_id),
    ):
        pass
    return refused.value.reason_code


@pytest.fixture
def thing(claimant: Claimant, tmp_path: Path) -> Provisioned:
    return claimant.provision(tmp_path)


def reading(thing: Provisioned) -> str:
    return f"dt/{thing.thing_name}/test"


@pytest.mark.parametrize("code", [NOT_AUTHORIZED, QUOTA_EXCEEDED])
def test_a_connect_can_be_refused_with_any_reason_code(
    fleet: Fleet, faults: FaultClient, code: int
) -> None:
    faults.add("connect", "reject", reason_code=code)
    refused = refusal(fleet.sandbox, fleet.claim, "claim-refused")
    assert refused == code
    assert faults.calls()["calls"][-1]["code"] == code
    with connected(fleet.sandbox, fleet.claim, "claim-refused"):
        pass


@pytest.mark.parametrize("kind", ["close-before", "close-after"])
def test_a_connection_can_be_closed_at_its_connect(
    fleet: Fleet, faults: FaultClient, kind: str
) -> None:
    faults.add("connect", kind)
    if kind == "close-before":
        refused = refusal(fleet.sandbox, fleet.claim, "claim-closed")
        assert refused is None
    else:
        with connected(fleet.sandbox, fleet.claim, "claim-closed") as device:
            assert device.lost.wait(5)


def test_a_connack_can_be_late(fleet: Fleet, faults: FaultClient) -> None:
    faults.add("connect", "delay", seconds=0.5)
    began = time.monotonic()
    with connected(fleet.sandbox, fleet.claim, "claim-late"):
        assert time.monotonic() - began >= 0.5


def test_a_subscribe_can_be_refused(claimant: Claimant, faults: FaultClient) -> None:
    filters = [f"{CREATE_KEYS}/accepted", f"{CREATE_KEYS}/rejected"]
    faults.add("subscribe", "reject")
    assert claimant.device.subscribe(*filters) == [NOT_AUTHORIZED, NOT_AUTHORIZED]
    assert claimant.device.subscribe(*filters) == [1, 1]
    assert not claimant.device.lost.is_set()


def test_a_subscribe_fault_may_concern_one_topic_filter(
    claimant: Claimant, faults: FaultClient
) -> None:
    faults.add("subscribe", "reject", topic="$aws/certificates/create/*")
    assert claimant.device.subscribe(f"{claimant.register_topic}/accepted") == [1]
    assert claimant.device.subscribe(f"{CREATE_KEYS}/accepted") == [NOT_AUTHORIZED]


def test_a_publish_can_be_refused_and_the_connection_stays(
    thing: Provisioned, fleet: Fleet, faults: FaultClient
) -> None:
    with connected(fleet.sandbox, thing, thing.thing_name) as device:
        faults.add("publish", "reject", reason_code=QUOTA_EXCEEDED)
        assert device.publish(reading(thing), {}) == QUOTA_EXCEEDED
        assert device.publish(reading(thing), {}) == 0
    assert faults.calls()["operations"]["publish"]["rejected"] == 1


@pytest.mark.parametrize("kind", ["close-before", "lose-answer"])
def test_a_publish_can_stay_without_its_puback(
    thing: Provisioned, fleet: Fleet, faults: FaultClient, kind: str
) -> None:
    with connected(fleet.sandbox, thing, thing.thing_name) as device:
        faults.add("publish", kind)
        sent = device.publish_later(reading(thing), {})
        with pytest.raises(TimeoutError):
            sent.result(0.5)
        assert device.lost.is_set() == (kind == "close-before")
    expected = "closed" if kind == "close-before" else "accepted"
    assert faults.calls()["calls"][-1]["outcome"] == expected


def test_provisioning_requests_are_no_publishes_unless_their_topic_is_named(
    claimant: Claimant, faults: FaultClient
) -> None:
    faults.add("publish", "reject", calls="every")
    assert claimant.create_keys()[0] == "accepted"
    faults.add("publish", "close-before", topic="$aws/certificates/*")
    claimant.device.publish_later(CREATE_KEYS, {})
    assert claimant.device.lost.wait(5)
    assert len(faults.certificates()) == 1


def test_a_policy_that_spreads_refuses_a_new_certificate_for_a_while(
    claimant: Claimant, faults: FaultClient, tmp_path: Path
) -> None:
    faults.add("connect", "policy-spread", seconds=1.5)
    thing = claimant.provision(tmp_path)
    sandbox = claimant.fleet.sandbox
    refused = refusal(sandbox, thing, thing.thing_name)
    assert refused == NOT_AUTHORIZED
    with connected(sandbox, claimant.fleet.claim, "claim-not-new"):
        pass  # the claim is not new
    time.sleep(1.5)
    with connected(sandbox, thing, thing.thing_name):
        pass


def test_a_policy_may_spread_to_connecting_before_it_does_to_topics(
    claimant: Claimant, faults: FaultClient, tmp_path: Path
) -> None:
    faults.add("publish", "policy-spread", seconds=1.5)
    faults.add("subscribe", "policy-spread", seconds=1.5)
    thing = claimant.provision(tmp_path)
    commands = f"cmd/{thing.thing_name}/#"
    with connected(claimant.fleet.sandbox, thing, thing.thing_name) as device:
        assert device.publish(reading(thing), {}) == NOT_AUTHORIZED
        assert device.subscribe(commands) == [NOT_AUTHORIZED]
        time.sleep(1.5)
        assert device.publish(reading(thing), {}) == 0
        assert device.subscribe(commands) == [1]


def test_the_record_tells_clients_topics_and_certificates(
    sandbox: Sandbox, claimant: Claimant, faults: FaultClient, tmp_path: Path
) -> None:
    thing = claimant.provision(tmp_path)
    with connected(sandbox, thing, thing.thing_name) as device:
        device.publish(reading(thing), {})
    calls = {call["operation"]: call for call in faults.calls()["calls"]}
    assert calls["create-from-csr"]["certificates"] == [thing.certificate_id]
    assert calls["register-thing"]["thing_name"] == thing.thing_name
    assert calls["register-thing"]["connection_certificate"] == claimant.fleet.claim.certificate_id
    assert calls["connect"]["client_id"] == thing.thing_name
    assert calls["connect"]["connection_certificate"] == thing.certificate_id
    last = [c for c in faults.calls()["calls"] if c["topics"] == [reading(thing)]]
    assert [call["outcome"] for call in last] == ["accepted"]


def test_a_certificate_that_is_not_active_counts_as_a_rejected_connect(
    claimant: Claimant, faults: FaultClient, tmp_path: Path
) -> None:
    thing = claimant.provision(tmp_path)
    claimant.fleet.iot.update_certificate(certificateId=thing.certificate_id, newStatus="INACTIVE")
    faults.clear_calls()
    refused = refusal(claimant.fleet.sandbox, thing, thing.thing_name)
    assert refused is None
    call = faults.calls()["calls"][-1]
    assert (call["outcome"], call["connection_certificate"]) == ("rejected", thing.certificate_id)
