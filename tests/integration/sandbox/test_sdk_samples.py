"""The SDK's own provisioning flows, in substance as its samples have them, against a claim made by the real CLI."""

import json
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from awscrt import mqtt5, mqtt_request_response
from awsiot import iotidentity, mqtt5_client_builder
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from iot_sandbox.launch import Sandbox
from support.aws import aws
from support.fleets import claim_statements, device_statements, template_body

TIMEOUT = 20


class Cloud:
    """What the ``aws`` command set up."""

    def __init__(self, sandbox: Sandbox, directory: Path) -> None:
        self.template = "sample-template"
        self.certificate = directory / "claim.crt"
        self.private_key = directory / "claim.key"
        account = aws(sandbox, "sts", "get-caller-identity")["Account"]
        arn = f"arn:aws:iot:{sandbox.region}:{account}"
        role = self._role(sandbox, directory)
        self._policy(sandbox, directory, "sample-device", device_statements(arn))
        body = _file(directory / "template.json", template_body("sample", "sample-device"))
        aws(
            sandbox, "iot", "create-provisioning-template", "--enabled",
            "--template-name", self.template, "--template-body", body, "--provisioning-role-arn", role,
        )  # fmt: skip
        self._policy(sandbox, directory, "sample-claim", claim_statements(self.template, arn))
        made = aws(
            sandbox, "iot", "create-keys-and-certificate", "--set-as-active",
            "--certificate-pem-outfile", self.certificate, "--private-key-outfile", self.private_key,
        )  # fmt: skip
        aws(
            sandbox, "iot", "attach-policy",
            "--policy-name", "sample-claim", "--target", made["certificateArn"],
        )  # fmt: skip
        endpoint = aws(sandbox, "iot", "describe-endpoint", "--endpoint-type", "iot:Data-ATS")
        self.host, _, self.port = endpoint["endpointAddress"].rpartition(":")

    @staticmethod
    def _role(sandbox: Sandbox, directory: Path) -> str:
        trust = {
            "Effect": "Allow",
            "Principal": {"Service": "iot.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
        document = _file(directory / "trust.json", {"Version": "2012-10-17", "Statement": [trust]})
        role = aws(
            sandbox, "iam", "create-role",
            "--role-name", "sample-role", "--assume-role-policy-document", document,
        )["Role"]["Arn"]  # fmt: skip
        aws(
            sandbox, "iam", "attach-role-policy", "--role-name", "sample-role",
            "--policy-arn", "arn:aws:iam::aws:policy/service-role/AWSIoTThingsRegistration",
        )  # fmt: skip
        return str(role)

    @staticmethod
    def _policy(sandbox: Sandbox, directory: Path, name: str, statements: dict[str, Any]) -> None:
        policy = {"Version": "2012-10-17", "Statement": [*statements.values()]}
        document = _file(directory / f"{name}.json", policy)
        aws(sandbox, "iot", "create-policy", "--policy-name", name, "--policy-document", document)


def _file(path: Path, document: object) -> str:
    path.write_text(json.dumps(document))
    return f"file://{path}"


@pytest.fixture(scope="module")
def cloud(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Cloud:
    return Cloud(sandbox, tmp_path_factory.mktemp("sample"))


@contextmanager
def connected(sandbox: Sandbox, cloud: Cloud) -> Iterator[mqtt5.Client]:
    up: Future[bool] = Future()
    stopped = threading.Event()
    client = mqtt5_client_builder.mtls_from_path(
        endpoint=cloud.host,
        port=int(cloud.port),
        cert_filepath=str(cloud.certificate),
        pri_key_filepath=str(cloud.private_key),
        ca_filepath=str(sandbox.ca_file),
        client_id=f"test-{uuid.uuid4()}",
        on_lifecycle_connection_success=lambda _: up.set_result(True),
        on_lifecycle_connection_failure=lambda data: up.set_exception(data.exception),
        on_lifecycle_stopped=lambda _: stopped.set(),
    )
    client.start()
    try:
        up.result(TIMEOUT)
        yield client
    finally:
        client.stop(mqtt5.DisconnectPacket())
        assert stopped.wait(TIMEOUT)


def identity_client(client: mqtt5.Client) -> iotidentity.IotIdentityClientV2:
    options = mqtt_request_response.ClientOptions(
        max_request_response_subscriptions=2,
        max_streaming_subscriptions=0,
        operation_timeout_in_seconds=TIMEOUT,
    )
    return iotidentity.IotIdentityClientV2(client, options)


def register(
    identity: iotidentity.IotIdentityClientV2, cloud: Cloud, token: str, serial: str
) -> iotidentity.RegisterThingResponse:
    request = iotidentity.RegisterThingRequest(
        template_name=cloud.template,
        certificate_ownership_token=token,
        parameters={"SerialNumber": serial},
    )
    return identity.register_thing(request).result(TIMEOUT)


def test_the_basic_sample_provisions_with_keys_made_by_the_cloud(
    sandbox: Sandbox, cloud: Cloud
) -> None:
    with connected(sandbox, cloud) as client:
        identity = identity_client(client)
        created = identity.create_keys_and_certificate(
            iotidentity.CreateKeysAndCertificateRequest()
        ).result(TIMEOUT)
        registered = register(identity, cloud, created.certificate_ownership_token, "keys")

    assert created.private_key.startswith("-----BEGIN RSA PRIVATE KEY-----")
    assert registered.thing_name == "sample-keys"
    assert registered.device_configuration == {"Location": "unknown"}
    names = [thing["thingName"] for thing in aws(sandbox, "iot", "list-things")["things"]]
    assert "sample-keys" in names


def test_the_csr_sample_provisions_with_its_own_key(sandbox: Sandbox, cloud: Cloud) -> None:
    key = rsa.generate_private_key(65537, 2048)
    csr = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "device")]))
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
        .decode()
    )
    with connected(sandbox, cloud) as client:
        identity = identity_client(client)
        created = identity.create_certificate_from_csr(
            iotidentity.CreateCertificateFromCsrRequest(certificate_signing_request=csr)
        ).result(TIMEOUT)
        registered = register(identity, cloud, created.certificate_ownership_token, "csr")

    certificate = x509.load_pem_x509_certificate(created.certificate_pem.encode())
    assert certificate.public_key() == key.public_key()
    assert registered.thing_name == "sample-csr"
    found = aws(
        sandbox, "iot", "describe-certificate", "--certificate-id", created.certificate_id
    )["certificateDescription"]
    assert found["status"] == "ACTIVE"
