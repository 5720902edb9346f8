"""The hook as a fleet has it: real registrations, the real ``aws``, and what an operator sees and allows."""

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from iot_sandbox.launch import Sandbox
from support.claimant import Claimant
from support.companion import FleetCloud, answer
from support.csr import Key, make_csr, make_key
from support.fleets import Claim, Fleet
from support.mqtt import connected

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

Run = Callable[..., Any]


def make(fleet_cloud: FleetCloud, sandbox: Sandbox, folder: Path, name: str) -> tuple[Run, Fleet]:
    def run(*words: str | Path, status: int = 0) -> Any:
        return answer(fleet_cloud(*words, "--name", name, "--json", status=status))

    run("up", "--thing-type", f"{name}-type", "--thing-group", f"{name}-group")
    made = run("claim", "new", "--out", folder)
    claim = Claim(
        made["certificate_id"], Path(made["certificate_file"]), Path(made["private_key_file"])
    )
    return run, Fleet(sandbox, name, name, f"{name}-device", f"{name}-claim", claim)


def register(fleet: Fleet, serial: str, key: Key, client: str = "x") -> tuple[str, int | None]:
    """Come with the claim and a key; give how it ended."""
    with connected(fleet.sandbox, fleet.claim, f"claim-{client}") as device:
        claimant = Claimant(device, fleet)
        token = claimant.create_from_csr(make_csr(key))[1]["certificateOwnershipToken"]
        suffix, document = claimant.register(token, serial)
    return suffix, document.get("statusCode")


def hash_of(key: Key) -> str:
    import hashlib

    der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


YES, NO = ("accepted", None), ("rejected", 403)


def test_thief_with_the_claim_is_refused_seen_and_let_in_by_an_operator_alone(
    fleet_cloud: FleetCloud, sandbox: Sandbox, tmp_path: Path
) -> None:
    run, fleet = make(fleet_cloud, sandbox, tmp_path / "claim", "tills")
    key, thief = make_key(), make_key()
    assert register(fleet, "1", key) == YES
    thing = fleet.iot.describe_thing(thingName="tills-1")
    assert thing["thingTypeName"] == "tills-type"
    groups = fleet.iot.list_thing_groups_for_thing(thingName="tills-1")["thingGroups"]
    assert [group["groupName"] for group in groups] == ["tills-group"]
    assert "given:1" in thing["attributes"]["registration"]
    assert register(fleet, "1", thief) == NO
    assert register(fleet, "1", key) == YES
    assert register(fleet, "1", thief) == NO
    waiting = run("devices", "waiting")["waiting"]
    assert [(each["thing"], each["times"], each["claim"]) for each in waiting] == [
        ("tills-1", 1, fleet.claim.certificate_id)
    ]

    assert run("devices", "allow", "tills-1", "--for", "1h")["until"] is None
    assert register(fleet, "1", thief) == NO
    run("devices", "allow", "tills-1", "--any-key")
    run("devices", "allow", "tills-1", "--close")
    assert register(fleet, "1", thief) == NO
    replaced = make_key()
    run("devices", "allow", "tills-1", "--key", hash_of(replaced))
    assert register(fleet, "1", thief) == NO
    assert register(fleet, "1", replaced) == YES
    run("devices", "allow", "tills-1", "--any-key", "--for", "10m")
    assert register(fleet, "1", make_key()) == YES
    assert register(fleet, "1", thief) == NO
    missing = run("devices", "allow", "tills-9", status=1)["error"]
    assert missing["code"] == "thing-missing"

    (device,) = run("devices", "list")["devices"]
    second = device["second_claim"]
    assert second in [certificate["certificate_id"] for certificate in device["certificates"]]
    assert run("devices", "show", "tills-1")["second_claim"] == second
    (undecided,) = run("devices", "prune", "--yes")["undecided"]
    assert undecided["second_claim"] == second
    assert run("down", "--yes")["left"] == {}


def test_of_two_that_come_at_once_one_becomes_the_device(
    fleet_cloud: FleetCloud, sandbox: Sandbox, tmp_path: Path
) -> None:
    _, fleet = make(fleet_cloud, sandbox, tmp_path / "claim", "races")
    assert register(fleet, "warm", make_key()) == YES
    ends: list[tuple[str, int | None]] = []

    def come(client: str) -> None:
        ends.append(register(fleet, "1", make_key(), client))

    threads = [threading.Thread(target=come, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ends) == [YES, NO]
    assert len(fleet.certificate_ids("races-1")) == 1


def test_with_expected_keys_a_leaked_claim_is_worth_nothing(
    fleet_cloud: FleetCloud, sandbox: Sandbox, tmp_path: Path
) -> None:
    run, fleet = make(fleet_cloud, sandbox, tmp_path / "claim", "vaults")
    key = make_key()
    sheet = tmp_path / "batch.csv"
    sheet.write_text(f"serial,key,site\r\n1,{hash_of(key)},north\r\n2,,south\r\n")
    script = run("devices", "expect", sheet, "--only", "--dry-run")["script"]
    assert sum("create-thing " in line for line in script) == 2
    odd = tmp_path / "odd"
    odd.write_text("1\nd\u00e9\n")
    assert (
        "'vaults-d\u00e9'"
        in fleet_cloud("devices", "expect", odd, "--name", "vaults", status=2).stderr
    )
    made = run("devices", "expect", sheet, "--only")
    assert (made["expected"], made["changed"], made["left"]) == (2, 2, {})
    assert run("devices", "expect", sheet, "--only")["changed"] == 0
    assert run("up")["changed"] is False
    assert run("status")["hook"]

    assert register(fleet, "1", make_key()) == NO
    assert register(fleet, "1", key) == YES
    assert register(fleet, "2", make_key()) == YES
    assert register(fleet, "3", make_key()) == NO
    thing = fleet.iot.describe_thing(thingName="vaults-1")
    assert thing["attributes"]["site"] == "north"
    sheet.write_text(f"serial,key,site\n1,{hash_of(key)},east\n")
    assert run("devices", "expect", sheet)["changed"] == 1
    assert fleet.iot.describe_thing(thingName="vaults-1")["attributes"]["site"] == "east"
    assert register(fleet, "1", make_key()) == NO
    run("devices", "expect", "--no-only")
    assert register(fleet, "3", make_key()) == YES


def test_hook_that_may_not_ask_is_no_refusal(
    fleet_cloud: FleetCloud, sandbox: Sandbox, tmp_path: Path
) -> None:
    from support.aws import aws_client

    _, fleet = make(fleet_cloud, sandbox, tmp_path / "claim", "ducks")
    iam = aws_client(sandbox, "iam")
    iam.delete_role_policy(RoleName="ducks-hook", PolicyName="registry")
    suffix, status = register(fleet, "1", make_key())
    assert (suffix, status != 403) == ("rejected", True)
    logs = aws_client(sandbox, "logs")
    said = logs.filter_log_events(logGroupName="/aws/lambda/ducks-hook", filterPattern="error")
    (event,) = [each for each in said["events"] if each["message"].startswith("{")]
    assert "AccessDenied" in json.loads(event["message"])["error"]
