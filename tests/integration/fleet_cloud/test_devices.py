"""One device looked at, what its ledger gave up retired, and drift that ``status`` shows and ``up`` mends."""

import json
from pathlib import Path
from typing import Any

import pytest

from iot_sandbox.launch import Sandbox
from support.aws import aws_client
from support.companion import FleetCloud, answer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def write_ledger(path: Path, events: list[tuple[Any, str]]) -> None:
    lines = [
        json.dumps({"certificate_id": each["certificateId"], "event": event})
        for each, event in events
    ]
    path.write_text("\n".join([*lines, '{"torn']))


def make_policy(iot: Any, name: str) -> None:
    document = {"Effect": "Allow", "Action": "iot:Connect", "Resource": "*"}
    iot.create_policy(
        policyName=name,
        policyDocument=json.dumps({"Version": "2012-10-17", "Statement": [document]}),
    )


def test_device_is_shown_and_what_its_ledger_gave_up_is_retired(
    fleet_cloud: FleetCloud, sandbox: Sandbox, tmp_path: Path
) -> None:
    iot, named = aws_client(sandbox, "iot"), ("--name", "pumps", "--json")
    fleet_cloud("up", "--name", "pumps", "--thing-group", "pumps-north")
    iot.create_thing(thingName="pumps-7", attributePayload={"attributes": {"serialNumber": "7"}})
    iot.add_thing_to_thing_group(thingGroupName="pumps-north", thingName="pumps-7")
    current, replaced, unresolved, foreign, operators, others, bare, second = (
        iot.create_keys_and_certificate(setAsActive=True) for _ in range(8)
    )
    for item in (current, replaced, unresolved, second):
        iot.attach_policy(policyName="pumps-device", target=item["certificateArn"])
    iot.attach_thing_principal(thingName="pumps-7", principal=current["certificateArn"])
    iot.create_thing(thingName="somebody-elses")
    iot.attach_thing_principal(thingName="somebody-elses", principal=foreign["certificateArn"])
    fleet_cloud("up", "--name", "wells")
    iot.attach_policy(policyName="wells-device", target=others["certificateArn"])
    make_policy(iot, "pumps-operators")
    iot.attach_policy(policyName="pumps-operators", target=operators["certificateArn"])

    shown = answer(fleet_cloud("devices", "show", "pumps-7", *named))
    assert (shown["groups"], shown["attributes"]) == (["pumps-north"], {"serialNumber": "7"})
    (certificate,) = shown["certificates"]
    assert certificate["certificate"] == current["certificateId"]
    assert (certificate["status"], certificate["policies"]) == ("ACTIVE", "pumps-device")
    missing = answer(fleet_cloud("devices", "show", "pumps-9", *named, status=1))
    assert missing["error"]["code"] == "thing-missing"

    iot.attach_thing_principal(thingName="pumps-7", principal=replaced["certificateArn"])
    iot.create_thing(thingName="pumps-8", attributePayload={"attributes": {"serialNumber": "8"}})
    iot.attach_thing_principal(thingName="pumps-8", principal=second["certificateArn"])

    # The ledger of a device in somebody's hands: it names what is not its own, too.
    ledger = tmp_path / "ledger.jsonl"
    events = [(unresolved, "unresolved"), (replaced, "retired"), (current, "current")]
    events += [(each, "dropped") for each in (foreign, operators, others, bare, second)]
    write_ledger(ledger, events)
    prune = ("devices", "prune", "--ledger", ledger, *named)
    error = answer(fleet_cloud(*prune, status=1))["error"]  # nobody said yes
    assert error["code"] == "not-confirmed"
    retired = answer(fleet_cloud(*prune, "--yes"))["certificates"]
    assert {each["certificate_id"] for each in retired if each["reason"] == "ledger"} == {
        unresolved["certificateId"],
        replaced["certificateId"],
    }
    assert {each["reason"] for each in retired} == {"ledger"}
    left = {each["certificateId"] for each in iot.list_certificates()["certificates"]}
    for each in (current, foreign, operators, others, bare, second):
        assert each["certificateId"] in left

    # After a reset the ledger names none in use: nothing on a thing goes before somebody says whose it is.
    ledger.write_text(json.dumps({"certificate_id": second["certificateId"], "event": "retired"}))
    for whose in ((), ("--thing", "pumps-7")):
        assert answer(fleet_cloud(*prune, *whose, "--yes"))["certificates"] == []
    (gone,) = answer(fleet_cloud(*prune, "--thing", "pumps-8", "--yes"))["certificates"]
    assert (gone["certificate_id"], gone["things"]) == (second["certificateId"], ["pumps-8"])


def test_every_drift_is_shown_by_status_and_mended_by_up(
    fleet_cloud: FleetCloud, sandbox: Sandbox
) -> None:
    iot, iam, functions = (aws_client(sandbox, each) for each in ("iot", "iam", "lambda"))
    named = ("--name", "drift", "--json")
    hook = ("--hook-pattern", "D-.*")
    fleet_cloud("up", *named, *hook, "--thing-type", "drift-type", "--billing-group", "drift-fees")

    def drifted(status: int = 1) -> dict[str, tuple[str, list[str]]]:
        reported: Any = answer(fleet_cloud("status", *named, status=status))
        return {
            resource["kind"]: (resource["state"], resource["differences"])
            for resource in reported["resources"]
            if resource["state"] != "unchanged"
        }

    assert drifted(0) == {}
    iam.untag_role(RoleName="drift-provisioning", TagKeys=["fleet"])
    reported = answer(fleet_cloud("status", *named, status=1))
    assert reported["untagged"] == [{"kind": "role", "name": "drift-provisioning"}]
    ours = {"Key": "fleet", "Value": "drift"}
    iam.tag_role(RoleName="drift-provisioning", Tags=[ours])
    functions.delete_function(FunctionName="drift-hook")
    iot.update_provisioning_template(templateName="drift", enabled=False)
    iot.deprecate_thing_type(thingTypeName="drift-type")
    iot.delete_billing_group(billingGroupName="drift-fees")
    trust = iam.get_role(RoleName="drift-provisioning")["Role"]["AssumeRolePolicyDocument"]
    del trust["Statement"][0]["Condition"]
    iam.update_assume_role_policy(RoleName="drift-provisioning", PolicyDocument=json.dumps(trust))
    found = drifted()
    assert {kind: state for kind, (state, _) in found.items()} == {
        "role": "differs",
        "hook function": "missing",
        "hook permission": "missing",
        "thing type": "differs",
        "billing group": "missing",
        "template": "differs",
    }
    assert found["template"][1] == ["enabled"]
    # What the lost function decided nobody knows: it has to be said again.
    error = answer(fleet_cloud("up", *named, status=1))["error"]
    assert error["code"] == "hook-missing"
    fleet_cloud("up", *named, *hook)
    assert drifted(0) == {}


def test_claim_whose_key_aws_makes_is_kept_private_and_made_once(
    fleet_cloud: FleetCloud, tmp_path: Path
) -> None:
    fleet_cloud("up", "--name", "kegs")
    words = ("claim", "new", "--name", "kegs", "--aws-keys", "--out", tmp_path, "--json")
    made = answer(fleet_cloud(*words))
    assert made["state"] == "created"
    for name in ("private_key_file", "certificate_file"):
        assert Path(made[name]).stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "config.yaml").is_file()
    again = answer(fleet_cloud(*words))
    assert (again["state"], again["certificate_id"]) == ("unchanged", made["certificate_id"])
