"""AWS credentials for programs on devices: set up by the operator, written into config.yaml, tried, taken away."""

import json
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from iot_sandbox.launch import Sandbox
from support.accounts import listing
from support.agent import Agent, run_command
from support.aws import aws_client
from support.companion import FleetCloud, answer
from support.fleets import Claim, Fleet
from support.vending import client_of, credentials

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

OWN = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": "s3:PutObject",
            "Resource": "arn:aws:s3:::ferry-logs/${credentials-iot:ThingName}/*",
        }
    ],
}


def check_verify(fleet_cloud: FleetCloud, sandbox: Sandbox) -> None:
    verified = answer(
        fleet_cloud("verify", "--name", "ferry", "--ca-file", sandbox.ca_file, "--json")
    )
    ends = {
        check["what"]: check["was"]
        for check in verified["checks"]
        if "AWS credentials" in check["what"]
    }
    assert ends == {
        "device gets AWS credentials of logs": "allowed",
        "device gets AWS credentials of more": "allowed",
        "device gets AWS credentials of another role alias": "refused",
    }
    assert verified["right"]


def check_device(fleet_cloud: FleetCloud, sandbox: Sandbox, tmp_path: Path) -> None:
    # config.yaml as it is written works on a device.
    out = tmp_path / "claim"
    claim = answer(
        fleet_cloud(
            "claim", "new", "--name", "ferry", "--out", out, "--ca-file", sandbox.ca_file,
            "--credentials-user", "collector", "--json",
        )
    )  # fmt: skip
    config = out / "config.yaml"
    assert 'endpoint: "localhost"\n  port: ' in config.read_text()
    assert '"logs": {allow: ["user:collector"]}' in config.read_text()
    fleet = Fleet(
        sandbox, "ferry", "ferry", "ferry-device", "ferry-claim",
        Claim(claim["certificate_id"], out / "x", out / "y"),
    )  # fmt: skip
    agent = Agent(fleet, tmp_path)
    done = run_command(
        "provision", "--json", "--config", config, "--state-dir", agent.state_dir,
        "--template-parameters", json.dumps({"SerialNumber": "7"}), "--allow-volatile",
    )  # fmt: skip
    assert done.status == 0, done.stdout + done.stderr
    got = credentials(
        "--config", config, "--state-dir", agent.state_dir, "--role-alias", "logs", "--as-owner"
    )
    assert got.status == 0, got.stderr
    found = {name[:1].lower() + name[1:]: str(value) for name, value in got.answer.items()}
    client = client_of(sandbox, found, "s3")
    client.put_object(Bucket="ferry-logs", Key="ferry-7/x", Body=b"x")
    with pytest.raises(ClientError, match="AccessDenied"):
        client.put_object(Bucket="ferry-logs", Key="ferry-8/x", Body=b"x")
    online = run_command(
        "doctor", "--online", "--json", "--config", config, "--state-dir", agent.state_dir,
        "--account", "123456789012",
    )  # fmt: skip
    checks = {
        finding["title"]
        for finding in online.answer["findings"]
        if finding["check"] == "AWS credentials"
    }
    assert any("logs" in title for title in checks)


def test_from_up_to_a_program_and_down_again(
    fleet_cloud: FleetCloud, sandbox: Sandbox, tmp_path: Path
) -> None:
    iot, s3 = aws_client(sandbox, "iot"), aws_client(sandbox, "s3")
    s3.create_bucket(
        Bucket="ferry-logs", CreateBucketConfiguration={"LocationConstraint": sandbox.region}
    )
    before = listing(sandbox)
    named = "--name", "ferry"
    policy = tmp_path / "policy.json"
    policy.write_text(json.dumps(OWN))
    fleet_cloud("up", *named, "--no-hook")
    made = answer(
        fleet_cloud(
            "up", *named, "--no-hook", "--credentials", "logs", "--credentials-policy", policy, "--json"
        )
    )  # fmt: skip
    states = {resource["kind"]: resource["state"] for resource in made["resources"]}
    assert states["credentials role"] == states["role alias"] == "created"
    assert states["device policy"] == "updated"
    alias = iot.describe_role_alias(roleAlias="logs")["roleAliasDescription"]
    assert alias["roleArn"].endswith(":role/ferry-credentials")
    assert alias["credentialDurationSeconds"] == 3600

    # A later up without the flags keeps it, with one more role alias adds that.
    assert not answer(fleet_cloud("up", *named, "--no-hook", "--json"))["changed"]
    fleet_cloud("up", *named, "--no-hook", "--credentials", f"more={alias['roleArn']}")
    device = json.loads(iot.get_policy(policyName="ferry-device")["policyDocument"])
    (statement,) = [
        each for each in device["Statement"] if each["Action"] == "iot:AssumeRoleWithCertificate"
    ]
    assert [arn.rpartition("/")[2] for arn in statement["Resource"]] == ["logs", "more"]
    assert statement["Condition"] == {"Bool": {"iot:Connection.Thing.IsAttached": ["true"]}}

    check_verify(fleet_cloud, sandbox)
    check_device(fleet_cloud, sandbox, tmp_path)
    s3.delete_object(Bucket="ferry-logs", Key="ferry-7/x")
    fleet_cloud("down", *named, "--yes")
    assert listing(sandbox) == before
    with pytest.raises(ClientError, match="ResourceNotFound"):
        iot.describe_role_alias(roleAlias="logs")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--credentials", "logs"], "names no role"),
        (["--credentials", "a.b=arn:aws:iam::123456789012:role/x"], "is neither"),
        (["--credentials", "logs=role"], "names no role"),
        (["--credentials-policy", "/nowhere"], "does not exist"),
        (["--no-credentials", "--credentials", "x"], "pass only one of them"),
    ],
)
def test_flags_that_cannot_be_meant(fleet_cloud: FleetCloud, words: list[str], said: str) -> None:
    done = fleet_cloud("up", "--name", "ferry", *words, status=2)
    assert said in done.stderr
