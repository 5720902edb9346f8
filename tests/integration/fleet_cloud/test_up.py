"""``fleet-cloud up``: fresh, again, by its printed script, half done, drifted, without a permission."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from iot_sandbox.launch import Sandbox
from support.aws import aws_client
from support.companion import FleetCloud, answer


def states(data: dict[str, list[dict[str, str]]]) -> dict[str, str]:
    return {resource["kind"]: resource["state"] for resource in data["resources"]}


def test_printed_script_sets_up_what_up_then_keeps_finishes_and_compares(
    fleet_cloud: FleetCloud, sandbox: Sandbox, operator: dict[str, str], tmp_path: Path
) -> None:
    iot, iam = aws_client(sandbox, "iot"), aws_client(sandbox, "iam")
    up = ("up", "--name", "bikes")

    def by_hand(script: str) -> None:
        # The hook's archive is written where the script runs.
        subprocess.run(
            ["sh", "-ec", script], cwd=tmp_path, env=operator, check=True, capture_output=True
        )

    script = fleet_cloud(*up, "--dry-run").stdout
    assert [line.split()[2] for line in script.splitlines() if line.startswith("aws ")] == [
        "create-role",
        "attach-role-policy",
        "create-policy",
        "create-policy",
        "create-role",
        "attach-role-policy",
        "put-role-policy",
        "create-function",
        "add-permission",
        "create-provisioning-template",
    ]
    with pytest.raises(iot.exceptions.ResourceNotFoundException):
        iot.describe_provisioning_template(templateName="bikes")
    by_hand(script)
    again = fleet_cloud(*up)
    assert again.stdout.splitlines()[-1] == "nothing to do: everything exists"

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

    found = answer(fleet_cloud(*up, "--json"))
    assert states(found) == {
        "role": "unchanged",
        "role policy": "created",
        "device policy": "updated",
        "claim policy": "unchanged",
        "hook role": "unchanged",
        "hook role policy": "unchanged",
        "hook policy": "unchanged",
        "hook function": "unchanged",
        "hook permission": "unchanged",
        "template": "created",
    }
    (differing,) = [resource for resource in found["resources"] if resource["differences"]]
    assert differing["differences"] == ["document.Statement"]
    policy = iot.get_policy(policyName="bikes-device")
    assert policy["defaultVersionId"] == "3"
    assert '"*"' not in policy["policyDocument"]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_own_template_type_group_and_hook_are_made_kept_and_taken_back(
    fleet_cloud: FleetCloud, sandbox: Sandbox, tmp_path: Path
) -> None:
    iot = aws_client(sandbox, "iot")

    def up(*words: str | Path) -> tuple[dict[str, str], Any]:
        found = answer(fleet_cloud("up", "--name", "own", "--json", *words))
        return states(found), iot.describe_provisioning_template(templateName="own")

    allowed = tmp_path / "serials.txt"
    allowed.write_text("# first batch\nA-1\nA-2\n")
    made, template = up(
        "--thing-type", "own-bike", "--thing-group", "own-north", "--hook-allow", allowed
    )
    assert set(made.values()) == {"created"}
    things = json.loads(template["templateBody"])["Resources"]["thing"]["Properties"]
    assert (things["ThingTypeName"], things["ThingGroups"]) == ("own-bike", ["own-north"])
    assert template["preProvisioningHook"]["targetArn"].endswith(":function:own-hook")

    own = json.loads(template["templateBody"]) | {"DeviceConfiguration": {"Color": "red"}}
    for _ in range(4):  # with the first one as many as AWS keeps
        body = json.dumps(own)
        iot.create_provisioning_template_version(templateName="own", templateBody=body)
    own["DeviceConfiguration"]["Color"] = "blue"
    (tmp_path / "own.json").write_text(json.dumps(own))
    made, template = up("--template-file", tmp_path / "own.json")
    assert {kind for kind, state in made.items() if state != "unchanged"} == {"template"}
    assert json.loads(template["templateBody"]) == own
    assert template["preProvisioningHook"]["targetArn"].endswith(":function:own-hook")
    versions = iot.list_provisioning_template_versions(templateName="own")["versions"]
    assert sorted(version["versionId"] for version in versions) == [1, 3, 4, 5, 6]


def test_missing_permission_is_named_as_the_statement_to_add(
    fleet_cloud: FleetCloud, sandbox: Sandbox
) -> None:
    iam = aws_client(sandbox, "iam")
    iam.create_user(UserName="junior")
    allowed = {
        "Effect": "Allow",
        "Action": ["iam:*", "iot:Get*", "iot:Describe*", "lambda:Get*"],
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
