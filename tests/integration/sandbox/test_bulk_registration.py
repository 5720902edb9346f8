"""Bulk registration tasks: a file with good and bad lines, what is refused, cancelling."""

import json
import time
import urllib.request
import uuid
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from iot_sandbox.launch import Sandbox
from support.aws import aws, aws_client
from support.csr import make_csr, make_key

POLICY = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "iot:Connect", "Resource": "*"}],
    }
)
TEMPLATE = {
    "Parameters": {name: {"Type": "String"} for name in ("ThingName", "CSR")},
    "Resources": {
        "thing": {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": {"Ref": "ThingName"}}},
        "certificate": {
            "Type": "AWS::IoT::Certificate",
            "Properties": {"CertificateSigningRequest": {"Ref": "CSR"}, "Status": "ACTIVE"},
        },
        "policy": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyDocument": POLICY}},
    },
}
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "iot.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ],
}
READ = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}],
}


@pytest.fixture
def request_of(sandbox: Sandbox) -> dict[str, str]:
    """A role that may read and register, a bucket, and what starts a task with them."""
    iam, name = aws_client(sandbox, "iam"), f"bulk-{uuid.uuid4().hex[:8]}"
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]
    iam.attach_role_policy(
        RoleName=name,
        PolicyArn="arn:aws:iam::aws:policy/service-role/AWSIoTThingsRegistration",
    )
    iam.put_role_policy(RoleName=name, PolicyName="read", PolicyDocument=json.dumps(READ))
    aws_client(sandbox, "s3").create_bucket(
        Bucket=name, CreateBucketConfiguration={"LocationConstraint": sandbox.region}
    )
    return {
        "templateBody": json.dumps(TEMPLATE),
        "inputFileBucket": name,
        "inputFileKey": "lines",
        "roleArn": role["Arn"],
    }


def put(sandbox: Sandbox, request: dict[str, str], lines: list[str]) -> None:
    aws_client(sandbox, "s3").put_object(
        Bucket=request["inputFileBucket"], Key="lines", Body="\n".join(lines).encode()
    )


def ended(iot: Any, task: str) -> Any:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        described = iot.describe_thing_registration_task(taskId=task)
        if described["status"] not in {"InProgress", "Cancelling"}:
            return described
        time.sleep(0.02)
    raise AssertionError("the task did not end")


def line(name: str) -> str:
    return json.dumps({"ThingName": name, "CSR": make_csr(make_key())})


def test_good_lines_register_and_bad_ones_are_reported_by_number(
    sandbox: Sandbox, request_of: dict[str, str], tmp_path: Path
) -> None:
    iot = aws_client(sandbox, "iot")
    put(sandbox, request_of, [line("bulk-1"), "no JSON", '{"ThingName": "x", "CSR": "no"}'])
    (tmp_path / "template.json").write_text(request_of["templateBody"])
    task = aws(
        sandbox,
        *("iot", "start-thing-registration-task"),
        *("--template-body", f"file://{tmp_path / 'template.json'}"),
        *("--input-file-bucket", request_of["inputFileBucket"], "--input-file-key", "lines"),
        *("--role-arn", request_of["roleArn"]),
    )["taskId"]
    described = ended(iot, task)
    assert (described["status"], described["percentageProgress"]) == ("Completed", 100)
    assert (described["successCount"], described["failureCount"]) == (1, 2)
    reports = {}
    for kind in ("RESULTS", "ERRORS"):
        (link,) = aws(
            sandbox,
            *("iot", "list-thing-registration-task-reports"),
            *("--task-id", task, "--report-type", kind),
        )["resourceLinks"]
        with urllib.request.urlopen(link, timeout=10) as answer:
            reports[kind] = [json.loads(text) for text in answer.read().decode().splitlines()]
    (made,) = reports["RESULTS"]
    assert [entry["lineNumber"] for entry in reports["ERRORS"]] == [2, 3]
    arn = made["response"]["ResourceArns"]["certificate"]
    assert iot.list_thing_principals(thingName="bulk-1")["principals"] == [arn]
    certificate = iot.describe_certificate(certificateId=arn.rpartition("/")[2])
    assert certificate["certificateDescription"]["status"] == "ACTIVE"
    assert len(iot.list_attached_policies(target=arn)["policies"]) == 1
    assert task in iot.list_thing_registration_tasks(status="Completed")["taskIds"]


def test_a_second_task_waits_its_turn_and_the_first_can_be_cancelled(
    sandbox: Sandbox, request_of: dict[str, str]
) -> None:
    iot = aws_client(sandbox, "iot")
    put(sandbox, request_of, [line("bulk-2")] * 2000)
    task = iot.start_thing_registration_task(**request_of)["taskId"]
    with pytest.raises(ClientError, match="in progress"):
        iot.start_thing_registration_task(**request_of)
    iot.stop_thing_registration_task(taskId=task)
    assert ended(iot, task)["status"] == "Cancelled"


def test_a_file_that_the_role_may_not_read_fails_the_task(
    sandbox: Sandbox, request_of: dict[str, str]
) -> None:
    iot, iam = aws_client(sandbox, "iot"), aws_client(sandbox, "iam")
    iam.delete_role_policy(RoleName=request_of["inputFileBucket"], PolicyName="read")
    put(sandbox, request_of, [line("bulk-3")])
    task = iot.start_thing_registration_task(**request_of)["taskId"]
    assert ended(iot, task)["status"] == "Failed"


@pytest.mark.parametrize(
    "change",
    [
        {"templateBody": "{"},
        {"templateBody": json.dumps(TEMPLATE | {"Mappings": {}})},
        {"templateBody": json.dumps({"Resources": {}})},
        {"roleArn": "arn:aws:iam::123456789012:role/nobody"},
    ],
)
def test_what_no_task_can_do_is_refused(
    sandbox: Sandbox, request_of: dict[str, str], change: dict[str, str]
) -> None:
    with pytest.raises(ClientError, match="InvalidRequestException"):
        aws_client(sandbox, "iot").start_thing_registration_task(**request_of | change)
