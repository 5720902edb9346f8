"""Faults of the three provisioning operations, each as the device sees it and as the record tells it."""

import queue
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from iot_sandbox.client import FaultClient
from iot_sandbox.launch import Sandbox
from support.aws import aws_client
from support.claimant import CREATE_FROM_CSR, CREATE_KEYS, Claimant
from support.csr import is_key_of, make_csr, make_key
from support.fleets import Fleet

Ask = tuple[str, Any]


def create(claimant: Claimant, operation: str) -> Ask:
    if operation == "create-keys":
        return claimant.create_keys()
    return claimant.create_from_csr(claimant.new_csr())


def token(claimant: Claimant) -> str:
    return str(claimant.create_from_csr(claimant.new_csr())[1]["certificateOwnershipToken"])


def outcome(faults: FaultClient, operation: str) -> dict[str, int]:
    counts: dict[str, int] = faults.calls()["operations"][operation]
    return counts


@pytest.mark.parametrize("operation", ["create-keys", "create-from-csr"])
def test_reject_answers_as_told_and_makes_no_certificate(
    claimant: Claimant, faults: FaultClient, operation: str
) -> None:
    faults.add(
        operation, "reject", status_code=418, error_code="Teapot", message="short and stout"
    )
    reported = {"statusCode": 418, "errorCode": "Teapot", "errorMessage": "short and stout"}
    assert create(claimant, operation) == ("rejected", reported)
    assert faults.certificates() == []
    assert create(claimant, operation)[0] == "accepted"
    assert outcome(faults, operation) == {
        "requests": 2, "accepted": 1, "rejected": 1, "closed": 0,
    }  # fmt: skip


def test_reject_can_leave_out_what_is_null(claimant: Claimant, faults: FaultClient) -> None:
    faults.add("create-keys", "reject", status_code=None, error_code=None, message="only this")
    assert claimant.create_keys() == ("rejected", {"errorMessage": "only this"})


def test_reject_of_register_thing_registers_nothing(
    claimant: Claimant, faults: FaultClient, fleet: Fleet
) -> None:
    before, mine = fleet.things(), token(claimant)
    faults.add("register-thing", "reject", status_code=403)
    assert claimant.register(mine)[1]["statusCode"] == 403
    assert fleet.things() == before
    assert claimant.register(mine)[0] == "accepted"


def test_a_fault_acts_on_the_calls_it_names_counted_from_when_it_was_set(
    claimant: Claimant, faults: FaultClient
) -> None:
    claimant.create_keys()
    faults.add("create-keys", "reject", calls=[2, 3])
    answers = [claimant.create_keys()[0] for _ in range(4)]
    assert answers == ["accepted", "rejected", "rejected", "accepted"]
    assert faults.listed()[0]["seen"] == 4
    assert faults.listed()[0]["hits"] == 2


def test_a_fault_may_act_on_every_call_until_taken_back(
    claimant: Claimant, faults: FaultClient
) -> None:
    number = faults.add("create-keys", "reject", calls="every")
    assert [claimant.create_keys()[0] for _ in range(2)] == ["rejected", "rejected"]
    faults.remove(number)
    assert claimant.create_keys()[0] == "accepted"


def test_a_fault_may_concern_some_clients_only(claimant: Claimant, faults: FaultClient) -> None:
    faults.add("create-keys", "reject", calls="every", client_id="somebody-else-*")
    assert claimant.create_keys()[0] == "accepted"
    faults.add("create-keys", "reject", calls="every", client_id="claim-*")
    assert claimant.create_keys()[0] == "rejected"


def test_a_delayed_answer_is_applied_at_once_and_may_meet_the_next_request(
    claimant: Claimant, faults: FaultClient
) -> None:
    first, second = make_key(), make_key()
    faults.add("create-from-csr", "delay", seconds=1.0)
    began = time.monotonic()
    request = {"certificateSigningRequest": make_csr(first)}
    assert claimant.device.publish(CREATE_FROM_CSR, request) == 0
    _, prompt = claimant.create_from_csr(make_csr(second))
    assert time.monotonic() - began < 0.9
    assert is_key_of(second, prompt["certificatePem"])
    _, late = claimant.device.receive()
    assert time.monotonic() - began >= 1.0
    assert is_key_of(first, late["certificatePem"])


