"""Answers of AWS IoT: what is kept of them, and what is refused before anything is stored."""

import base64
import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from awsiot import iotidentity
from cryptography.hazmat.primitives.asymmetric import rsa

from fleet_agent.credentials import certificates
from fleet_agent.credentials.model import Credential, Csr, Secret
from fleet_agent.errors import ANSWER_UNFIT, Exit, UnreachableError
from fleet_agent.provisioning import answers
from fleet_agent.provisioning.answers import UnusableAnswerError
from fleet_agent.provisioning.model import Operation
from support.certificates import make_certificate, make_pair
from support.csr import key_pem, make_key

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
    return registered({"thingName": "pump-7", "deviceConfiguration": configuration})[1]


def registered(answer: Mapping[str, object]) -> tuple[str | None, dict[str, str]]:
    model: Any = iotidentity.RegisterThingResponse
    payload = json.dumps(answer).encode()
    return answers.registration(answers.parsed(model, payload, Operation.REGISTER))


def test_what_comes_beside_the_certificate_is_not_kept(pem: str) -> None:
    key = "-----BEGIN PRIVATE KEY-----\nMC4=\n-----END PRIVATE KEY-----\n"
    ours = Csr(pem="", hash="", public_key=certificates.public_key_of_certificate(pem, "it"))
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


@pytest.mark.parametrize("wrong", ["", "a" * 129, "a/b", "a b", "é", 7, None])
def test_a_certificate_without_an_id_cannot_be_named(pem: str, wrong: object) -> None:
    with pytest.raises(
        UnusableAnswerError, match=r"it has no certificateId|its certificateId"
    ) as caught:
        certificate(pem, certificateId=wrong)
    assert caught.value.certificate_id is None
    assert caught.value.code == "answer-invalid"
    assert certificate(pem, certificateId="a" * 128).certificate_id == "a" * 128


@pytest.mark.parametrize(
    ("field", "operation"),
    [("certificatePem", Operation.CREATE_FROM_CSR),
     ("certificateOwnershipToken", Operation.CREATE_FROM_CSR), ("privateKey", Operation.CREATE_KEYS)],
)  # fmt: skip
@pytest.mark.parametrize("value", [None, "", 7, "\ud800", "x" * (16 * 1024 + 1)])
def test_a_text_that_is_none_is_named(field: str, operation: Operation, value: object) -> None:
    texts = dict.fromkeys(
        ("certificatePem", "certificateOwnershipToken", "privateKey"), "x" * 16384
    )
    payload = json.dumps({"certificateId": ID, **texts, field: value}).encode()
    model: Any = iotidentity.CreateKeysAndCertificateResponse
    with pytest.raises(UnusableAnswerError, match=f"to {operation.value} .* {field}") as caught:
        answers.certificate(answers.parsed(model, payload, operation), operation)
    assert caught.value.certificate_id == ID


@pytest.mark.parametrize(
    ("payload", "words"), [(b"{", "not JSON"), (b"[]", "not a JSON object"), (b"\xff", "not JSON")]
)
def test_what_is_no_object_is_no_answer(payload: bytes, words: str) -> None:
    model: Any = iotidentity.RegisterThingResponse
    with pytest.raises(UnusableAnswerError, match=f"RegisterThing .*: it is {words}") as caught:
        answers.parsed(model, payload, Operation.REGISTER)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("answer", "status", "code", "message"),
    [
        ({"statusCode": 403, "errorCode": "No", "errorMessage": " why\n\x1b[31m "}, 403, "No", "why  [31m"),
        ({"statusCode": True, "errorCode": 7}, None, "", ""),
        ({"statusCode": "403", "errorMessage": "x" * 1000}, None, "", "x" * 300),
    ],
)  # fmt: skip
def test_of_a_refusal_is_kept_what_a_person_can_read(
    answer: dict[str, object], status: int | None, code: str, message: str
) -> None:
    refused = answers.rejection(Operation.REGISTER, json.dumps(answer).encode())
    assert refused.operation is Operation.REGISTER
    assert (refused.status_code, refused.error_code, refused.message) == (status, code, message)


@pytest.mark.parametrize("name", [None, "", "pump-7", "a" * 128, "a:_-9"])
def test_a_thing_or_none(name: str | None) -> None:
    assert registered({"thingName": name}) == (name or None, {})


