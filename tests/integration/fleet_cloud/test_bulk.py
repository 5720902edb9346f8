"""``fleet-cloud bulk`` and ``check``: fresh, again, refused lines, cut off after the start, taken away."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from iot_sandbox.launch import Sandbox
from support.agent import run_command
from support.aws import aws_client
from support.companion import FleetCloud, answer


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_things_are_registered_kept_private_checked_and_taken_away(
    fleet_cloud: FleetCloud, sandbox: Sandbox, tmp_path: Path
) -> None:
    iot, out = aws_client(sandbox, "iot"), tmp_path / "bins"
    bulk = ("bulk", "--name", "city", "--prefix", "wastebin", "--out", out)
    made = answer(fleet_cloud(*bulk, "--count", "3", "--json"))
    assert (made["made"], made["missing"], made["errors"]) == (3, [], [])
    for path in (out / "things" / "wastebin-2").iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
    assert iot.describe_thing(thingName="wastebin-2")["thingTypeName"] == "wastebin"
    assert_adopted(sandbox, out / "things" / "wastebin-2", tmp_path / "state")
    assert (
        fleet_cloud(*bulk, "--count", "3")
        .stdout.splitlines()[0]
        .startswith("nothing to do: 3 things")
    )

    # The next one was cut off: the task was started, and nobody noted what it made.
    record = json.loads((out / "bulk.json").read_text())
    lost = out / "things" / "wastebin-3" / "certificate.pem.crt"
    lost.unlink()
    s3, bucket = aws_client(sandbox, "s3"), "city-bulk-123456789012-eu-west-1"
    (key,) = [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert [*(out / "tasks").iterdir()] == []
    parameters = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    (out / "tasks" / key).write_bytes(parameters)
    (out / "bulk.json").write_text(json.dumps(record | {"key": key}))
    assert answer(fleet_cloud(*bulk, "--count", "3", "--json"))["made"] == 1
    assert len(iot.list_thing_principals(thingName="wastebin-3")["principals"]) == 1

    check = ("check", "--all", "--out", out, "--ca-file", sandbox.ca_file, "--json")
    assert answer(fleet_cloud(*check))["failed"] == {}
    lost.write_bytes((out / "things" / "wastebin-2" / "certificate.pem.crt").read_bytes())
    assert list(answer(fleet_cloud(*check, status=1))["failed"]) == ["wastebin-3"]

    fleet_cloud("bulk", "reset", "--name", "city", "--out", out, status=1)  # nobody said yes
    fleet_cloud("bulk", "reset", "--name", "city", "--out", out, "--yes")
    assert not out.exists()
    names = [thing["thingName"] for thing in iot.list_things()["things"]]
    assert not [name for name in names if name.startswith("wastebin-")]
    with pytest.raises(iot.exceptions.ResourceNotFoundException):
        iot.get_policy(policyName="city-bulk")
    with pytest.raises(iot.exceptions.ResourceNotFoundException):
        iot.describe_thing_type(thingTypeName="wastebin")


def assert_adopted(sandbox: Sandbox, pair: Path, state_dir: Path) -> None:
    """What is registered in bulk becomes a device's identity as it is."""
    files = ("--cert", pair / "certificate.pem.crt", "--key", pair / "private.pem.key")
    where = ("--endpoint", sandbox.endpoint, "--port", str(sandbox.mqtt_port))
    kept = ("--ca-file", sandbox.ca_file, "--state-dir", state_dir, "--allow-volatile")
    done = run_command("adopt", "--json", *files, "--thing-name", pair.name, *where, *kept)
    assert done.status == 0, done.stderr
    assert done.answer["thing_name"] == pair.name


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_one_certificate_can_be_everybodys_and_a_printed_script_registers(
    fleet_cloud: FleetCloud, sandbox: Sandbox, operator: dict[str, str], tmp_path: Path
) -> None:
    iot, out = aws_client(sandbox, "iot"), tmp_path / "all"
    bulk = ("bulk", "--name", "one", "--prefix", "lamp", "--out", out, "--count", "2")
    script = fleet_cloud(*bulk, "--dry-run").stdout
    subprocess.run(["sh", "-ec", script], env=operator, check=True, capture_output=True)
    # Of the script's task: none is started.
    assert answer(fleet_cloud(*bulk, "--json"))["made"] == 2
    assert len(iot.list_thing_principals(thingName="lamp-1")["principals"]) == 1
    shutil.rmtree(out)
    fleet_cloud(*bulk, "--shared-certificate")
    found = {
        name: set(iot.list_thing_principals(thingName=name)["principals"])
        for name in ("lamp-1", "lamp-2")
    }
    assert found["lamp-1"] & found["lamp-2"]
    done = fleet_cloud("check", "--all", "--out", out, "--ca-file", sandbox.ca_file)
    assert done.stdout.startswith("2 of 2 things")
    fleet_cloud("bulk", "reset", "--name", "one", "--out", out, "--yes")


def write_record(folder: Path, fleet: str) -> None:
    record = {
        "fleet": fleet,
        "account": "1",
        "region": "eu-west-1",
        "prefix": "x",
        "thing_type": "x",
        "count": 1,
        "shared": False,
    }
    (folder / "bulk.json").write_text(json.dumps(record))


def test_a_folder_of_another_registration_is_refused(
    fleet_cloud: FleetCloud, tmp_path: Path
) -> None:
    write_record(tmp_path, fleet="other")
    done = fleet_cloud("bulk", "--count", "1", "--out", tmp_path, status=2)
    assert "registration with fleet other" in done.stderr


def test_check_without_the_environment_says_what_is_missing(
    root_dir: Path, operator: dict[str, str], tmp_path: Path
) -> None:
    write_record(tmp_path, fleet="fleet")
    made = tmp_path / "things" / "x-1" / "certificate.pem.crt"
    made.parent.mkdir(parents=True)
    made.write_text("a certificate")
    done = subprocess.run(
        [
            # -S leaves out what is installed
            *(sys.executable, "-S", root_dir / "scripts" / "fleet-cloud"),
            *("check", "--all", "--out", tmp_path),
        ],
        env=operator,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert "scripts/environment" in done.stderr


def test_ca_is_remembered_and_without_it_the_way_there_is_looked_at_once(
    fleet_cloud: FleetCloud, sandbox: Sandbox, tmp_path: Path
) -> None:
    out = tmp_path / "all"
    bulk = ("bulk", "--name", "kept", "--prefix", "post", "--out", out, "--count", "5")
    fleet_cloud(*bulk, "--ca-file", sandbox.ca_file)
    check = ("check", "--all", "--out", out, "--json")
    assert answer(fleet_cloud(*check))["failed"] == {}

    (out / "ca.pem").unlink()
    done = fleet_cloud(*check, status=1)
    error = answer(done)["error"]
    assert error["code"] == "endpoint-unreachable"
    assert "--ca-file" in error["remedy"], error
    assert "post-" not in done.stdout + done.stderr

    endpoint = f"{sandbox.endpoint}:{sandbox.mqtt_port}"
    fleet_cloud(*bulk, "--ca-file", sandbox.ca_file, "--device-endpoint", endpoint)
    nowhere = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}  # nobody has to be asked
    assert answer(fleet_cloud(*check, credentials=nowhere))["failed"] == {}
    fleet_cloud("bulk", "reset", "--name", "kept", "--out", out, "--yes")
    assert not out.exists()
