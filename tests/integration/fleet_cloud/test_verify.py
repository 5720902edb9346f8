"""What the policies really allow, tried on real TLS and MQTT 5; and who may run which command."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from iot_sandbox.launch import Sandbox
from support.accounts import listing
from support.aws import aws_client
from support.companion import FleetCloud, answer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_policies_are_found_right_then_too_wide_and_nothing_is_left_behind(
    fleet_cloud: FleetCloud, sandbox: Sandbox
) -> None:
    iot = aws_client(sandbox, "iot")
    fleet_cloud("up", "--name", "vans", "--no-hook")
    words = ("verify", "--name", "vans", "--ca-file", sandbox.ca_file, "--json")
    before = iot.list_things()["things"], iot.list_certificates()["certificates"]
    right = answer(fleet_cloud(*words))
    assert (right["right"], len(right["checks"])) == (True, 13)
    # Without a hook that looks at what is there, AWS IoT gives the thing a second certificate.
    assert right["takeover"] == {"was": "possible", "thing": right["thing"], "said": ""}
    assert before == (iot.list_things()["things"], iot.list_certificates()["certificates"])

    wide = {"Effect": "Allow", "Action": "iot:*", "Resource": "*"}
    iot.create_policy_version(
        policyName="vans-device",
        policyDocument=json.dumps({"Version": "2012-10-17", "Statement": [wide]}),
        setAsDefault=True,
    )
    wrong = answer(fleet_cloud(*words, status=1))
    assert [check["what"] for check in wrong["checks"] if check["must_be"] != check["was"]] == [
        "device connects under another thing's name",
        "device publishes to another thing's topic",
        "device gives itself an order",
        "device subscribes to another thing's topic",
        "device subscribes to everything",
    ]
    assert before[0] == iot.list_things()["things"]


def test_hook_is_found_to_keep_a_device_from_being_taken_over(
    fleet_cloud: FleetCloud, sandbox: Sandbox, tmp_path: Path
) -> None:
    iot, image = aws_client(sandbox, "iot"), tmp_path / "image"
    fleet_cloud("up", "--name", "boats", "--rotation")
    words = ("verify", "--name", "boats", "--image", image, "--json")
    assert "no config.yaml" in fleet_cloud(*words, status=2).stdout
    fleet_cloud("claim", "new", "--name", "boats", "--image", image, "--ca-file", sandbox.ca_file)
    before = iot.list_things()["things"]
    began = time.monotonic()
    error = answer(fleet_cloud("verify", "--name", "boats", "--json", status=1))["error"]
    # Not the half minute that awscrt lets pass after a handshake that failed.
    assert time.monotonic() - began < 10
    assert error["code"] == "endpoint-unreachable"
    assert "--ca-file" in error["remedy"]
    right = answer(fleet_cloud(*words))
    assert right["takeover"]["was"] == "refused"
    ends = {
        check["what"]: check["was"] for check in right["checks"] if "register" in check["what"]
    }
    assert ends == {
        "claim registers with another template": "refused",
        "another key registers the device again by the claim": "refused",
        "another device's key registers it by the claim": "refused",
        "another device registers it under its certificate": "refused",
        "its own key registers it again, as its certificate expired": "allowed",
        "its own key registers it twice, as the answer was lost": "allowed",
        "in a window its own key registers it": "allowed",
        "in a window another key registers it": "refused",
        "a key that is not the expected one registers it": "refused",
        "the expected key registers it": "allowed",
        "with a key expected another one registers it": "refused",
        "in a window for any key another key registers it": "allowed",
        "once it is used up one more key registers it": "refused",
    }
    assert right["right"] is True
    assert before == iot.list_things()["things"]

    # It goes and comes back.
    fleet_cloud("up", "--name", "boats", "--no-hook")
    fleet_cloud("up", "--name", "boats")
    assert answer(fleet_cloud("up", "--name", "boats", "--json"))["changed"] is False


def test_operator_with_the_printed_policy_may_do_that_and_no_more(
    fleet_cloud: FleetCloud, sandbox: Sandbox, tmp_path: Path
) -> None:
    iam = aws_client(sandbox, "iam")
    iam.create_user(UserName="operator")
    key = iam.create_access_key(UserName="operator")["AccessKey"]
    who = {
        "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
    }

    def may(*commands: str) -> None:
        policy = answer(fleet_cloud("operator-policy", "--name", "carts", *commands))
        for statement in policy["Statement"]:
            # The sandbox knows no resource where it is not in the path.
            statement["Resource"] = "*"
        document = json.dumps(policy)
        iam.put_user_policy(UserName="operator", PolicyName="may", PolicyDocument=document)

    def run(*words: str | Path, status: int = 0) -> Any:
        named = (*words, "--name", "carts", "--json")
        return answer(fleet_cloud(*named, status=status, credentials=who))

    may("up", "claim new")
    run("up", "--thing-type", "cart", "--hook-pattern", ".*")
    run("claim", "new", "--out", tmp_path)
    error = run("devices", "list", status=1)["error"]
    assert error["cause"].startswith("these credentials may not iot:List")
    assert '"Effect": "Allow"' in error["remedy"]
    may("status", "claim revoke", "devices prune")
    run("status")
    run("claim", "revoke", tmp_path)
    run("devices", "prune", "--yes")
    may("down")
    assert run("down", "--yes")["left"] == {}


def test_python_without_awscrt_is_told_so(
    root_dir: Path, operator: dict[str, str], tmp_path: Path
) -> None:
    bare = Path(sys.base_prefix) / "bin" / "python3"
    known = subprocess.run([bare, "-I", "-c", "import awscrt"], capture_output=True, check=False)
    if known.returncode == 0:
        pytest.skip("this machine's own Python has awscrt")
    done = subprocess.run(
        [bare, "-I", root_dir / "scripts" / "fleet-cloud", "verify"],
        env=operator | {"FLEET_AGENT_VENV": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "lacks awscrt" in done.stderr
    assert "next: " in done.stderr


def test_an_end_by_sigterm_takes_the_trials_claim_away_as_ctrl_c_does(
    fleet_cloud: FleetCloud, sandbox: Sandbox, root_dir: Path, operator: dict[str, str]
) -> None:
    fleet_cloud("up", "--name", "ended")
    before = listing(sandbox)
    words = ("verify", "--name", "ended", "--ca-file", str(sandbox.ca_file))
    command = [sys.executable, str(root_dir / "scripts" / "fleet-cloud"), *words]
    with subprocess.Popen(command, env=operator, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        assert any("claim connects" in line for line in process.stderr)
        process.terminate()
        process.stderr.read()
        assert process.wait(60) == 130
    assert listing(sandbox) == before
