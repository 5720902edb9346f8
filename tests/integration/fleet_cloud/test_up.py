"""``fleet-cloud up``: fresh, again, by its printed script, half done, drifted, without a permission."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from iot_sandbox.launch import Sandbox
from support.aws import aws_client
from support.companion import FleetCloud, answer

KINDS = ["role", "role policy", "device policy", "claim policy", "template"]


def states(data: dict[str, list[dict[str, str]]]) -> dict[str, str]:
    return {resource["kind"]: resource["state"] for resource in data["resources"]}


def test_printed_script_sets_up_what_up_then_keeps_finishes_and_compares(
    fleet_cloud: FleetCloud, sandbox: Sandbox, operator: dict[str, str]
) -> None:
    iot, iam = aws_client(sandbox, "iot"), aws_client(sandbox, "iam")
    up = ("up", "--name", "bikes")

    def by_hand(script: str) -> None:
        subprocess.run(["sh", "-ec", script], env=operator, check=True, capture_output=True)

    script = fleet_cloud(*up, "--dry-run").stdout
    assert [line.split()[2] for line in script.splitlines() if not line.startswith("#")] == [
        "create-role",
        "attach-role-policy",
        "create-policy",
        "create-policy",
        "create-provisioning-template",
    ]
    with pytest.raises(iot.exceptions.ResourceNotFoundException):
        iot.describe_provisioning_template(templateName="bikes")
    by_hand(script)
    again = fleet_cloud(*up)
    assert again.stdout.splitlines()[-1] == "nothing to do: all of it is there"

    # An earlier run that did not get far, and somebody's change by hand.
    iot.delete_provisioning_template(templateName="bikes")
    (attached,) = iam.list_attached_role_policies(RoleName="bikes-provisioning")[
        "AttachedPolicies"
    ]
    iam.detach_role_policy(RoleName="bikes-provisioning", PolicyArn=attached["PolicyArn"])
    wide = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
    }
    iot.create_policy_version(
        policyName="bikes-device", policyDocument=json.dumps(wide), setAsDefault=True
    )

    found = answer(fleet_cloud(*up, "--json", status=1))
    assert states(found) == {
        "role": "unchanged",
        "role policy": "created",
        "device policy": "differs",
        "claim policy": "unchanged",
        "template": "created",
    }
    (differing,) = [resource for resource in found["resources"] if resource["differences"]]
    assert differing["differences"] == ["document.Statement"]

    (mending,) = differing["mending"]
    by_hand(mending)
    end = answer(fleet_cloud(*up, "--json"))
    assert (end["changed"], states(end)) == (False, dict.fromkeys(KINDS, "unchanged"))


def test_missing_permission_is_named_as_the_statement_to_add(
    fleet_cloud: FleetCloud, sandbox: Sandbox
) -> None:
    iam = aws_client(sandbox, "iam")
    iam.create_user(UserName="junior")
    allowed = {
        "Effect": "Allow",
        "Action": ["iam:*", "iot:Get*", "iot:Describe*"],
        "Resource": "*",
    }
    iam.put_user_policy(
        UserName="junior",
        PolicyName="may",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [allowed]}),
    )
    key = iam.create_access_key(UserName="junior")["AccessKey"]
    junior = {
        "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
    }
    done = fleet_cloud("up", "--name", "denied", "--json", status=1, credentials=junior)
    error = answer(done)["error"]
    assert error["cause"] == "these credentials may not iot:CreatePolicy"
    assert error["command"].startswith("aws iot create-policy --policy-name denied-device")
    assert '"Action": "iot:CreatePolicy"' in error["remedy"]
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_commands_of_the_page_take_everything_away_again(
    fleet_cloud: FleetCloud,
    sandbox: Sandbox,
    operator: dict[str, str],
    root_dir: Path,
    tmp_path: Path,
) -> None:
    page = (root_dir / "docs" / "how-to" / "set-up-the-cloud.md").read_text()
    (script,) = [
        block for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL) if "NAME=" in block
    ]
    fleet_cloud("up", "--name", "gone")
    made = answer(fleet_cloud("claim", "new", "--name", "gone", "--out", tmp_path, "--json"))

    take_away = script.replace("NAME=fleet", "NAME=gone")
    subprocess.run(["sh", "-ec", take_away], env=operator, check=True, capture_output=True)
    left = answer(fleet_cloud("up", "--name", "gone", "--dry-run", "--json"))
    assert states(left) == dict.fromkeys(KINDS, "missing")
    iot = aws_client(sandbox, "iot")
    with pytest.raises(iot.exceptions.ResourceNotFoundException):
        iot.describe_certificate(certificateId=made["certificate_id"])