def test_a_lost_answer_is_applied_all_the_same(
    claimant: Claimant, faults: FaultClient, fleet: Fleet
) -> None:
    mine = token(claimant)
    faults.add("register-thing", "lose-answer")
    request = claimant.registration(mine, "lost")
    assert claimant.device.publish(claimant.register_topic, request) == 0
    with pytest.raises(queue.Empty):
        claimant.device.receive(timeout=0.5)
    assert fleet.thing_name("lost") in fleet.things()
    assert faults.calls()["calls"][-1]["answers"] == 0


def test_answer_twice(claimant: Claimant, faults: FaultClient) -> None:
    faults.add("create-keys", "answer-twice")
    first = claimant.create_keys()
    topic, again = claimant.device.receive()
    assert (topic, again) == (f"{CREATE_KEYS}/accepted", first[1])
    assert len(faults.certificates()) == 1


@pytest.mark.parametrize("operation", ["create-keys", "create-from-csr"])
def test_the_answer_may_be_a_certificate_over_another_key(
    claimant: Claimant, faults: FaultClient, operation: str
) -> None:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key = make_key()
    faults.add(operation, "answer-other-key")
    if operation == "create-keys":
        suffix, created = claimant.create_keys()
        key = load_pem_private_key(created["privateKey"].encode(), None)  # type: ignore[assignment]
    else:
        suffix, created = claimant.create_from_csr(make_csr(key))
    assert suffix == "accepted"
    assert not is_key_of(key, created["certificatePem"])
    # Somebody else's certificate: ours was made as well.
    assert len(faults.certificates()) == 2
    assert faults.certificates()[1] == created["certificateId"]


def test_a_malformed_answer_is_no_json(claimant: Claimant, faults: FaultClient) -> None:
    faults.add("create-keys", "malformed")
    claimant.device.publish(CREATE_KEYS, {})
    with pytest.raises(ValueError, match="Unterminated string"):
        claimant.device.receive()


@pytest.mark.parametrize(
    ("payload", "sent"), [("no JSON", b"no JSON"), ({"a": [1]}, b'{"a": [1]}'), ("", b"")]
)
def test_an_answer_can_be_replaced(
    claimant: Claimant, faults: FaultClient, payload: object, sent: bytes
) -> None:
    faults.add("create-keys", "replace", payload=payload, answer="rejected")
    claimant.device.publish(CREATE_KEYS, {})
    assert claimant.device.messages.get(timeout=5) == (f"{CREATE_KEYS}/rejected", sent)


def test_fields_can_be_dropped_from_an_answer(claimant: Claimant, faults: FaultClient) -> None:
    faults.add("register-thing", "drop-fields", fields=["thingName", "deviceConfiguration"])
    assert claimant.register(token(claimant)) == ("accepted", {})


@pytest.mark.parametrize(("kind", "certificates"), [("close-before", 0), ("close-after", 1)])
def test_the_connection_can_be_closed_before_or_after_applying(
    claimant: Claimant, faults: FaultClient, kind: str, certificates: int
) -> None:
    faults.add("create-keys", kind)
    assert claimant.device.publish(CREATE_KEYS, {}) == 0
    assert claimant.device.lost.wait(5)
    assert claimant.device.messages.empty()
    assert len(faults.certificates()) == certificates
    assert outcome(faults, "create-keys")["closed"] == 1 - certificates


def test_a_quota_answers_429_beyond_so_many_a_second(
    claimant: Claimant, faults: FaultClient
) -> None:
    faults.add("register-thing", "quota", per_second=2)
    request = claimant.registration("no token")
    ask = claimant.ask
    codes = [ask(claimant.register_topic, request)[1]["statusCode"] for _ in range(5)]
    assert codes == [400, 400, 429, 429, 429]
    time.sleep(1.1)
    assert claimant.ask(claimant.register_topic, request)[1]["statusCode"] == 400


