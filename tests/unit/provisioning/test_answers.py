"""Answers of AWS IoT: what is kept of them, and what is refused before anything is stored."""

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from awsiot import iotidentity

from fleet_agent.credentials import keys
from fleet_agent.credentials.model import Credential, Csr
from fleet_agent.errors import Exit, UnreachableError
from fleet_agent.provisioning import answers
from fleet_agent.provisioning.answers import UnusableAnswerError
from fleet_agent.provisioning.model import ANSWER_UNFIT, Operation
from support.certificates import make_pair

ID = "ab" * 32


@pytest.fixture
def pem(tmp_path: Path) -> str:
    return make_pair(tmp_path / "pair").certificate.read_text()


def certificate(pem: str, **more: object) -> answers.Certificate:
    answer = {
        "certificateId": ID,
        "certificatePem": pem,
        "certificateOwnershipToken": "t" * 300,
        **more,
    }
    payload = json.dumps(answer).encode()
    operation = Operation.CREATE_FROM_CSR
    model: Any = iotidentity.CreateCertificateFromCsrResponse
    return answers.certificate(answers.parsed(model, payload, operation), operation)


def registration(configuration: Mapping[str, object]) -> dict[str, str]:
    payload = json.dumps({"thingName": "pump-7", "deviceConfiguration": configuration}).encode()
    model: Any = iotidentity.RegisterThingResponse
    return answers.registration(answers.parsed(model, payload, Operation.REGISTER))[1]


def test_what_comes_beside_the_certificate_is_not_kept(pem: str) -> None:
    key = "-----BEGIN PRIVATE KEY-----\nMC4=\n-----END PRIVATE KEY-----\n"
    ours = Csr(pem="", hash="", public_key=keys.public_key_of_certificate(pem, "it"))
    for text in (pem, f"remark\n{pem}{key}{pem}"):
        found = answers.checked(certificate(text), ours)
        assert found is not None
        assert found.pem == pem


@pytest.mark.parametrize(
    "wrong",
    [{"certificatePem": "x" * 3_000_000}, {"certificateOwnershipToken": "t" * 100_000},
     {"certificatePem": "no certificate"}],
    ids=["3 MB", "long token", "no PEM"],
)  # fmt: skip
def test_what_is_too_long_or_none_is_refused_and_its_certificate_named(
    pem: str, wrong: dict[str, str]
) -> None:
    with pytest.raises(UnusableAnswerError) as caught:
        answers.checked(certificate(pem, **wrong), None)
    assert caught.value.certificate_id == ID
    assert caught.value.exit_status is Exit.UNREACHABLE
    assert len(caught.value.title) < 200


def test_an_endless_answer_is_not_read() -> None:
    model: Any = iotidentity.RegisterThingResponse
    with pytest.raises(UnusableAnswerError, match="bytes"):
        answers.parsed(model, b" " * 5_000_000, Operation.REGISTER)


def test_a_public_key_that_is_no_point_of_its_curve_is_for_nobody(pem: str) -> None:
    lines = pem.splitlines()
    der = bytearray(base64.b64decode("".join(lines[1:-1])))
    # BIT STRING of an uncompressed point of P-256: y is another one then.
    at = der.index(b"\x03\x42\x00\x04")
    der[at + 60] ^= 1
    body = base64.encodebytes(bytes(der)).decode()
    broken = certificate(f"{lines[0]}\n{body}{lines[-1]}\n")
    assert not answers.checked(broken, Csr(pem="", hash="", public_key=b"ours"))


def test_the_right_public_key(pem: str) -> None:
    ours = keys.public_key_of_certificate(pem, "it")
    assert answers.checked(certificate(pem), Csr(pem="", hash="", public_key=ours))
    assert not answers.checked(certificate(pem), Csr(pem="", hash="", public_key=b"other"))
    assert not answers.checked(certificate(pem), None)


def test_a_device_configuration_without_end_is_refused() -> None:
    assert registration({"site": "north"}) == {"site": "north"}
    with pytest.raises(UnusableAnswerError, match="deviceConfiguration"):
        registration({"site": "x" * 200_000})


def credential(**configuration: str) -> Credential:
    return Credential(
        generation=1,
        certificate_id=ID,
        certificate_file="certificate",
        private_key_file="key",
        thing_name="pump-7",
        device_configuration=configuration,
        endpoint="a.example",
        template="fleet",
        is_proven=False,
        proven=None,
    )


TOPICS = [("dt/{thing}/{source}", "system"), ("dt/{site}/x", ""), ("cmd/{Serial}/#", "")]


def test_a_device_configuration_that_fits() -> None:
    answers.check_topics(credential(site="north", unused="a/#"), TOPICS, {"Serial": "7"}.get)
    # What the configuration itself has wrong is not the answer's fault.
    answers.check_topics(credential(), [("dt/{nothing}", ""), *TOPICS], dict[str, str]().get)


@pytest.mark.parametrize("site", ["", "a/b", "#", "+", "a\n", "x" * 300])
def test_a_device_configuration_that_makes_a_topic_impossible(site: str) -> None:
    with pytest.raises(UnreachableError) as caught:
        answers.check_topics(credential(site=site), TOPICS, {"Serial": "7"}.get)
    assert caught.value.code == ANSWER_UNFIT
    assert "dt/{site}/x" in caught.value.title
    assert "site" in caught.value.remedy
