"""A fleet's whole life by the operator's commands: claims, devices, status, and an account left as it was."""

import json
from pathlib import Path
from typing import Any

import pytest

from iot_sandbox.launch import Sandbox
from support.accounts import listing
from support.aws import aws_client
from support.claimant import Claimant
from support.companion import FleetCloud, answer
from support.fleets import Claim, Fleet
from support.mqtt import ConnectRefusedError, Device, connected

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def provision(fleet: Fleet, serial: str) -> tuple[str, int | None]:
    """Registers a device; gives the answer's topic and, when refused, the status."""
    with connected(fleet.sandbox, fleet.claim, f"claim-{serial}") as device:
        claimant = Claimant(device, fleet)
        token = claimant.create_keys()[1]["certificateOwnershipToken"]
        suffix, document = claimant.register(token, serial)
    return suffix, document.get("statusCode")


def test_fleet_lives_and_leaves_the_account_as_it_was(
    fleet_cloud: FleetCloud, sandbox: Sandbox, tmp_path: Path
) -> None:
    iot = aws_client(sandbox, "iot")
    iot.create_thing_type(thingTypeName="theirs")
    iot.create_thing(thingName="trams-2-foreign", attributePayload={"attributes": {}})
    before = listing(sandbox)

    def run(*words: str | Path, status: int = 0) -> Any:
        return answer(fleet_cloud(*words, "--name", "trams", "--json", status=status))

    run("up", "--thing-type", "theirs", "--thing-group", "lines", "--hook-pattern", "T-[0-9]+")
    made = run("claim", "new", "--out", tmp_path / "claim", "--batch", "b1")
    claim = Claim(
        made["certificate_id"], Path(made["certificate_file"]), Path(made["private_key_file"])
    )
    fleet = Fleet(sandbox, "trams", "trams", "trams-device", "trams-claim", claim)
    assert provision(fleet, "T-1") == ("accepted", None)
    assert provision(fleet, "T-2") == ("accepted", None)
    assert provision(fleet, "X-3") == ("rejected", 403)  # the hook says no

    # A second certificate on one thing, one without a thing, and one of an interrupted claim new.
    newer, orphan = (iot.create_keys_and_certificate(setAsActive=True) for _ in range(2))
    for each in (newer, orphan):
        iot.attach_policy(policyName="trams-device", target=each["certificateArn"])
    (older,) = fleet.certificate_ids("trams-T-1")
    iot.attach_thing_principal(thingName="trams-T-1", principal=newer["certificateArn"])

    shown = run("status")
    assert {resource["state"] for resource in shown["resources"]} == {"unchanged"}
    assert [(each["batch"], each["state"]) for each in shown["claims"]] == [("b1", "active")]
    assert shown["devices"]["things"] == 2

    # Which of the two the device uses, age does not tell: its owner does.
    first = run("devices", "prune", "--min-age", "0", "--yes")
    assert [(each["thing"], {*each["certificates"]}) for each in first["undecided"]] == [
        ("trams-T-1", {older, newer["certificateId"]})
    ]
    second = run("devices", "prune", "--yes", older[:12])
    pruned = first["certificates"] + second["certificates"]
    reasons = {each["certificate_id"]: each["reason"] for each in pruned}
    assert reasons == {older: "named", orphan["certificateId"]: "orphaned"}
    listed = run("devices", "list")
    assert [(device["thing"], len(device["certificates"])) for device in listed["devices"]] == [
        ("trams-T-1", 1),
        ("trams-T-2", 1),
    ]
    assert run("devices", "clean", "trams-T-2", "--yes")["deleted"] == ["trams-T-2"]
    assert "not-confirmed" in json.dumps(run("down", status=1))

    gone = run("down", "--yes")
    assert gone["left"] == {}
    assert gone["not_ours"] == ["thing type theirs"]
    after = listing(sandbox)
    # Refused by the hook and never registered: no fleet's, and AWS deletes it by itself.
    pending = {
        certificate
        for certificate in after["certificates"]
        if certificate[1] == "PENDING_ACTIVATION"
    }
    after["certificates"] = [
        certificate for certificate in after["certificates"] if certificate not in pending
    ]
    before["certificates"] = [
        certificate for certificate in before["certificates"] if certificate not in pending
    ]
    assert after == before
    assert run("down", "--yes")["deleted"] == []


def test_revoked_claim_cannot_connect_and_leftover_is_found(
    fleet_cloud: FleetCloud, sandbox: Sandbox, tmp_path: Path
) -> None:
    iot = aws_client(sandbox, "iot")
    named = ("--name", "ferries")
    fleet_cloud("up", *named)
    made = answer(
        fleet_cloud("claim", "new", *named, "--out", tmp_path, "--batch", "b2", "--json")
    )
    claim = Claim(
        made["certificate_id"], Path(made["certificate_file"]), Path(made["private_key_file"])
    )
    with connected(sandbox, claim, "claim-before"):
        pass
    fleet_cloud("claim", "revoke", *named, tmp_path)
    with pytest.raises(ConnectRefusedError):
        Device(sandbox, claim, "claim-after")

    iot.detach_policy(policyName="ferries-claim", target=made["certificate_arn"])
    (left,) = answer(fleet_cloud("claim", "list", *named, "--all", "--json"))["claims"]
    assert (left["state"], left["batch"]) == ("leftover", "b2")
    fleet_cloud("claim", "revoke", *named, "--leftovers", "--delete", "--yes")
    with pytest.raises(iot.exceptions.ResourceNotFoundException):
        iot.describe_certificate(certificateId=made["certificate_id"])
