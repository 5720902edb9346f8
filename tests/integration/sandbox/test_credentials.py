"""The credentials endpoint: role aliases, mutual TLS, whose policies allow what, and what goes wrong on order."""

import datetime as dt
import http.client
import json
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from iot_sandbox.client import FaultClient
from iot_sandbox.launch import Sandbox
from support.agent import Agent
from support.aws import aws, aws_client
from support.certificates import make_pair
from support.fleets import Fleet, make_fleet
from support.vending import Alias, allow, ask, client_of, make_alias, make_role


@dataclass(frozen=True)
class Device:
    certificate: Path
    private_key: Path
    certificate_id: str
    thing: str


@pytest.fixture(scope="module")
def own(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    return make_fleet(sandbox, tmp_path_factory.mktemp("vending"))


@pytest.fixture(scope="module")
def alias(own: Fleet) -> Alias:
    made = make_alias(own.sandbox)
    allow(own, made.name, "gone")
    return made


@pytest.fixture(scope="module")
def device(own: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Device:
    agent = Agent(own, tmp_path_factory.mktemp("device"))
    assert agent.provision().status == 0
    folder = agent.credentials / "current"
    found = agent.current_id()
    assert found
    pair = folder / "certificate.pem.crt", folder / "private.pem.key"
    return Device(*pair, found, agent.thing_name)


def test_a_device_gets_what_its_role_allows_and_nothing_else(
    sandbox: Sandbox, alias: Alias, device: Device
) -> None:
    status, body, _ = ask(sandbox, device, alias.name, device.thing)
    assert (status, set(body)) == (200, {"credentials"})
    found = body["credentials"]
    assert set(found) == {"accessKeyId", "secretAccessKey", "sessionToken", "expiration"}
    until = dt.datetime.strptime(found["expiration"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=dt.UTC)
    assert 3500 < (until - dt.datetime.now(dt.UTC)).total_seconds() <= 3600
    s3 = client_of(sandbox, found, "s3")
    s3.put_object(Bucket=alias.bucket, Key=f"{device.thing}/log", Body=b"x")
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.put_object(Bucket=alias.bucket, Key="another-thing/log", Body=b"x")


def test_without_the_things_name_its_variables_stand_for_nothing(
    sandbox: Sandbox, alias: Alias, device: Device
) -> None:
    # IsAttached, which the device policy asks for, is one of them.
    assert ask(sandbox, device, alias.name)[:2] == (403, {"message": "Access Denied"})


def test_refusals_have_the_services_words(sandbox: Sandbox, own: Fleet, device: Device) -> None:
    untrusting = make_alias(sandbox, service="iot.amazonaws.com")
    short = make_alias(sandbox, seconds=7201)
    allow(own, untrusting.name, short.name)
    asked = {
        ("any", "another-thing"): (403, "Invalid thing name passed"),
        ("not-allowed", device.thing): (403, "Access Denied"),
        ("gone", device.thing): (404, "Role alias does not exist"),
        (untrusting.name, device.thing): (
            400, "Unable to assume the role, or the role to assume does not exist",
        ),
        (short.name, device.thing): (
            400, "The requested CredentialDurationSeconds exceeds the MaxSessionDuration set for the role",
        ),
    }  # fmt: skip
    for words, (status, message) in asked.items():
        assert ask(sandbox, device, *words)[:2] == (status, {"message": message})


def test_a_claim_and_a_certificate_that_is_not_active_get_none(
    sandbox: Sandbox, own: Fleet, alias: Alias, tmp_path: Path
) -> None:
    agent = Agent(own, tmp_path)
    assert agent.provision().status == 0
    folder = agent.credentials / "current"
    certificate_id = agent.current_id() or ""
    revoked = Device(
        folder / "certificate.pem.crt", folder / "private.pem.key", certificate_id, ""
    )
    own.iot.update_certificate(certificateId=certificate_id, newStatus="INACTIVE")
    status, body, headers = ask(sandbox, revoked, alias.name, agent.thing_name)
    assert (status, body) == (403, {"message": "Certificate is invalid on this endpoint"})
    assert headers["x-amzn-ErrorType"] == "AccessDeniedException"
    assert ask(sandbox, own.claim, alias.name)[:2] == (403, {"message": "Access Denied"})


def test_a_stranger_does_not_get_through_the_handshake(
    sandbox: Sandbox, alias: Alias, tmp_path: Path
) -> None:
    with pytest.raises((ssl.SSLError, ConnectionError)):
        ask(sandbox, make_pair(tmp_path), alias.name)


def test_other_paths_are_those_of_no_credentials_host(sandbox: Sandbox, device: Device) -> None:
    context = ssl.create_default_context(cafile=str(sandbox.ca_file))
    context.load_cert_chain(device.certificate, device.private_key)
    connection = http.client.HTTPSConnection(
        sandbox.endpoint, sandbox.credentials_port, context=context, timeout=20
    )
    for path in ("/things/x/shadow", "/role-aliases/x"):  # on one connection
        connection.request("GET", path)
        answer = connection.getresponse()
        assert answer.status == 404
        assert set(json.loads(answer.read())) == {"message", "traceId"}
    connection.close()


def test_role_aliases_as_the_aws_command_makes_them(sandbox: Sandbox) -> None:
    role = make_role(sandbox, "nowhere")
    named = "--role-alias", "by-hand"
    seconds = "--credential-duration-seconds"
    made = aws(sandbox, "iot", "create-role-alias", *named, "--role-arn", role, seconds, "900",
               "--tags", "Key=a,Value=b")  # fmt: skip
    arn = f"arn:aws:iot:{sandbox.region}:123456789012:rolealias/by-hand"
    assert made == {"roleAlias": "by-hand", "roleAliasArn": arn}
    iot = aws_client(sandbox, "iot")
    assert "by-hand" in iot.list_role_aliases()["roleAliases"]
    iot.update_role_alias(roleAlias="by-hand", credentialDurationSeconds=1800)
    found = iot.describe_role_alias(roleAlias="by-hand")["roleAliasDescription"]
    assert (found["roleArn"], found["credentialDurationSeconds"]) == (role, 1800)
    assert iot.list_tags_for_resource(resourceArn=arn)["tags"] == [{"Key": "a", "Value": "b"}]
    with pytest.raises(ClientError, match="ResourceAlreadyExists"):
        iot.create_role_alias(roleAlias="by-hand", roleArn=role)
    iot.delete_role_alias(roleAlias="by-hand")
    with pytest.raises(ClientError, match="ResourceNotFound"):
        iot.describe_role_alias(roleAlias="by-hand")


@pytest.mark.parametrize(
    "wrong",
    [{"roleArn": "arn:aws:iam::nobody:role/x"}, {"roleAlias": "a.b"}],
)
def test_a_role_alias_that_cannot_be(sandbox: Sandbox, wrong: dict[str, Any]) -> None:
    asked = {"roleAlias": "wrong", "roleArn": "arn:aws:iam::123456789012:role/x", **wrong}
    with pytest.raises(ClientError, match="InvalidRequest"):
        aws_client(sandbox, "iot").create_role_alias(**asked)


def test_where_it_is(sandbox: Sandbox) -> None:
    found = aws_client(sandbox, "iot").describe_endpoint(endpointType="iot:CredentialProvider")
    assert found["endpointAddress"] == f"{sandbox.endpoint}:{sandbox.credentials_port}"


class TestFaults:
    @pytest.fixture
    def asked(self, sandbox: Sandbox, alias: Alias, device: Device) -> Any:
        return lambda: ask(sandbox, device, alias.name, device.thing)

    def test_a_refusal_of_any_status(self, faults: FaultClient, asked: Any) -> None:
        faults.add("credentials", "reject", status_code=429, error_code="ThrottlingException")
        status, body, headers = asked()
        assert (status, set(body)) == (429, {"message"})
        assert headers["x-amzn-ErrorType"] == "ThrottlingException"
        assert asked()[0] == 200
        counted = faults.calls()["operations"]["credentials"]
        assert counted == {"requests": 2, "accepted": 1, "rejected": 1, "closed": 0}

    def test_a_long_token_and_a_short_life(
        self, sandbox: Sandbox, faults: FaultClient, asked: Any
    ) -> None:
        faults.add("credentials", "long-token", bytes=4000)
        faults.add("credentials", "expires-in", seconds=0)
        found = asked()[1]["credentials"]
        assert len(found["sessionToken"]) == 4000
        with pytest.raises(ClientError, match="ExpiredToken"):
            client_of(sandbox, found, "sts").get_caller_identity()

    def test_an_answer_that_is_none(self, faults: FaultClient, asked: Any) -> None:
        faults.add("credentials", "drop-fields", fields=["expiration"])
        assert "expiration" not in asked()[1]["credentials"]
        faults.add("credentials", "malformed")
        with pytest.raises(json.JSONDecodeError):
            asked()
        faults.add("credentials", "replace", payload={"credentials": 5})
        assert asked()[1] == {"credentials": 5}

    def test_a_connection_that_ends(self, faults: FaultClient, asked: Any) -> None:
        faults.add("credentials", "close-before")
        with pytest.raises((http.client.HTTPException, OSError)):
            asked()
