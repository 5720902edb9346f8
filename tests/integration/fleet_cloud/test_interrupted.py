"""Commands killed in the middle: run again until one gets through, they finish what the killed ones began."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from iot_sandbox.launch import Sandbox
from support.accounts import listing
from support.aws import aws_client
from support.companion import FleetCloud, answer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

# Kills its caller with SIGKILL at a certain call that changes something: before it, or after it.
KILLER = """\
#!/bin/sh
case "$2" in get-*|list-*|describe-*) exec {aws} "$@" ;; esac
echo >> {count}
if [ "$(wc -l < {count})" -ge "$(cat {limit})" ]; then
  if [ "$(cat {when})" = after ]; then {aws} "$@" > /dev/null; fi
  kill -9 $PPID
  exit 1
fi
exec {aws} "$@"
"""
MOST_RUNS = 40

Killed = Callable[..., int]


@pytest.fixture
def until_through(root_dir: Path, operator: dict[str, str], tmp_path: Path) -> Killed:
    """Runs a command, killed at a change, until one run ends by itself; gives how many were killed."""
    folder, count, when, limit = (tmp_path / each for each in ("bin", "count", "when", "limit"))
    folder.mkdir()
    real = Path(operator["PATH"].split(":")[0]) / "aws"
    (folder / "aws").write_text(KILLER.format(aws=real, count=count, when=when, limit=limit))
    (folder / "aws").chmod(0o755)
    # Every call is a process of its own here, which can kill at a certain one.
    environment = operator | {
        "PATH": f"{folder}:{operator['PATH']}",
        "FLEET_CLOUD_WITH": "aws",
    }

    def run(*words: str | Path) -> int:
        command = [sys.executable, str(root_dir / "scripts" / "fleet-cloud"), *map(str, words)]
        for killed in range(MOST_RUNS):
            count.write_text("")
            # A run more does a call more, so that there is an end.
            limit.write_text(str(killed + 2))
            when.write_text("after" if killed % 2 else "before")
            done = subprocess.run(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=200,
            )
            assert "Traceback" not in done.stderr
            if done.returncode != -9:
                assert done.returncode == 0, done.stderr
                return killed
        raise AssertionError(f"not through after {MOST_RUNS} runs")

    return run


@pytest.mark.thorough
def test_up_and_down_killed_again_and_again_finish_and_leave_nothing(
    until_through: Killed, fleet_cloud: FleetCloud, sandbox: Sandbox, tmp_path: Path
) -> None:
    before = listing(sandbox)
    flags = (
        "--thing-type",
        "ship",
        "--thing-group",
        "harbour",
        "--billing-group",
        "fees",
        "--hook-pattern",
        ".*",
    )
    assert until_through("up", "--name", "ships", *flags) >= 3
    fleet_cloud("status", "--name", "ships")  # exit status 0: nothing is missing, nothing differs
    assert until_through("claim", "new", "--name", "ships", "--out", tmp_path / "claim") >= 1

    iot = aws_client(sandbox, "iot")
    certificates = []
    for number in ("1", "2"):
        attributes = {"attributes": {"serialNumber": number}}
        iot.create_thing(thingName=f"ships-{number}", attributePayload=attributes)
        made = iot.create_keys_and_certificate(setAsActive=True)
        certificates.append(made["certificateId"])
        iot.attach_policy(policyName="ships-device", target=made["certificateArn"])
        iot.attach_thing_principal(thingName=f"ships-{number}", principal=made["certificateArn"])
    kept = answer(fleet_cloud("down", "--name", "ships", "--keep-devices", "--yes", "--json"))
    assert kept["left"] == {}
    now = listing(sandbox)
    assert "ships" not in now["templates"]
    assert {(certificate, "ACTIVE") for certificate in certificates} <= {*now["certificates"]}
    assert {"ships-1", "ships-2"} <= {*now["things"]}
    assert "ships-device" in now["policies"]

    # Without the template nobody remembers type and group: up says them again.
    fleet_cloud("up", "--name", "ships", *flags)
    assert until_through("down", "--name", "ships", "--yes") >= 3
    assert listing(sandbox) == before


@pytest.mark.thorough
def test_bulk_killed_again_and_again_registers_each_thing_once(
    until_through: Killed, fleet_cloud: FleetCloud, sandbox: Sandbox, tmp_path: Path
) -> None:
    before, out = listing(sandbox), tmp_path / "bulk"
    bulk = ("bulk", "--name", "kiosks", "--prefix", "kiosk", "--count", "3", "--out", out)
    assert until_through(*bulk) >= 2
    iot = aws_client(sandbox, "iot")
    for name in ("kiosk-1", "kiosk-2", "kiosk-3"):
        assert len(iot.list_thing_principals(thingName=name)["principals"]) == 1
    fleet_cloud("check", "--all", "--out", out, "--ca-file", sandbox.ca_file)
    assert until_through("bulk", "reset", "--name", "kiosks", "--out", out, "--yes") >= 3
    assert listing(sandbox) == before


@pytest.mark.thorough
def test_bulk_of_several_parts_killed_at_any_moment_registers_each_thing_once(
    root_dir: Path,
    operator: dict[str, str],
    fleet_cloud: FleetCloud,
    sandbox: Sandbox,
    tmp_path: Path,
) -> None:
    before, out, killed = listing(sandbox), tmp_path / "bulk", 0
    words = ("bulk", "--name", "masts", "--prefix", "mast", "--count", "700", "--out", str(out))
    command = [sys.executable, str(root_dir / "scripts" / "fleet-cloud"), *words]
    while True:  # each run goes on where the one before was killed, so that there is an end
        with subprocess.Popen(command, env=operator, stderr=subprocess.PIPE, text=True) as run:
            try:
                _, said = run.communicate(timeout=0.6 + killed / 7)
            except subprocess.TimeoutExpired:
                run.kill()
                killed += 1
                continue
        assert run.returncode == 0, said
        break
    assert killed >= 3
    assert [*(out / "tasks").iterdir()] == []
    assert len(listing(sandbox)["certificates"]) - len(before["certificates"]) == 700
    fleet_cloud("check", "--all", "--out", out, "--ca-file", sandbox.ca_file)
    fleet_cloud("bulk", "reset", "--name", "masts", "--out", out, "--yes")
    assert not out.exists()


def test_rule_killed_again_and_again_is_made_and_taken_away(
    until_through: Killed, sandbox: Sandbox
) -> None:
    before = listing(sandbox)
    flags = ("--topic", "dt/+/x", "--sns", "killed", "--email", "ops@example.com")
    assert until_through("rule", "up", "--name", "killed", *flags) >= 1
    assert until_through("rule", "down", "--name", "killed", "--yes") >= 1
    assert listing(sandbox) == before
