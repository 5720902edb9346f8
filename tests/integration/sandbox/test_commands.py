"""AWS IoT Commands as AWS documents them: made and started by the real CLI's API, answered over plain MQTT."""

import base64
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest
from botocore.exceptions import ClientError

from iot_sandbox import cbor
from iot_sandbox.launch import Sandbox
from support.aws import aws, aws_client
from support.fleets import Claim
from support.peer import Message, Open, Peer
from support.properties import Properties, Property

_numbers = count(1)
SECONDS = 5


@dataclass
class Commander:
    """A thing that is connected and listens for commands, and the cloud that sends them."""

    peer: Peer
    iot: Any
    jobs: Any
    thing: str
    arn: str

    @property
    def base(self) -> str:
        return f"$aws/commands/things/{self.thing}/executions"

    def command(self, content: bytes, kind: str = "application/json", **more: Any) -> str:
        """Makes a command; gives its ARN."""
        name = f"command-{next(_numbers)}"
        payload = {"content": content, "contentType": kind}
        made: str = self.iot.create_command(commandId=name, payload=payload, **more)["commandArn"]
        return made

    def start(self, command: str, seconds: int = SECONDS, **more: Any) -> str:
        """Starts a command on the thing; gives the execution's id."""
        wanted = {"targetArn": self.arn, "commandArn": command, **more}
        started = self.jobs.start_command_execution(executionTimeoutSeconds=seconds, **wanted)
        identifier: str = started["executionId"]
        return identifier

    def say(self, identifier: str, **update: Any) -> tuple[str, Any]:
        """Publishes an update; gives ``accepted`` or ``rejected``, and the document."""
        topic = f"{self.base}/{identifier}/response/json"
        assert self.peer.publish(topic, json.dumps(update).encode()) == 0
        return self.answer(identifier)

    def answer(self, identifier: str) -> tuple[str, Any]:
        message = self.peer.message()
        while "/request" in message.topic:  # sent again, since it was acknowledged late
            message = self.peer.message()
        prefix = f"{self.base}/{identifier}/response/"
        assert message.topic.startswith(prefix)
        outcome, _, form = message.topic.removeprefix(prefix).partition("/")
        loads = cbor.loads if form == "cbor" else json.loads
        return outcome, loads(message.payload)

    def reported(self, identifier: str) -> Any:
        """Gives what the cloud knows of an execution."""
        return self.iot.get_command_execution(
            executionId=identifier, targetArn=self.arn, includeResult=True
        )


FILTERS = ("request", "request/json", "request/cbor", "response/accepted/json", "response/rejected/json",
           "response/accepted/cbor", "response/rejected/cbor")  # fmt: skip


@pytest.fixture
def commander(broker: Sandbox, peer: Open) -> Commander:
    iot, thing = aws_client(broker, "iot"), f"commanded-{next(_numbers)}"
    arn = iot.create_thing(thingName=thing)["thingArn"]
    commanded: Peer = peer(thing)
    assert commanded.connect().code == 0
    found = Commander(commanded, iot, aws_client(broker, "iot-jobs-data"), thing, arn)
    filters = [f"{found.base}/+/{end}" for end in FILTERS]
    assert set(commanded.subscribe(*filters)) == {1}
    return found


def refusal(call: Callable[..., Any], **arguments: Any) -> tuple[str, int]:
    with pytest.raises(ClientError) as refused:
        call(**arguments)
    answer = refused.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]


def test_a_command_from_the_cli_to_the_device_and_back(
    broker: Sandbox, commander: Commander
) -> None:
    made = aws(broker, "iot", "create-command", "--command-id", "hello", "--payload",
               json.dumps({"content": '{"say": "hello"}', "contentType": "application/json"}))  # fmt: skip
    started = aws(broker, "iot-jobs-data", "start-command-execution", "--command-arn", made["commandArn"],
                  "--target-arn", commander.arn, "--execution-timeout-seconds", "30")  # fmt: skip
    identifier = started["executionId"]

    message = commander.peer.message()

    assert message.topic == f"{commander.base}/{identifier}/request/json"
    assert json.loads(message.payload) == {"say": "hello"}
    assert message.properties[Property.CONTENT_TYPE] == "application/json"
    assert message.properties[Property.MESSAGE_EXPIRY] in (29, 30)
    assert message.qos == 1
    assert commander.reported(identifier)["status"] == "CREATED"
    assert commander.say(identifier, status="IN_PROGRESS") == (
        "accepted",
        {"executionId": identifier},
    )
    assert commander.reported(identifier)["status"] == "IN_PROGRESS"
    done = {
        "status": "SUCCEEDED",
        "statusReason": {"reasonCode": "EXIT_0", "reasonDescription": "it is done"},
        "result": {"exit": {"s": "0"}, "good": {"b": True}, "raw": {"bin": "aGk="}},
    }
    assert commander.say(identifier, **done, clientToken="t")[1]["clientToken"] == "t"
    reported = aws(broker, "iot", "get-command-execution", "--execution-id", identifier,
               "--target-arn", commander.arn, "--include-result")  # fmt: skip
    assert reported["status"] == "SUCCEEDED"
    assert reported["statusReason"] == done["statusReason"]
    assert reported["result"] == {"exit": {"S": "0"}, "good": {"B": True}, "raw": {"BIN": "aGk="}}
    assert {"createdAt", "startedAt", "completedAt", "timeToLive"} <= set(reported)
    listed = aws(broker, "iot", "list-command-executions", "--target-arn", commander.arn,
                 "--started-time-filter", "after=2020-01-01T00:00")  # fmt: skip
    assert [execution["executionId"] for execution in listed["commandExecutions"]] == [identifier]


