"""Fleet provisioning set up with plain ``aws`` commands, as AWS's own sample tells, and then a device by our agent."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from iot_sandbox.launch import Sandbox
from support.aws import aws_client

TEMPLATE = json.dumps(
    {
        "Parameters": {
            "DeviceLocation": {"Type": "String"},
            "AWS::IoT::Certificate::Id": {"Type": "String"},
            "SerialNumber": {"Type": "String"},
        },
        "Mappings": {"LocationTable": {"Seattle": {"LocationUrl": "https://example.aws"}}},
        "Resources": {
            "thing": {
                "Type": "AWS::IoT::Thing",
                "Properties": {
                    "ThingName": {"Fn::Join": ["", ["ThingPrefix_", {"Ref": "SerialNumber"}]]},
                    "AttributePayload": {"version": "v1", "serialNumber": "serialNumber"},
                },
                "OverrideSettings": {
                    "AttributePayload": "MERGE",
                    "ThingTypeName": "REPLACE",
                    "ThingGroups": "DO_NOTHING",
                },
            },
            "certificate": {
                "Type": "AWS::IoT::Certificate",
                "Properties": {
                    "CertificateId": {"Ref": "AWS::IoT::Certificate::Id"},
                    "Status": "Active",
                },
                "OverrideSettings": {"Status": "REPLACE"},
            },
            "policy": {
                "Type": "AWS::IoT::Policy",
                "Properties": {
                    "PolicyDocument": {
                        "Version": "2012-10-17",
                        "Statement": [
                            {
                                "Effect": "Allow",
                                "Action": [
                                    "iot:Connect",
                                    "iot:Subscribe",
                                    "iot:Publish",
                                    "iot:Receive",
                                ],
                                "Resource": "*",
                            }
                        ],
                    }
                },
            },
        },
        "DeviceConfiguration": {
            "FallbackUrl": "https://www.example.com/test-site",
            "LocationUrl": {
                "Fn::FindInMap": ["LocationTable", {"Ref": "DeviceLocation"}, "LocationUrl"]
            },
        },
    }
)

TRUST = (
    '{"Version":"2012-10-17","Statement":[{"Action":"sts:AssumeRole","Effect":"Allow",'
    '"Principal":{"Service":"iot.amazonaws.com"}}]}'
)
SET_UP = """\
aws iam create-role \
    --role-name SampleRole \
    --assume-role-policy-document "$TRUST"
aws iam attach-role-policy \
        --role-name SampleRole \
        --policy-arn arn:aws:iam::aws:policy/service-role/AWSIoTThingsRegistration
aws iot create-provisioning-template \
        --template-name SampleTemplate \
        --provisioning-role-arn arn:aws:iam::123456789012:role/SampleRole \
        --template-body "$TEMPLATE" \
        --enabled
openssl genrsa -out deviceCert.key 2048
yes '' | openssl req -new -key deviceCert.key -out deviceCert.csr
"""
CLAIM = "aws iot create-provisioning-claim --template-name SampleTemplate"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_device_provisions_with_keys_and_with_a_csr(
    sandbox: Sandbox, operator: dict[str, str], tmp_path: Path
) -> None:
    def run(*words: str | Path, script: bool = False) -> str:
        done = subprocess.run(
            ["sh", "-ec", *words] if script else [*words],
            env=operator | {"TEMPLATE": TEMPLATE, "TRUST": TRUST},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    run(SET_UP, script=True)
    claim = json.loads(run(CLAIM, script=True))
    (tmp_path / "provision.cert.pem").write_text(claim["certificatePem"])
    key = tmp_path / "provision.private.key"
    key.touch(mode=0o600)
    key.write_text(claim["keyPair"]["PrivateKey"])
    agent = (
        *(Path(sys.executable).with_name("fleet-agent"), "provision", "--json"),
        *("--endpoint", sandbox.endpoint, "--port", str(sandbox.mqtt_port)),
        *("--ca-file", sandbox.ca_file, "--allow-volatile"),
        *("--cert", "provision.cert.pem", "--key", key, "--template-name", "SampleTemplate"),
    )
    for serial, more in (
        ("1", ("--method", "keys")),
        ("2", ("--csr", "deviceCert.csr", "--csr-key", "deviceCert.key")),
    ):
        parameters = json.dumps({"SerialNumber": serial, "DeviceLocation": "Seattle"})
        state = ("--state-dir", tmp_path / serial, "--template-parameters", parameters)
        reported = json.loads(run(*agent, *state, *more))
        assert reported["thing_name"] == f"ThingPrefix_{serial}"
        assert reported["proven"] is True
        assert reported["device_configuration"]["LocationUrl"] == "https://example.aws"
    things = aws_client(sandbox, "iot").list_things()["things"]
    assert {"ThingPrefix_1", "ThingPrefix_2"} <= {thing["thingName"] for thing in things}
