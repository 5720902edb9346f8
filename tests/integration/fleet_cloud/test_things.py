"""``fleet-cloud things``: create, more, send, another topic, clean."""

import json
from pathlib import Path

import pytest

from iot_sandbox.launch import Sandbox
from support.aws import aws_client
from support.companion import FleetCloud, answer


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_things_are_made_heard_and_taken_away(
    fleet_cloud: FleetCloud, sandbox: Sandbox, tmp_path: Path
) -> None:
    iot, out = aws_client(sandbox, "iot"), tmp_path / "things"
    assert answer(fleet_cloud("things", "create", "--out", out, "--json"))["made"] == ["thing_0"]
    more = answer(fleet_cloud("things", "create", "2", "--out", out, "--json"))
    assert more["made"] == ["thing_1"]
    assert (out / "thing_1.private.pem.key").stat().st_mode & 0o777 == 0o600
    again = fleet_cloud("things", "create", "2", "--out", out)
    assert again.stdout.startswith("nothing to do")

    send = ("things", "send", "--out", out, "--ca-file", sandbox.ca_file, "--duration", "1")
    reported = answer(
        fleet_cloud(*send, "--topic", "elf/example", "Example ELF message", "--json")
    )
    assert reported["failed"] == {}
    assert set(reported["sent"]) == {"thing_0", "thing_1"}
    assert "elf/example" in iot.get_policy(policyName="policy-thing_0")["policyDocument"]
    done = fleet_cloud("things", "send", "--out", out, "--json", status=1)  # without the CA
    error = answer(done)["error"]
    assert error["code"] == "endpoint-unreachable"
    assert "--ca-file" in error["remedy"]
    assert "thing_0" not in done.stdout

    fleet_cloud("things", "clean", "--out", out, status=1)  # nobody said yes
    fleet_cloud("things", "clean", "--out", out, "--yes")
    assert [*out.iterdir()] == []
    names = [thing["thingName"] for thing in iot.list_things()["things"]]
    assert not {"thing_0", "thing_1"} & {*names}
    with pytest.raises(iot.exceptions.ResourceNotFoundException):
        iot.get_policy(policyName="policy-thing_0")
    done = fleet_cloud("things", "clean", "--out", out, "--yes")
    assert done.stdout.startswith("nothing to do")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_what_a_record_names_that_is_somebody_elses_stays(
    fleet_cloud: FleetCloud, sandbox: Sandbox, tmp_path: Path
) -> None:
    iot, account = aws_client(sandbox, "iot"), {"account": "123456789012", "region": "eu-west-1"}
    used, bare, policed = (iot.create_keys_and_certificate(setAsActive=True) for _ in range(3))
    iot.create_thing(thingName="thing_900")
    iot.create_thing(thingName="pump-900")
    iot.attach_thing_principal(thingName="pump-900", principal=used["certificateArn"])
    document = {"Effect": "Allow", "Action": "iot:Connect", "Resource": "*"}
    iot.create_policy(
        policyName="operator-900",
        policyDocument=json.dumps({"Version": "2012-10-17", "Statement": [document]}),
    )
    iot.attach_policy(policyName="operator-900", target=policed["certificateArn"])
    named = {"thing_900": bare, "thing_901": used, "thing_902": policed}
    things = {thing: each["certificateArn"] for thing, each in named.items()}
    (tmp_path / "things.json").write_text(json.dumps({**account, "things": things}))
    clean = ("things", "clean", "--out", tmp_path, "--yes", "--json")
    assert answer(fleet_cloud(*clean, status=1))["left"] == [*things]
    found = {
        certificate["certificateArn"]: certificate["status"]
        for certificate in iot.list_certificates()["certificates"]
    }
    assert {found[arn] for arn in things.values()} == {"ACTIVE"}
    iot.describe_thing(thingName="thing_900")
    assert (tmp_path / "things.json").is_file()
