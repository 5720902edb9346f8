"""Who gets an answer, and who is let in."""

import io
import json
import queue
import socket
import ssl
import zipfile
from concurrent.futures import Future
from pathlib import Path

import pytest
from awscrt import mqtt, mqtt5
from awsiot import mqtt_connection_builder

from iot_sandbox.client import FaultClient
from iot_sandbox.launch import Sandbox
from support.aws import aws, aws_client
from support.claimant import CREATE_FROM_CSR, CREATE_KEYS, Claimant
from support.csr import make_csr, make_key
from support.fleets import ROLE, Fleet, make_fleet, make_temporary_claim
from support.mqtt import ConnectRefusedError, connected

NOT_AUTHORIZED = 135
SESSION_TAKEN_OVER = 142
CSR_ANSWERS = f"{CREATE_FROM_CSR}/accepted", f"{CREATE_FROM_CSR}/rejected"


def csr_request() -> dict[str, str]:
    return {"certificateSigningRequest": make_csr(make_key())}


def test_an_answer_comes_without_any_subscription(claimant: Claimant) -> None:
    # The fixture never subscribes.
    assert claimant.create_from_csr(claimant.new_csr())[0] == "accepted"
    assert claimant.create_keys()[0] == "accepted"


def test_an_answer_comes_once_to_who_did_subscribe(claimant: Claimant) -> None:
    assert (
        claimant.device.subscribe(*CSR_ANSWERS, "$aws/certificates/create/+/accepted") == [1] * 3
    )
    assert claimant.create_from_csr(claimant.new_csr())[0] == "accepted"
    assert claimant.create_keys()[0] == "accepted"
    with pytest.raises(queue.Empty):
        claimant.device.receive(timeout=0.3)


def test_nobody_else_hears_an_answer(claimant: Claimant, fleet: Fleet) -> None:
    with connected(fleet.sandbox, fleet.claim, "claim-eavesdropper") as other:
        assert other.subscribe(*CSR_ANSWERS, f"{CREATE_KEYS}/accepted") == [1, 1, 1]
        assert claimant.create_from_csr(claimant.new_csr())[0] == "accepted"
        assert claimant.create_keys()[0] == "accepted"
        with pytest.raises(queue.Empty):
            other.receive(timeout=0.3)


def test_a_claim_for_keys_alone_cannot_send_a_csr(
    sandbox: Sandbox, faults: FaultClient, tmp_path: Path
) -> None:
    # "create/*" covers create/json, and nothing below create-from-csr.
    csr = [f"{verb} create-from-csr" for verb in ("publish", "receive", "subscribe")]
    fleet = make_fleet(sandbox, tmp_path, without=csr)
    with connected(sandbox, fleet.claim, "claim-keys") as device:
        assert device.subscribe(*CSR_ANSWERS) == [NOT_AUTHORIZED, NOT_AUTHORIZED]
        assert device.publish(CREATE_FROM_CSR, csr_request()) == NOT_AUTHORIZED
        assert device.publish(CREATE_KEYS, {}) == 0
        assert device.receive()[0] == f"{CREATE_KEYS}/accepted"
    assert len(faults.certificates()) == 1


def test_an_answer_the_policy_does_not_let_in_is_dropped(
    sandbox: Sandbox, faults: FaultClient, tmp_path: Path
) -> None:
    fleet = make_fleet(sandbox, tmp_path, without=["receive create-from-csr"])
    with connected(sandbox, fleet.claim, "claim-deaf") as device:
        assert device.publish(CREATE_FROM_CSR, csr_request()) == 0
        with pytest.raises(queue.Empty):
            device.receive(timeout=0.5)
    created = next(c for c in faults.calls()["calls"] if c["operation"] == "create-from-csr")
    assert (created["outcome"], created["answers"]) == ("accepted", 0)


def test_a_command_sent_with_the_aws_command_reaches_the_thing(
    claimant: Claimant, tmp_path: Path
) -> None:
    thing = claimant.provision(tmp_path)
    sandbox = claimant.fleet.sandbox
    topic = f"cmd/{thing.thing_name}/light"
    with connected(sandbox, thing, thing.thing_name) as device:
        assert device.subscribe(f"cmd/{thing.thing_name}/#") == [1]
        payload = tmp_path / "command.json"
        payload.write_text('{"on": true}')
        send = ["iot-data", "publish", "--topic", topic, "--qos", "1"]
        aws(sandbox, *send, "--payload", f"fileb://{payload}")
        assert device.receive() == (topic, {"on": True})


def test_a_filter_subscribed_to_again_is_one_subscription(
    claimant: Claimant, tmp_path: Path
) -> None:
    thing = claimant.provision(tmp_path)
    topic = f"cmd/{thing.thing_name}/light"
    for _ in range(2):  # the second time in the session that is kept
        with connected(
            claimant.fleet.sandbox,
            thing,
            thing.thing_name,
            session_behavior=mqtt5.ClientSessionBehaviorType.REJOIN_ALWAYS,
            session_expiry_interval_sec=60,
        ) as device:
            assert device.subscribe(topic) == [1]
            assert device.subscribe(topic, topic) == [1, 1]
            aws(claimant.fleet.sandbox, "iot-data", "publish", "--topic", topic, "--payload", "1")
            assert device.receive() == (topic, 1)
            with pytest.raises(queue.Empty):
                device.receive(timeout=0.3)