@pytest.mark.parametrize(
    ("kind", "suffix"),
    [
        ("application/json", "/json"),
        ("application/cbor", "/cbor"),
        ("text/plain", ""),
        ("application/octet-stream", ""),
    ],
)
def test_the_topic_tells_json_and_cbor_and_the_content_type_the_rest(
    commander: Commander, kind: str, suffix: str
) -> None:
    identifier = commander.start(commander.command(b"\xa0", kind))
    message = commander.peer.message()
    assert message.topic == f"{commander.base}/{identifier}/request{suffix}"
    assert message.payload == b"\xa0"
    assert message.properties[Property.CONTENT_TYPE] == kind


def test_an_update_in_cbor_is_answered_in_cbor(commander: Commander) -> None:
    identifier = commander.start(commander.command(b"{}"))
    commander.peer.message()
    update = {"status": "FAILED", "result": {"raw": {"bin": b"\0\1"}}}
    commander.peer.publish(f"{commander.base}/{identifier}/response/cbor", cbor.dumps(update))
    assert commander.answer(identifier) == ("accepted", {"executionId": identifier})
    assert commander.reported(identifier)["result"] == {"raw": {"BIN": b"\0\1"}}


def test_two_updates_that_cross_are_a_conflict_and_the_second_is_taken_later(
    commander: Commander,
) -> None:
    identifier = commander.start(commander.command(b"{}"))
    commander.peer.message()
    topic = f"{commander.base}/{identifier}/response/json"
    for status in ("IN_PROGRESS", "SUCCEEDED"):
        commander.peer.publish_only(topic, json.dumps({"status": status}).encode(), qos=0)
    answers = dict([commander.answer(identifier), commander.answer(identifier)])
    assert answers["rejected"]["error"] == "DataConflict"
    assert commander.reported(identifier)["status"] == "IN_PROGRESS"
    assert commander.say(identifier, status="SUCCEEDED")[0] == "accepted"


def test_what_has_ended_stays_as_it_is(commander: Commander) -> None:
    identifier = commander.start(commander.command(b"{}"))
    commander.peer.message()
    assert commander.say(identifier, status="REJECTED")[0] == "accepted"
    how, why = commander.say(identifier, status="SUCCEEDED")
    assert (how, why["error"]) == ("rejected", "TerminalStateReached")
    assert commander.reported(identifier)["status"] == "REJECTED"


def test_time_runs_out_from_the_start_and_an_end_from_the_device_still_counts(
    commander: Commander,
) -> None:
    identifier = commander.start(commander.command(b"{}"), seconds=1)
    commander.peer.message()
    time.sleep(1.1)
    reported = commander.reported(identifier)
    assert reported["status"] == "TIMED_OUT"
    assert reported["statusReason"] == {"reasonCode": "$NO_RESPONSE_FROM_DEVICE"}
    assert "completedAt" not in reported
    how, why = commander.say(identifier, status="IN_PROGRESS")
    assert (how, why["error"]) == ("rejected", "InvalidStateTransition")
    assert commander.say(identifier, status="SUCCEEDED")[0] == "accepted"
    assert commander.reported(identifier)["status"] == "SUCCEEDED"


def test_a_time_out_that_the_device_reports_is_an_end(commander: Commander) -> None:
    identifier = commander.start(commander.command(b"{}"))
    commander.peer.message()
    assert commander.say(identifier, status="TIMED_OUT")[0] == "accepted"
    how, why = commander.say(identifier, status="SUCCEEDED")
    assert (how, why["error"]) == ("rejected", "TerminalStateReached")


