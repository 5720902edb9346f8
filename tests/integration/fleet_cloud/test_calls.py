"""The same call made by botocore in this process and by the ``aws`` program: same answers, same failures."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fleet_cloud.aws.calls import Aws, Options
from fleet_cloud.aws.names import FleetNames
from fleet_cloud.console import Console
from fleet_cloud.errors import CommandError
from fleet_cloud.fleet import certify
from fleet_cloud.local import openssl
from fleet_cloud.local.shell import Shell, Variable
from fleet_cloud.plan import resources
from fleet_cloud.plan.reconcile import compare, ensure
from iot_sandbox.launch import Sandbox
from support.aws import aws_client

BACKENDS = ("botocore", "aws")
Maker = Callable[..., Aws]


@pytest.fixture
def maker(operator: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Maker:
    """Gives a function that gives what makes calls: by which way, and elsewhere than in the sandbox."""
    for name, value in operator.items():
        monkeypatch.setenv(name, value)

    def make(backend: str, **options: str | None) -> Aws:
        given: dict[str, Any] = {"profile": None, "region": None, "endpoint_url": None} | options
        shell = Shell(Console(as_json=False, is_verbose=False), dry_run=False)
        return Aws(shell, Options(**given, backend=backend), sleep=lambda _: None)

    return make


@pytest.mark.parametrize("backend", BACKENDS)
def test_answer_is_the_same_by_both(maker: Maker, sandbox: Sandbox, backend: str) -> None:
    iot = aws_client(sandbox, "iot")
    for number in range(3):
        iot.create_thing(
            thingName=f"call-{number}", attributePayload={"attributes": {"serialNumber": "x"}}
        )
    aws = maker(backend)
    flags = ("--attribute-name", "serialNumber", "--attribute-value", "x")
    listed = aws.ask(aws.command("iot", "list-things", *flags))
    assert "ResponseMetadata" not in listed
    shown = {entry["thingName"]: entry["attributes"] for entry in listed["things"]}  # type: ignore[attr-defined]
    assert shown == {f"call-{number}": {"serialNumber": "x"} for number in range(3)}
    described = aws.ask(aws.command("iot", "describe-thing", "--thing-name", "call-1"))
    assert described["version"] == 1
    for number in range(3):
        aws.change(aws.command("iot", "delete-thing", "--thing-name", f"call-{number}"))
    assert aws.ask_all([aws.command("iot", "describe-thing", "--thing-name", "call-1")]) == [None]


@pytest.mark.parametrize("backend", BACKENDS)
def test_listing_is_followed_to_its_last_page(
    maker: Maker, sandbox: Sandbox, backend: str
) -> None:
    iot = aws_client(sandbox, "iot")
    names = {f"page-{number}" for number in range(260)}
    for name in names:
        iot.create_thing(thingName=name)
    try:
        aws = maker(backend)
        listed: Any = aws.ask(aws.command("iot", "list-things"))
        assert names <= {entry["thingName"] for entry in listed["things"]}
    finally:
        for name in names:
            iot.delete_thing(thingName=name)


OBJECTS = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/*"}],
}


@pytest.mark.parametrize("backend", BACKENDS)
def test_role_and_policy_are_made_and_found_unchanged(maker: Maker, backend: str) -> None:
    aws, names = maker(backend), FleetNames(f"by-{backend}")
    account = aws.account()
    for wanted in (
        resources.role(aws, names, account),
        resources.claim_policy(aws, names, account),
        resources.inline_policy(aws, names.role, "p", OBJECTS),
    ):
        assert ensure(aws, wanted, None).state == "created"
        assert compare(wanted, aws.ask(wanted.read)).state == "unchanged"


@pytest.mark.parametrize("backend", BACKENDS)
def test_certificate_goes_into_its_file_and_what_aws_calls_it_into_a_variable(
    maker: Maker, sandbox: Sandbox, tmp_path: Path, backend: str
) -> None:
    aws = maker(backend)
    key, certificate, request, arn = (
        tmp_path / "key",
        tmp_path / "certificate",
        Variable("request"),
        Variable("arn"),
    )
    aws.shell.change(openssl.make_key(key))
    aws.shell.change(openssl.make_request(key, "x", request))
    aws.change(certify.command(aws, request, certificate, arn))
    openssl.check_pair(aws.shell, certificate, key)
    found = openssl.certificate_id(certificate.read_text(), certificate)
    assert aws.shell.value(arn).endswith(f":cert/{found}")
    described = aws_client(sandbox, "iot").describe_certificate(certificateId=found)
    assert described["certificateDescription"]["status"] == "ACTIVE"


FAILURES = {
    "absent": (("iot", "describe-thing", "--thing-name", "nobody"), "ResourceNotFoundException"),
    "invalid": (("iot", "create-thing", "--thing-name", "no spaces"), None),
    "no such operation": (("iot", "list-thingies"), None),
    "no such flag": (("iot", "list-things", "--thingies", "3"), None),
    "too few words": (("iot", "describe-thing"), None),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("words", FAILURES.values(), ids=FAILURES)
def test_failure_shows_the_command_and_awss_words(
    maker: Maker, backend: str, words: tuple[tuple[str, ...], str | None]
) -> None:
    aws = maker(backend)
    with pytest.raises(CommandError) as failed:
        aws.ask(aws.command(*words[0]))
    error = failed.value
    assert error.title == f"aws {' '.join(words[0][:2])} failed"
    assert error.command.startswith(f"aws {words[0][0]} {words[0][1]} ")
    assert error.said
    assert words[1] in {None, error.code}


WHERE = {
    "unknown-profile": {"profile": "nobody", "region": "eu-west-1"},
    "endpoint-url": {"endpoint_url": "nonsense"},
    "unreachable": {"endpoint_url": "http://127.0.0.1:9"},
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("code", "options"), WHERE.items(), ids=WHERE)
def test_way_there_that_does_not_work_is_explained_alike(
    maker: Maker, backend: str, code: str, options: dict[str, str]
) -> None:
    aws = maker(backend, **options)
    with pytest.raises(CommandError) as failed:
        aws.account()
    assert failed.value.code == code
    assert failed.value.cause


@pytest.mark.parametrize("backend", BACKENDS)
def test_missing_credentials_are_explained_alike(
    maker: Maker, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN", "PROFILE"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    aws = maker(backend)
    with pytest.raises(CommandError) as failed:
        aws.account()
    assert failed.value.code == "no-credentials"


def test_printed_command_made_by_hand_answers_what_botocore_does(
    maker: Maker, sandbox: Sandbox
) -> None:
    from support.aws import aws as by_hand

    aws = maker("botocore")
    call = aws.command("iot", "describe-endpoint", "--endpoint-type", "iot:Data-ATS")
    assert all(isinstance(word, str) for word in call.words)
    printed = by_hand(sandbox, *(str(word) for word in call.words[1:-2]))
    assert json.dumps(aws.ask(call)) == json.dumps(printed)
