"""What an operator tells devices and asks about them: send, run, devices show, explain. A plain client is one."""

import io
import json
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from awscrt import mqtt5

from iot_sandbox.launch import Sandbox
from support.aws import aws_client
from support.companion import FleetCloud, answer
from support.fleets import make_claim
from support.mqtt import Device

pytestmark = pytest.mark.slow
FLEET = ("--name", "yards")


class Gate(Device):
    """A device that does what it is asked to, with what arrives whole."""

    def __init__(self, *words: Any, **more: Any) -> None:
        self.does: Callable[[mqtt5.PublishPacket], None] = lambda _: None
        super().__init__(*words, **more)

    def _received(self, data: mqtt5.PublishReceivedData) -> None:
        # Not on the SDK's own thread, which has to go on.
        threading.Thread(target=self.does, args=(data.publish_packet,)).start()


@pytest.fixture(scope="module")
def yard(
    fleet_cloud: FleetCloud, sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    """A fleet with all rights, and one device of it: its identity."""
    fleet_cloud("up", "--jobs", "--commands", "--no-hook", *FLEET)
    iot = aws_client(sandbox, "iot")
    thing = iot.create_thing(thingName="yards-gate")
    identity = make_claim(sandbox, tmp_path_factory.mktemp("gate"), "yards-device")
    principal = f"{thing['thingArn'].rpartition(':')[0]}:cert/{identity.certificate_id}"
    iot.attach_thing_principal(thingName="yards-gate", principal=principal)
    yield identity
    # Others look at the account's jobs, too.
    for job in iot.list_jobs()["jobs"]:
        if job["jobId"].startswith("yards-"):
            iot.delete_job(jobId=job["jobId"], force=True)


@contextmanager
def gate(sandbox: Sandbox, identity: Any) -> Iterator[Gate]:
    device = Gate(sandbox, identity, "yards-gate")
    try:
        yield device
    finally:
        device.stop()


def test_rights_are_given_remembered_and_taken_back(
    fleet_cloud: FleetCloud, sandbox: Sandbox
) -> None:
    iot, named = aws_client(sandbox, "iot"), ("--name", "rights")

    def policy() -> str:
        text: str = iot.get_policy(policyName="rights-device")["policyDocument"]
        return text

    fleet_cloud("up", "--no-hook", "--jobs", "--commands", *named)
    assert "/jobs/*" in policy()
    assert "$aws/commands/" in policy()
    assert answer(fleet_cloud("up", "--no-hook", "--json", *named))["changed"] is False
    fleet_cloud("up", "--no-hook", "--rotation", *named)
    fleet_cloud("up", "--no-hook", "--no-rotation", "--no-commands", *named)
    assert "/jobs/*" in policy()
    assert "$aws/commands/" not in policy()


@pytest.mark.thorough
def test_a_policy_of_one_s_own_stands_as_it_is(
    fleet_cloud: FleetCloud, sandbox: Sandbox, tmp_path: Path
) -> None:
    iot, named = aws_client(sandbox, "iot"), ("--name", "owned")

    def policy() -> str:
        text: str = iot.get_policy(policyName="owned-device")["policyDocument"]
        return text

    own = tmp_path / "own.json"
    statement = {
        "Effect": "Allow",
        "Action": "iot:Connect",
        "Resource": "arn:aws:iot:*:*:client/x",
    }
    own.write_text(json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    fleet_cloud("up", "--no-hook", "--device-policy-file", own, *named)
    assert json.loads(policy())["Statement"] == [statement]
    # Kept, and said to be as it should be; rights do not go with it.
    fleet_cloud("up", "--no-hook", *named)
    fleet_cloud("status", *named)
    assert json.loads(policy())["Statement"] == [statement]
    refused = fleet_cloud("up", "--no-hook", "--jobs", "--json", *named, status=2)
    assert "--default-device-policy" in answer(refused)["error"]["remedy"]
    fleet_cloud("up", "--no-hook", "--default-device-policy", "--commands", *named)
    assert "$aws/commands/" in policy()
    fleet_cloud("up", "--no-hook", *named)
    assert "$aws/commands/" in policy()
    for wrong in (
        "[]",
        '{"Version": "1"}',
        json.dumps({"Version": "2012-10-17", "Statement": [{**statement, "Action": "iot:*"}]}),
    ):
        own.write_text(wrong)
        fleet_cloud("up", "--no-hook", "--device-policy-file", own, *named, status=2)


@pytest.mark.parametrize("maker", ["botocore", pytest.param("aws", marks=pytest.mark.thorough)])
def test_a_message_is_delivered_when_the_device_says_so(
    fleet_cloud: FleetCloud, sandbox: Sandbox, yard: Any, maker: str
) -> None:
    send = ("send", "yards-gate", "cmd/yards-gate/open", "wide", "--json", "--with", maker)
    lacking = answer(fleet_cloud(*send, "--wait", status=1))["error"]
    assert lacking["code"] == "device-not-connected"
    with gate(sandbox, yard) as device:
        heard: list[mqtt5.PublishPacket] = []
        device.does = heard.append
        assert answer(fleet_cloud(*send))["delivered"] is None
        assert answer(fleet_cloud(*send, "--wait"))["delivered"] is True
        assert [bytes(packet.payload or b"") for packet in heard] == [b"wide"] * 2
        denied = ("send", "yards-gate", "other/topic", "x", "--wait", "--json", "--with", maker)
        assert answer(fleet_cloud(*denied, status=1))["error"]["code"] == "device-may-not-receive"


def test_a_request_and_its_answer(fleet_cloud: FleetCloud, sandbox: Sandbox, yard: Any) -> None:
    ask = ("send", "yards-gate", "cmd/yards-gate/state", "@-", "--answer", "--json")
    with gate(sandbox, yard) as device:
        device.does = lambda packet: _ignore(
            device.publish(packet.response_topic or "", {"is": "open"})
        )
        found = answer(fleet_cloud(*ask[:3], "?", *ask[4:]))
        assert (found["delivered"], found["answer"]) == (True, {"is": "open"})
        device.does = lambda _: None
        found = answer(fleet_cloud(*ask[:3], "?", *ask[4:], "--timeout", "1", status=1))
        assert (found["delivered"], found["answer"]) == (True, None)


def _ignore(_: object) -> None:
    pass


@pytest.mark.parametrize("maker", ["botocore", pytest.param("aws", marks=pytest.mark.thorough)])
def test_a_command_is_run_and_what_the_device_says_is_printed(
    fleet_cloud: FleetCloud, sandbox: Sandbox, yard: Any, maker: str
) -> None:
    base = "$aws/commands/things/yards-gate/executions/+"
    requests: list[Any] = []
    with gate(sandbox, yard) as device:
        assert device.subscribe(f"{base}/request/json", f"{base}/response/accepted/json") == [1, 1]

        def carry_out(packet: mqtt5.PublishPacket) -> None:
            if packet.topic.endswith("/request/json"):
                requests.append(json.loads(packet.payload or b""))
                reason = {"reasonCode": "EXIT_3", "reasonDescription": "no such thing"}
                update = {
                    "status": "FAILED",
                    "statusReason": reason,
                    "result": {"out": {"s": "a\nb"}},
                }
                device.publish(packet.topic.replace("/request/", "/response/"), update)

        device.does = carry_out
        words = ("run", "yards-gate", "reload", "now", "x y", "--with", maker)
        done = fleet_cloud(*words, *FLEET, status=1)
        assert "yards-gate: failed" in done.stdout
        for line in ("code: EXIT_3", "reason: no such thing", "out: a", "    b"):
            assert line in done.stdout
        assert requests == [{"operation": "reload", "arguments": ["now", "x y"]}]
        again = answer(fleet_cloud(*words, *FLEET, "--json", status=1))
        assert again["devices"][0]["status"] == "FAILED"
    silent = ("run", "yards-gate", "reload", "--timeout", "1", "--with", maker)
    done = fleet_cloud(*silent, *FLEET, status=1)
    assert "timed out" in done.stdout
    assert "up --commands" in done.stdout
    assert (
        "aws iot-jobs-data start-command-execution"
        in fleet_cloud(*silent, *FLEET, "--dry-run").stdout
    )
    lost = answer(fleet_cloud("run", "yards-none", "x", *FLEET, "--json", status=1))["error"]
    assert lost["code"] == "thing-missing"


def test_a_job_goes_to_a_group_and_is_followed(
    fleet_cloud: FleetCloud, sandbox: Sandbox, yard: Any
) -> None:
    iot = aws_client(sandbox, "iot")
    iot.create_thing_group(thingGroupName="yards-all")
    iot.create_thing(thingName="yards-away")
    for thing in ("yards-gate", "yards-away"):
        iot.add_thing_to_thing_group(thingGroupName="yards-all", thingName=thing)
    base = "$aws/things/yards-gate/jobs"
    with gate(sandbox, yard) as device:
        device.subscribe(f"{base}/notify-next")

        def carry_out(packet: mqtt5.PublishPacket) -> None:
            execution = json.loads(packet.payload or b"").get("execution")
            if execution:
                assert execution["jobDocument"] == {"operation": "reload", "args": []}
                update = {"status": "SUCCEEDED", "statusDetails": {"stdout": "it is new"}}
                device.publish(f"{base}/{execution['jobId']}/update", update)

        device.does = carry_out
        words = ("run", "--group", "yards-all", "reload", "--timeout", "3", *FLEET)
        done = fleet_cloud(*words, status=1)
        assert "yards-gate: succeeded\n  stdout: it is new" in done.stdout
        assert "yards-away: queued" in done.stdout
        assert "cancel-job" in done.stdout
        found = answer(fleet_cloud("run", "yards-gate", "reload", "--job", "--json", *FLEET))
        assert found["devices"] == [
            {"thing": "yards-gate", "status": "SUCCEEDED", "said": {"stdout": "it is new"}}
        ]
        # And so it stands in what is shown of the device.
        shown = answer(fleet_cloud("devices", "show", "yards-gate", "--json"))
        assert shown["orders"][0]["status"] == "SUCCEEDED"
        assert shown["connection"]["connected"] is True
        assert shown["connection"]["listens"] == [f"{base}/notify-next"]
        assert shown["certificates"][0]["origin"].startswith("made by AWS IoT")
        assert shown["unknown"] == []
    _until_gone(sandbox)
    said = fleet_cloud("devices", "show", "yards-gate").stdout
    assert "not connected since" in said
    assert "CLIENT_INITIATED_DISCONNECT" in said


def _until_gone(sandbox: Sandbox) -> None:
    data = aws_client(sandbox, "iot-data")
    limit = time.monotonic() + 10
    while data.get_connection(clientId="yards-gate")["connected"]:
        assert time.monotonic() < limit


def test_a_failure_is_told_in_order_with_its_cause(
    fleet_cloud: FleetCloud, sandbox: Sandbox, yard: Any, tmp_path: Path
) -> None:
    logs = aws_client(sandbox, "logs")
    now = int(time.time() * 1000)
    lines: dict[str, dict[str, Any]] = {
        "AWSIotLogsV2": {"clientId": "yards-gate", "eventType": "Connect", "status": "Failure",
                         "reason": "AUTHORIZATION_FAILURE", "logLevel": "ERROR"},
        "/aws/lambda/yards-hook": {"allowed": False, "thing": "yards-gate", "serial": "gate", "session": "c",
                                   "why": "its key is new"},
    }  # fmt: skip
    with gate(sandbox, yard):
        pass
    _until_gone(sandbox)
    explain = ("explain", "yards-gate", "--json", *FLEET)
    first = answer(fleet_cloud(*explain, status=1))
    assert first["cause"]["code"] == "left"
    assert len(first["not_asked"]) == 2  # neither log is there
    for number, (group, line) in enumerate(lines.items()):
        logs.create_log_group(logGroupName=group)
        logs.create_log_stream(logGroupName=group, logStreamName="s")
        event = {"timestamp": now - 5000 + number, "message": json.dumps(line)}
        other = {
            "timestamp": now - 9000,
            "message": json.dumps(line | {"clientId": "other", "thing": "other", "serial": ""}),
        }
        logs.put_log_events(logGroupName=group, logStreamName="s", logEvents=[other, event])
    bundle = tmp_path / "bundle.tar.gz"
    problem = {
        "code": "endpoint-unreachable",
        "title": "no\x1b[31m way",
        "remedy": "look",
        "severity": "error",
        "since": now / 1000,
    }
    texts = {
        "state/ledger.jsonl": '{"time": "2026-01-01T00:00:00Z", "certificate_id": "abababab", "event": "issued"}',
        "runtime/status.json": json.dumps({"problems": [problem], "doing": "connecting", "updated": now / 1000}),
        "journal.txt": "2026-01-01T00:00:01+0000 host fleet-agent[1]: issued, says the device\n",
        "../../../etc/passwd": "x",
    }  # fmt: skip
    with tarfile.open(bundle, "w:gz") as tar:
        for name, text in texts.items():
            entry = tarfile.TarInfo(f"fleet-agent/{name}")
            entry.size = len(text.encode())
            tar.addfile(entry, io.BytesIO(text.encode()))
    reported = answer(fleet_cloud(*explain, "--bundle", bundle, status=1))
    where = [event["where"] for event in reported["events"]]
    assert {"device", "AWS", "hook"} == set(where)
    at = [event["at"] for event in reported["events"]]
    assert at == sorted(at)
    assert not any("other" in event["what"] for event in reported["events"])
    assert reported["cause"]["code"] == "hook-refuses"
    assert "devices allow yards-gate" in reported["cause"]["next"]
    shown = fleet_cloud("explain", "yards-gate", "--bundle", bundle, *FLEET, status=1).stdout
    assert "\x1b" not in shown
    assert "likely cause: the fleet's hook refuses to register it: its key is new" in shown
    assert "issued, says the device" in shown
    bundle.write_bytes(b"no archive")
    fleet_cloud(*explain, "--bundle", bundle, status=2)
    unheard = answer(fleet_cloud("explain", "claim-nobody", "--json", *FLEET, status=1))
    assert unheard["cause"]["code"] == "never-registered"
