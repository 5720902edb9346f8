"""AWS's older clients sign calls to AWS IoT as ``execute-api``; Debian 12's own ``aws`` is one of them."""

import json
import os
import subprocess
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from iot_sandbox.launch import Sandbox
from support.aws import aws_command
from support.claimant import Claimant
from support.mqtt import connected

DEBIAN_AWS = Path("/usr/bin/aws")
AWS = DEBIAN_AWS if DEBIAN_AWS.exists() else aws_command()

Registry = Callable[[Sandbox, str], list[str]]


def signed(sandbox: Sandbox, method: str, path: str, body: str = "") -> Any:
    request = AWSRequest(method, f"{sandbox.http_url}{path}", data=body)
    credentials = Credentials(sandbox.access_key_id, sandbox.secret_access_key)
    SigV4Auth(credentials, "execute-api", sandbox.region).add_auth(request)
    ready = urllib.request.Request(
        request.url, data=body.encode() or None, headers=dict(request.headers), method=method
    )
    with urllib.request.urlopen(ready, timeout=30) as answer:
        return json.load(answer)


def any_aws(sandbox: Sandbox, *words: str) -> Any:
    done = subprocess.run(
        # Debian's does not read AWS_ENDPOINT_URL.
        [AWS, "--endpoint-url", sandbox.http_url, "--output", "json", *words],
        env=os.environ | sandbox.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) if done.stdout.strip() else None


def register_signed(sandbox: Sandbox, name: str) -> list[str]:
    assert signed(sandbox, "POST", f"/things/{name}", "{}")["thingName"] == name
    assert signed(sandbox, "GET", "/endpoint?endpointType=iot:Data-ATS")["endpointAddress"] == (
        f"localhost:{sandbox.mqtt_port}"
    )
    return [thing["thingName"] for thing in signed(sandbox, "GET", "/things")["things"]]


def register_with_any_aws(sandbox: Sandbox, name: str) -> list[str]:
    any_aws(sandbox, "iot", "create-thing", "--thing-name", name)
    endpoint = any_aws(sandbox, "iot", "describe-endpoint", "--endpoint-type", "iot:Data-ATS")
    assert endpoint["endpointAddress"] == f"localhost:{sandbox.mqtt_port}"
    return [thing["thingName"] for thing in any_aws(sandbox, "iot", "list-things")["things"]]


WAYS = [register_signed, *([register_with_any_aws] if DEBIAN_AWS.exists() else [])]


@pytest.mark.parametrize("register", WAYS)
def test_calls_to_the_registry_reach_it(register: Registry, sandbox: Sandbox) -> None:
    name = f"former-{uuid.uuid4().hex[:8]}"
    assert name in register(sandbox, name)


@pytest.mark.parametrize("path", ["/", "/participant/connection", "/restapis"])
def test_what_is_no_call_to_aws_iot_is_not_answered_by_it(sandbox: Sandbox, path: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        signed(sandbox, "GET", path)
    refused.value.close()
    assert refused.value.code == 400


def test_a_command_sent_with_it_reaches_the_thing(claimant: Claimant, tmp_path: Path) -> None:
    thing = claimant.provision(tmp_path)
    sandbox, topic = claimant.fleet.sandbox, f"cmd/{thing.thing_name}/light"
    with connected(sandbox, thing, thing.thing_name) as device:
        assert device.subscribe(f"cmd/{thing.thing_name}/#") == [1]
        payload = tmp_path / "command.json"
        payload.write_text('{"on": true}')
        any_aws(
            sandbox, "iot-data", "publish", "--topic", topic, "--qos", "1",
            "--payload", f"fileb://{payload}",
        )  # fmt: skip
        assert device.receive() == (topic, {"on": True})