WRONG: dict[str, dict[str, Any]] = {
    "no status": {},
    "unknown status": {"status": "DONE"},
    "created": {"status": "CREATED"},
    "lower case": {"status": "FAILED", "statusReason": {"reasonCode": "exit_1"}},
    "no code": {"status": "FAILED", "statusReason": {"reasonDescription": "x"}},
    "newline": {
        "status": "FAILED",
        "statusReason": {"reasonCode": "E", "reasonDescription": "a\nb"},
    },
    "long": {
        "status": "FAILED",
        "statusReason": {"reasonCode": "E", "reasonDescription": "a" * 1025},
    },
    "upper-case type": {"status": "FAILED", "result": {"a": {"S": "x"}}},
    "empty text": {"status": "FAILED", "result": {"a": {"s": ""}}},
    "no entry": {"status": "FAILED", "result": {}},
    "key": {"status": "FAILED", "result": {"a b": {"s": "x"}}},
    "base64": {"status": "FAILED", "result": {"a": {"bin": "%"}}},
}


def test_what_is_not_within_the_rules_is_rejected(commander: Commander) -> None:
    identifier = commander.start(commander.command(b"{}"), seconds=60)
    commander.peer.message()
    for name, update in WRONG.items():
        how, why = commander.say(identifier, **update)
        assert (how, why["error"]) == ("rejected", "InvalidRequest"), name
        assert why["executionId"] == identifier
    commander.peer.publish(f"{commander.base}/{identifier}/response/json", b"{")
    assert commander.answer(identifier)[1]["error"] == "InvalidJson"
    how, why = commander.say("no-such", status="FAILED")
    assert (how, why["error"]) == ("rejected", "ResourceNotFound")
    assert commander.reported(identifier)["status"] == "CREATED"


def test_it_waits_for_a_client_with_a_session_as_long_as_its_time(
    commander: Commander, peer: Open
) -> None:
    commander.peer.disconnect()
    expiry: Properties = {Property.SESSION_EXPIRY: 60}
    commanded = peer(commander.thing)
    commanded.connect(expiry)
    commanded.subscribe(f"{commander.base}/+/request/json")
    commanded.cut()
    command = commander.command(b"{}")
    late, identifier = commander.start(command, seconds=1), commander.start(command, seconds=60)
    time.sleep(1.1)
    back = peer(commander.thing)
    assert back.connect(expiry, clean=False).is_session_present
    message: Message = back.message()
    assert message.topic == f"{commander.base}/{identifier}/request/json"
    assert message.properties[Property.MESSAGE_EXPIRY] < 60
    assert back.arrived() == []
    assert commander.reported(late)["status"] == "TIMED_OUT"


@pytest.mark.parametrize("end", ["request/+", "request/#", "+/json", "response/+/json"])
def test_a_wildcard_elsewhere_ends_the_connection(
    broker: Sandbox, commander: Commander, end: str
) -> None:
    commander.peer.subscribe_only(f"{commander.base}/+/{end}")
    assert commander.peer.end() == 143
    reported = aws_client(broker, "iot-data").get_connection(clientId=commander.thing)
    assert reported["disconnectReason"] == "CLIENT_ERROR"


def test_without_that_limit_it_is_refused_alone(free_broker: Sandbox, free: Claim) -> None:
    with Peer(free_broker, free, "free-commanded") as commanded:
        commanded.connect()
        base = "$aws/commands/things/free-commanded/executions"
        assert commanded.subscribe(f"{base}/+/request/+", f"{base}/+/request") == [143, 1]


def test_a_template_is_filled_with_the_parameters(commander: Commander) -> None:
    place = "${aws:iot:commandexecution::parameter:%s}"
    template = {
        "level": place % "level",
        "text": f"for {place % 'name'}",
        "left": "${aws:iot:commandexecution::executionTimeoutSec}",
    }
    name = f"template-{next(_numbers)}"
    arn = commander.iot.create_command(
        commandId=name,
        payloadTemplate=json.dumps(template),
        preprocessor={"awsJsonSubstitution": {"outputFormat": "JSON"}},
        mandatoryParameters=[
            {"name": "level", "type": "INTEGER", "defaultValue": {"I": 3}},
            {"name": "name", "type": "STRING"},
        ],
    )["commandArn"]
    identifier = commander.start(arn, parameters={"name": {"S": "Ada"}})
    message = commander.peer.message()
    assert json.loads(message.payload) == {"level": 3, "text": "for Ada", "left": SECONDS}
    assert commander.reported(identifier)["parameters"] == {"name": {"S": "Ada"}}
    start = commander.jobs.start_command_execution
    wanted = {"commandArn": arn, "targetArn": commander.arn}
    assert refusal(start, **wanted) == ("ValidationException", 400)


