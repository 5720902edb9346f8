"""Answers from the network: used, or named as unusable; never a traceback, and nothing in them that cannot be kept."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as some

from fleet_agent.errors import AgentError
from fleet_agent.provisioning import answers, machine
from fleet_agent.provisioning.model import Operation, Step
from support.csr import key_pem, make_key
from support.fuzzing import TIMES

pytestmark = pytest.mark.slow  # tens of seconds on a small machine

FIELDS = (
    "certificateId",
    "certificatePem",
    "certificateOwnershipToken",
    "privateKey",
    "thingName",
    "deviceConfiguration",
    "statusCode",
    "errorCode",
    "errorMessage",
)
KEY = key_pem(make_key()).decode()
WORDS = some.text() | some.sampled_from(["a" * 64, "\ud800", "\u202e", "\0", "a/#", KEY])
VALUES = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | WORDS,
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(WORDS, inner, max_size=3),
    max_leaves=5,
)  # fmt: skip
DOCUMENTS = some.dictionaries(some.sampled_from(FIELDS) | WORDS, VALUES, max_size=9)
PAYLOADS = (
    DOCUMENTS.map(lambda document: json.dumps(document).encode())
    | VALUES.map(lambda value: json.dumps(value).encode())
    | some.binary(max_size=200)
)


def outcome(act: Callable[[], Any]) -> tuple[Any, AgentError | None]:
    """What it gives, or the error of ours that it raises; any other is a failure."""
    try:
        return act(), None
    except AgentError as error:
        return None, error


def read(operation: Operation, payload: bytes) -> Any:
    """What the agent makes of an accepted answer."""
    from awsiot import iotidentity

    if operation is Operation.REGISTER:
        answer = answers.parsed(iotidentity.RegisterThingResponse, payload, operation)
        return answers.registration(answer)
    model = (
        iotidentity.CreateKeysAndCertificateResponse
        if operation is Operation.CREATE_KEYS
        else iotidentity.CreateCertificateFromCsrResponse
    )
    return answers.certificate(answers.parsed(model, payload, operation), operation)


@pytest.mark.parametrize("operation", Operation)
@given(payload=PAYLOADS)
@example(payload=b"[" * 100_000)
@example(payload=b"9" * 10_000)
@example(payload=b'{"thingName": "\\ud800", "deviceConfiguration": {"\\udfff": "\\ud800"}}')
@settings(max_examples=150 * TIMES, deadline=None)
def test_accepted(operation: Operation, payload: bytes) -> None:
    found, error = outcome(lambda: read(operation, payload))
    if error is not None:
        assert error.code == "answer-invalid"
        assert KEY.splitlines()[1] not in f"{error.title}{error.remedy}"
        return
    if operation is Operation.REGISTER:
        name, configuration = found
        texts = [name or "", *configuration, *configuration.values()]
    else:
        texts = [found.certificate_id, found.pem, found.token.reveal()]
    for text in texts:
        text.encode()


@pytest.mark.parametrize("operation", Operation)
@given(payload=PAYLOADS, step=some.sampled_from(Step), age=some.floats(allow_nan=False))
@settings(max_examples=150 * TIMES, deadline=None)
def test_rejected(operation: Operation, payload: bytes, step: Step, age: float) -> None:
    found, error = outcome(lambda: answers.rejection(operation, payload))
    verdict = machine.judge(error or found, step, 0.0, age)
    said = f"{verdict.error.title} {verdict.error.remedy}"
    assert said.isprintable()
    assert len(said) < 2000