@pytest.mark.parametrize(
    ("answer", "words"),
    [({"thingName": "a" * 129}, "thingName"), ({"thingName": "a/b"}, "thingName"),
     ({"thingName": 7}, "thingName"), ({"deviceConfiguration": [1]}, "deviceConfiguration"),
     ({"deviceConfiguration": {"k" * 65536: "v" * 65537}}, "too long")],
)  # fmt: skip
def test_a_registration_of_another_shape_is_refused(answer: dict[str, object], words: str) -> None:
    with pytest.raises(UnusableAnswerError, match=f"RegisterThing .* {words}"):
        registered(answer)


def test_a_device_configuration_is_texts_and_as_long_as_an_answer_can_be() -> None:
    longest = {"k" * 65536: "v" * 65536}
    assert registration(longest) == longest
    assert registration({"a": 1, "\ud800": None}) == {"a": "1", "?": "None"}


def test_a_certificate_is_for_the_key_that_came_with_it(tmp_path: Path) -> None:
    pair, other = make_pair(tmp_path / "pair"), make_pair(tmp_path / "other")
    found = certificate(pair.certificate.read_text())
    for key, is_ours in ((pair, True), (other, False)):
        text = Secret(key.private_key.read_text())
        with_key = dataclasses.replace(found, private_key=text)
        assert (answers.checked(with_key, None) is not None) is is_ours
    assert answers.checked(dataclasses.replace(found, private_key=Secret("none")), None) is None


def test_an_rsa_key_that_came_with_a_certificate_has_to_sign() -> None:
    key = make_key("rsa-2048")
    assert isinstance(key, rsa.RSAPrivateKey)
    own, others = key.private_numbers(), rsa.generate_private_key(65537, 2048).private_numbers()
    broken = rsa.RSAPrivateNumbers(
        p=own.p,
        q=own.q,
        d=others.d,
        dmp1=others.dmp1,
        dmq1=others.dmq1,
        iqmp=own.iqmp,
        public_numbers=own.public_numbers,
    ).private_key(unsafe_skip_rsa_key_validation=True)
    found = certificate(make_certificate(key))
    for private_key, is_ours in ((key, True), (broken, False)):
        text = Secret(key_pem(private_key).decode())
        answer = dataclasses.replace(found, private_key=text)
        assert (answers.checked(answer, None) is not None) is is_ours


def test_an_answer_may_be_as_long_as_one_can_be_within_reason() -> None:
    model: Any = iotidentity.RegisterThingResponse
    empty = b"{}"
    answers.parsed(model, empty.ljust(4 * 1024 * 1024), Operation.REGISTER)
    with pytest.raises(UnusableAnswerError, match="bytes"):
        answers.parsed(model, empty.ljust(4 * 1024 * 1024 + 1), Operation.REGISTER)


@pytest.mark.parametrize("operation", Operation)
def test_every_answer_is_named_by_its_call(operation: Operation) -> None:
    with pytest.raises(UnusableAnswerError, match=f"answer to {operation.value} "):
        answers.rejection(operation, b"[]")


def test_the_devices_own_certificate_comes_before_its_cas(tmp_path: Path) -> None:
    ours, other = (make_pair(tmp_path / name).certificate.read_text() for name in ("a", "b"))
    csr = Csr(pem="", hash="", public_key=certificates.public_key_of_certificate(ours, "it"))
    found = answers.checked(certificate(other + ours), csr)
    assert found is not None
    assert found.pem == ours + other


@pytest.mark.parametrize(
    ("csr", "operation"),
    [(Csr(pem="", hash="", public_key=b""), Operation.CREATE_FROM_CSR), (None, Operation.CREATE_KEYS)],
)  # fmt: skip
def test_what_is_no_certificate_is_named_by_its_call(
    csr: Csr | None, operation: Operation
) -> None:
    with pytest.raises(UnusableAnswerError, match=f"answer to {operation.value} "):
        answers.checked(certificate("no certificate"), csr)


def test_a_topic_may_need_its_source_and_the_parameters_too() -> None:
    topics = [("dt/{site}/{source}", "system"), ("dt/{site}/{Serial}", "")]
    answers.check_topics(credential(site="north"), topics, {"Serial": "7"}.get)
    for lacking in ([("dt/{site}/{source}", "")], [("dt/{site}/{Other}", "")]):
        with pytest.raises(UnreachableError):
            answers.check_topics(credential(site="north"), lacking, {"Serial": "7"}.get)


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
    ours = certificates.public_key_of_certificate(pem, "it")
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
