"""``fleet-cloud things``: create, more, send, another topic, clean."""

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
    told = answer(fleet_cloud(*send, "--topic", "elf/example", "Example ELF message", "--json"))
    assert told["failed"] == {}
    assert set(told["sent"]) == {"thing_0", "thing_1"}
    assert "elf/example" in iot.get_policy(policyName="policy-thing_0")["policyDocument"]

    fleet_cloud("things", "clean", "--out", out, status=1)  # nobody said yes
    fleet_cloud("things", "clean", "--out", out, "--yes")
    assert [*out.iterdir()] == []
    names = [thing["thingName"] for thing in iot.list_things()["things"]]
    assert not {"thing_0", "thing_1"} & {*names}
    with pytest.raises(iot.exceptions.ResourceNotFoundException):
        iot.get_policy(policyName="policy-thing_0")
    done = fleet_cloud("things", "clean", "--out", out, "--yes")
    assert done.stdout.startswith("nothing to do")