def test_a_quota_holds_the_control_plane_as_the_account_does(
    sandbox: Sandbox, faults: FaultClient
) -> None:
    iot = aws_client(sandbox, "iot")
    faults.add("CreateThing", "quota", per_second=0.01, burst=1)
    iot.create_thing(thingName="within")
    with pytest.raises(ClientError) as refused:
        iot.create_thing(thingName="beyond")
    assert refused.value.response["Error"]["Code"] == "ThrottlingException"
    faults.clear()
    for name in ("within", "beyond"):
        iot.delete_thing(thingName=name)


def test_a_token_used_twice_registers_again_unless_told_otherwise(claimant: Claimant) -> None:
    mine = token(claimant)
    assert claimant.register(mine, "twice") == claimant.register(mine, "twice")


@pytest.mark.parametrize("mode", ["reject", "reject-if-active"])
def test_a_token_used_twice_can_be_rejected(
    claimant: Claimant, faults: FaultClient, mode: str
) -> None:
    faults.add("register-thing", "token-reuse", mode=mode)
    mine = token(claimant)
    assert claimant.register(mine, "reused")[0] == "accepted"
    suffix, document = claimant.register(mine, "reused")
    assert (suffix, document["statusCode"]) == ("rejected", 400)
    assert document["errorCode"] == "InvalidCertificateOwnershipToken"


def test_a_rejected_registration_does_not_use_the_token_up(
    claimant: Claimant, faults: FaultClient
) -> None:
    faults.add("register-thing", "token-reuse", mode="reject")
    mine = token(claimant)
    no_serial = {"certificateOwnershipToken": mine, "parameters": {}}
    assert claimant.ask(claimant.register_topic, no_serial)[0] == "rejected"
    assert claimant.register(mine)[0] == "accepted"


def test_expired_tokens_take_their_unused_certificates_along(
    claimant: Claimant, faults: FaultClient, fleet: Fleet
) -> None:
    _, unused = claimant.create_keys()
    _, used = claimant.create_keys()
    claimant.register(used["certificateOwnershipToken"])

    assert unused["certificateId"] in faults.expire_tokens()

    assert fleet.certificate_status(unused["certificateId"]) is None
    assert fleet.certificate_status(used["certificateId"]) == "ACTIVE"
    for expired in (unused, used):
        suffix, document = claimant.register(expired["certificateOwnershipToken"])
        assert (suffix, document["statusCode"]) == ("rejected", 400)


def test_several_faults_act_together(claimant: Claimant, faults: FaultClient) -> None:
    faults.add("create-keys", "reject", status_code=429)
    faults.add("create-keys", "delay", seconds=0.3)
    faults.add("create-keys", "answer-twice")
    began = time.monotonic()
    assert claimant.create_keys()[1]["statusCode"] == 429
    assert claimant.device.receive()[1]["statusCode"] == 429
    assert time.monotonic() - began >= 0.3


@pytest.mark.parametrize(
    ("operation", "kind", "parameters", "words"),
    [
        ("create", "reject", {}, "unknown operation 'create'; there are create-keys"),
        ("connect", "explode", {}, "unknown kind 'explode'; there are reject"),
        ("connect", "malformed", {}, "malformed is for create-keys"),
        ("connect", "delay", {}, "delay needs seconds"),
        ("connect", "delay", {"seconds": "1"}, "seconds is a number from 0 up"),
        ("connect", "reject", {"reason_code": 5}, "reason_code is a number from 128 to 255"),
        ("connect", "reject", {"statuscode": 5}, "reject does not take statuscode"),
        ("connect", "reject", {"calls": 0}, "calls is 'every', a number from 1 up"),
        ("register-thing", "token-reuse", {"mode": "perhaps"}, "mode is one of idempotent"),
        ("register-thing", "drop-fields", {"fields": "thingName"}, "fields is a list of names"),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused_in_words(
    faults: FaultClient, operation: str, kind: str, parameters: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        faults.add(operation, kind, **parameters)
    assert faults.listed() == []
