"""CreateCertificateFromCsr over MQTT: AWS's rules for what it signs and what comes of it."""

import json
from typing import Any

import pytest
from cryptography import x509

from iot_sandbox.client import FaultClient
from support.claimant import CREATE_FROM_CSR, Claimant
from support.csr import is_key_of, make_csr, make_key
from support.fleets import Fleet


@pytest.mark.parametrize("kind", ["ec-p256", "ec-p384", "ec-p521", "rsa-2048"])
def test_the_certificate_is_over_the_public_key_of_the_csr(claimant: Claimant, kind: str) -> None:
    key = make_key(kind)
    suffix, created = claimant.create_from_csr(make_csr(key))
    assert suffix == "accepted"
    assert set(created) == {"certificateId", "certificatePem", "certificateOwnershipToken"}
    assert is_key_of(key, created["certificatePem"])
    assert len(created["certificateOwnershipToken"]) < 512


def test_it_keeps_the_subject_and_has_the_shape_of_the_clouds_certificates(
    claimant: Claimant,
) -> None:
    _, created = claimant.create_from_csr(make_csr(make_key(), "serial 12"))
    certificate = x509.load_pem_x509_certificate(created["certificatePem"].encode())
    assert certificate.subject.rfc4514_string() == "CN=serial 12"
    assert certificate.not_valid_after_utc.year == 2049
    assert len(created["certificateId"]) == 64


def test_it_is_pending_until_registered_then_active(fleet: Fleet, claimant: Claimant) -> None:
    _, created = claimant.create_from_csr(claimant.new_csr())
    assert fleet.certificate_status(created["certificateId"]) == "PENDING_ACTIVATION"

    suffix, registered = claimant.register(created["certificateOwnershipToken"])

    assert suffix == "accepted"
    assert fleet.certificate_status(created["certificateId"]) == "ACTIVE"
    assert fleet.certificate_ids(registered["thingName"]) == [created["certificateId"]]


def test_the_same_csr_twice_makes_two_certificates(claimant: Claimant) -> None:
    csr = claimant.new_csr()
    _, first = claimant.create_from_csr(csr)
    _, second = claimant.create_from_csr(csr)
    assert first["certificateId"] != second["certificateId"]


def _tampered() -> str:
    lines = make_csr(make_key()).splitlines()
    lines[2] = lines[2][:10] + ("A" if lines[2][10] != "A" else "B") + lines[2][11:]
    return "\n".join(lines)


REFUSED: dict[str, Any] = {
    "no CSR": "rubbish",
    "empty": "",
    "no text": 7,
    "missing": None,
    "RSA 1024": make_csr(make_key("rsa-1024")),
    "curve P-224": make_csr(make_key("ec-p224")),
    "curve secp256k1": make_csr(make_key("ec-k256")),
    "over 4096 characters": make_csr(make_key()) + "\n" * 4096,
    "signature that does not fit": _tampered(),
}


@pytest.mark.parametrize("csr", REFUSED.values(), ids=REFUSED.keys())
def test_what_aws_would_not_sign_is_rejected_with_400(
    claimant: Claimant, faults: FaultClient, csr: object
) -> None:
    suffix, document = claimant.create_from_csr(csr)
    assert suffix == "rejected"
    assert document["statusCode"] == 400
    assert set(document) == {"statusCode", "errorCode", "errorMessage"}
    assert faults.certificates() == []


@pytest.mark.parametrize("payload", [b"", b"{", b"[]", b"{}", b"\xff\xfe"])
def test_a_request_without_the_field_is_rejected_with_400(
    claimant: Claimant, payload: bytes
) -> None:
    suffix, document = claimant.ask(CREATE_FROM_CSR, payload)
    assert (suffix, document["statusCode"]) == ("rejected", 400)


def test_the_record_of_calls_holds_no_secret(claimant: Claimant, faults: FaultClient) -> None:
    _, created = claimant.create_from_csr(claimant.new_csr())
    claimant.register(created["certificateOwnershipToken"])
    assert created["certificateOwnershipToken"] not in json.dumps(faults.calls())