def test_the_connack_says_what_aws_says(claimant: Claimant) -> None:
    connack = claimant.device.connack
    assert connack.receive_maximum == 100
    assert connack.maximum_packet_size == 149_504
    assert connack.maximum_qos == 1
    assert connack.subscription_identifiers_available is False


def test_a_temporary_claim_provisions_by_csr(fleet: Fleet, tmp_path: Path) -> None:
    claim = make_temporary_claim(fleet, tmp_path)
    with connected(fleet.sandbox, claim, "temporary") as device:
        thing = Claimant(device, fleet).provision(tmp_path)
    assert fleet.certificate_ids(thing.thing_name) == [thing.certificate_id]


def test_a_disabled_template_rejects(sandbox: Sandbox, tmp_path: Path) -> None:
    fleet = make_fleet(sandbox, tmp_path, enabled=False)
    with connected(sandbox, fleet.claim, "claim-early") as device:
        claimant = Claimant(device, fleet)
        token = claimant.create_keys()[1]["certificateOwnershipToken"]
        assert claimant.register(token)[0] == "rejected"
        fleet.set_enabled(enabled=True)
        assert claimant.register(token)[0] == "accepted"


def test_a_new_certificate_cannot_connect_before_it_is_registered(
    claimant: Claimant, tmp_path: Path
) -> None:
    _, created = claimant.create_keys()
    pending = _Files(tmp_path, created["certificatePem"], created["privateKey"])
    with (
        pytest.raises(ConnectRefusedError),
        connected(claimant.fleet.sandbox, pending, "anything"),
    ):
        pass


class _Files:
    def __init__(self, directory: Path, certificate: str, key: str) -> None:
        self.certificate, self.private_key = directory / "a.crt", directory / "a.key"
        self.certificate.write_text(certificate)
        self.private_key.write_text(key)


def test_nobody_is_served_without_a_client_certificate(sandbox: Sandbox) -> None:
    context = ssl.create_default_context(cafile=str(sandbox.ca_file))
    connect = bytes.fromhex("101000044d5154540502003c000003616263")  # as "abc"
    address = ("127.0.0.1", sandbox.mqtt_port)
    with (
        socket.create_connection(address, timeout=5) as plain,
        context.wrap_socket(plain, server_hostname=sandbox.endpoint) as tls,
    ):
        try:
            tls.sendall(connect)
            answer = tls.recv(1)
        except OSError:
            answer = b""
    assert answer == b""


def test_an_mqtt_3_client_provisions_by_csr_too(fleet: Fleet) -> None:
    answered: Future[str] = Future()
    connection = mqtt_connection_builder.mtls_from_path(
        endpoint=fleet.sandbox.endpoint,
        port=fleet.sandbox.mqtt_port,
        cert_filepath=str(fleet.claim.certificate),
        pri_key_filepath=str(fleet.claim.private_key),
        ca_filepath=str(fleet.sandbox.ca_file),
        client_id="claim-mqtt3",
        clean_session=True,
    )
    connection.on_message(lambda topic, **_: answered.set_result(topic))
    connection.connect().result(10)
    request = json.dumps(csr_request())
    connection.publish(CREATE_FROM_CSR, request, mqtt.QoS.AT_LEAST_ONCE)[0].result(10)
    assert answered.result(10) == CSR_ANSWERS[0]
    connection.disconnect().result(10)


def test_the_same_client_id_twice_throws_the_first_one_out(claimant: Claimant) -> None:
    fleet = claimant.fleet
    with (
        connected(fleet.sandbox, fleet.claim, "claim-twice") as first,
        connected(fleet.sandbox, fleet.claim, "claim-twice"),
    ):
        assert first.lost.wait(5)
        assert first.disconnect_reason == SESSION_TAKEN_OVER


HOOK = """
def handler(event, context):
    serial = event["parameters"]["SerialNumber"]
    return {"allowProvisioning": serial != "stolen", "parameterOverrides": {"DeviceLocation": "hook"}}
"""


def test_a_pre_provisioning_hook_decides(sandbox: Sandbox, tmp_path: Path) -> None:
    fleet = make_fleet(sandbox, tmp_path)
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("hook.py", HOOK)
    role = aws_client(sandbox, "iam").get_role(RoleName=ROLE)["Role"]["Arn"]
    functions = aws_client(sandbox, "lambda")
    function = functions.create_function(
        FunctionName=fleet.name,
        Runtime="python3.11",
        Role=role,
        Handler="hook.handler",
        Code={"ZipFile": code.getvalue()},
    )["FunctionArn"]
    functions.add_permission(
        FunctionName=fleet.name,
        StatementId="iot",
        Action="lambda:InvokeFunction",
        Principal="iot.amazonaws.com",
    )
    hook = {"targetArn": function, "payloadVersion": "2020-04-01"}
    fleet.iot.update_provisioning_template(templateName=fleet.template, preProvisioningHook=hook)
    with connected(sandbox, fleet.claim, "claim-hook") as device:
        claimant = Claimant(device, fleet)
        token = claimant.create_keys()[1]["certificateOwnershipToken"]
        suffix, denied = claimant.register(token, "stolen")
        assert (suffix, denied["statusCode"]) == ("rejected", 403)
        suffix, allowed = claimant.register(token, "honest")
        assert (suffix, allowed["deviceConfiguration"]) == ("accepted", {"Location": "hook"})
