"""An operator with the printed policy runs each command; one whose policy lacks an action is told which."""

import json
from pathlib import Path
from typing import Any

import pytest

from iot_sandbox.launch import Sandbox
from support.aws import aws_client
from support.companion import FleetCloud, answer

pytestmark = [pytest.mark.slow, pytest.mark.thorough, pytest.mark.timeout(900)]


def test_each_command_runs_with_its_policy_and_names_what_another_lacks(
    fleet_cloud: FleetCloud, sandbox: Sandbox, tmp_path: Path
) -> None:
    iam = aws_client(sandbox, "iam")
    iam.create_user(UserName="clerk")
    key = iam.create_access_key(UserName="clerk")["AccessKey"]
    who = {
        "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
    }

    def may(command: str, *, but: str | None = None) -> None:
        policy = answer(fleet_cloud("operator-policy", "--name", "desk", command))
        for statement in policy["Statement"]:
            statement["Action"] = [each for each in statement["Action"] if each != but]
            # The sandbox knows no resource where it is not in the path.
            statement["Resource"] = "*"
        kept = [each for each in policy["Statement"] if each["Action"]]
        nothing = {"Effect": "Deny", "Action": "iot:Publish", "Resource": "*"}
        policy["Statement"] = kept or [nothing]
        document = json.dumps(policy)
        iam.put_user_policy(UserName="clerk", PolicyName="may", PolicyDocument=document)

    def run(*words: str | Path, status: int = 0) -> Any:
        named = (*words, "--name", "desk", "--json")
        return answer(fleet_cloud(*named, status=status, credentials=who))

    bulk, things = tmp_path / "bulk", tmp_path / "things"
    ca, topic = ("--ca-file", sandbox.ca_file), ("--topic", "dt/+/x", "--sns", "desk")
    rows: list[tuple[str, str, tuple[str | Path, ...]]] = [
        ("bulk", "s3:PutObject", ("bulk", "--count", "2", "--out", bulk)),
        ("check", "iot:DescribeEndpoint", ("check", "--all", "--out", bulk, *ca)),
        ("bulk reset", "s3:ListBucket", ("bulk", "reset", "--out", bulk, "--yes")),
        ("rule up", "sns:CreateTopic", ("rule", "up", *topic, "--email", "a@example.com")),
        ("rule down", "iot:ListTopicRules", ("rule", "down", "--yes")),
        ("things create", "iot:CreateThing", ("things", "create", "--out", things)),
        (
            "things send",
            "iot:AttachPolicy",
            ("things", "send", "--out", things, "--duration", "0.1", *ca),
        ),
        ("things clean", "iot:ListPolicyVersions", ("things", "clean", "--out", things, "--yes")),
    ]
    for command, lacking, words in rows:
        may(command, but=lacking)
        error = run(*words, status=1)["error"]
        assert error["cause"] == f"these credentials may not {lacking}"
        assert f'"Action": "{lacking}"' in error["remedy"]
        may(command)
        run(*words)