def test_what_cannot_be_started_is_refused(commander: Commander) -> None:
    start, command = commander.jobs.start_command_execution, commander.command(b"{}")
    good = {"commandArn": command, "targetArn": commander.arn}
    not_found, invalid = ("ResourceNotFoundException", 404), ("ValidationException", 400)
    assert refusal(start, **{**good, "commandArn": f"{command}-other"}) == not_found
    assert refusal(start, **{**good, "targetArn": f"{commander.arn}-other"}) == not_found
    assert refusal(start, **{**good, "targetArn": "x"}) == invalid
    assert refusal(start, **good, executionTimeoutSeconds=43_201) == invalid
    same = {start(**good, clientToken="t-1")["executionId"] for _ in range(2)}
    assert len(same) == 1
    other = refusal(start, **good, clientToken="t-1", executionTimeoutSeconds=7)
    assert other == ("ConflictException", 409)
    commander.iot.update_command(commandId=command.rpartition("/")[2], deprecated=True)
    assert refusal(start, **good) == invalid


def test_commands_are_listed_changed_and_deleted(commander: Commander) -> None:
    iot, content = commander.iot, base64.b64encode(b"x")
    name = commander.command(content, displayName="one").rpartition("/")[2]
    assert iot.get_command(commandId=name)["payload"]["content"] == content
    assert name in [command["commandId"] for command in iot.list_commands()["commands"]]
    wanted = {"commandId": name, "payload": {"content": b"other", "contentType": "a/b"}}
    assert refusal(iot.create_command, **wanted) == ("ConflictException", 409)
    assert refusal(iot.create_command, commandId="neither") == ("ValidationException", 400)
    iot.update_command(commandId=name, deprecated=True)
    assert iot.delete_command(commandId=name)["statusCode"] == 202
    assert iot.get_command(commandId=name)["pendingDeletion"] is True
    other = commander.command(b"{}").rpartition("/")[2]
    assert iot.delete_command(commandId=other)["statusCode"] == 204
    assert refusal(iot.get_command, commandId=other) == ("ResourceNotFoundException", 404)


def test_an_execution_under_way_is_not_deleted_and_a_finished_one_is(commander: Commander) -> None:
    identifier = commander.start(commander.command(b"{}"))
    commander.peer.message()
    named = {"executionId": identifier, "targetArn": commander.arn}
    deleting = commander.iot.delete_command_execution
    assert refusal(deleting, **named) == ("ConflictException", 409)
    commander.say(identifier, status="SUCCEEDED")
    deleting(**named)
    getting = commander.iot.get_command_execution
    assert refusal(getting, **named) == ("ResourceNotFoundException", 404)


def test_a_client_without_a_thing_is_a_target_too(broker: Sandbox, peer: Open) -> None:
    iot, name = aws_client(broker, "iot"), f"client-{next(_numbers)}"
    command = iot.create_command(
        commandId=name, payload={"content": b"{}", "contentType": "application/json"}
    )["commandArn"]
    commanded: Peer = peer(name)
    commanded.connect()
    base = f"$aws/commands/clients/{name}/executions"
    commanded.subscribe(f"{base}/+/request/json", f"{base}/+/response/accepted/json")
    target = command.replace(":command/", ":client/")
    started = aws_client(broker, "iot-jobs-data").start_command_execution(
        commandArn=command, targetArn=target
    )["executionId"]
    assert commanded.message().topic == f"{base}/{started}/request/json"
    commanded.publish(f"{base}/{started}/response/json", b'{"status": "SUCCEEDED"}')
    assert commanded.message().topic == f"{base}/{started}/response/accepted/json"


def test_an_answer_can_be_rejected_late_or_lost(commander: Commander, broker: Sandbox) -> None:
    identifier = commander.start(commander.command(b"{}"), seconds=60)
    commander.peer.message()
    thing = commander.thing
    broker.faults.add("command-response", "reject", error_code="InternalError", client_id=thing)
    assert commander.say(identifier, status="IN_PROGRESS")[1]["error"] == "InternalError"
    broker.faults.clear()
    broker.faults.add("command-response", "lose-answer", client_id=thing)
    topic = f"{commander.base}/{identifier}/response/json"
    commander.peer.publish(topic, b'{"status": "IN_PROGRESS"}')
    time.sleep(0.2)
    assert commander.peer.arrived() == []
    broker.faults.clear()
    assert commander.reported(identifier)["status"] == "IN_PROGRESS"
