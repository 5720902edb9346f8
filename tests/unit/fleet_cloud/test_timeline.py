"""What happened to a device, out of several logs: in order, and the cause that is named."""

import datetime as dt
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from fleet_cloud.errors import CommandError, UsageError
from fleet_cloud.fleet import data_plane, device_bundle, diagnosis, runs, timeline
from fleet_cloud.fleet.diagnosis import Subject
from fleet_cloud.fleet.presence import Presence
from fleet_cloud.fleet.timeline import Event

NOON = dt.datetime(2026, 5, 4, 12, tzinfo=dt.UTC)
UP = Presence(is_connected=True, since=NOON)
UNKNOWN = Presence(is_connected=None)


def gone(reason: str) -> Presence:
    return Presence(is_connected=False, since=NOON, reason=reason)


def subject(presence: Presence, *, is_thing: bool = True, **certificates: str) -> Subject:
    return Subject(
        name="pump",
        is_thing=is_thing,
        certificates=certificates or {"c1": "ACTIVE"},
        presence=presence,
    )


def aws_line(minutes: int, **facts: str) -> Event:
    (event,) = timeline.of_log(
        {
            "events": [
                {
                    "timestamp": (NOON + dt.timedelta(minutes=minutes)).timestamp() * 1000,
                    "message": json.dumps({"clientId": "pump", **facts}),
                }
            ]
        },
        "pump",
        ["c1"],
    )
    return event


# As AWS IoT writes them, by its developer guide.
_COMMON = {
    "logLevel": "ERROR",
    "traceId": "5f2a",
    "accountId": "123456789012",
    "status": "Failure",
}
DENIED = _COMMON | {
    "eventType": "Publish-In", "protocol": "MQTT", "topicName": "dt/" + "x" * 253, "principalId": "c1",
    "sourceIp": "192.0.2.1", "sourcePort": "13490", "reason": "AUTHORIZATION_FAILURE",
    "details": "Authorization Failure",
}  # fmt: skip
TAKEN_OVER = _COMMON | {
    "eventType": "Disconnect", "status": "Success", "reason": "DUPLICATE_CLIENT_ID",
    "details": "A new connection was made with the same client ID",
}  # fmt: skip
RULE = _COMMON | {
    "eventType": "RuleExecution", "topicName": "dt/pump", "ruleName": "store", "ruleAction": "LambdaAction",
    "reason": "RuleActionFailed", "details": "no right",
}  # fmt: skip
REVOKED = _COMMON | {
    "eventType": "Connection.AuthNError", "authenticationType": "AWS_X509", "clientId": "N/A", "principalId": "c1",
    "reason": "DEVICE_CERTIFICATE_REVOKED",
}  # fmt: skip
REFUSED = aws_line(-5, eventType="Connect", status="Failure", reason="AUTHORIZATION_FAILURE")
HOOKED = Event(at=NOON, where="hook", words="", facts={"allowed": "False", "why": "too late"})
HOOKED_BEFORE = Event(
    at=NOON - dt.timedelta(days=1),
    where="hook",
    words="",
    facts={"allowed": "False", "why": "early"},
)
LET_IN = Event(at=NOON, where="hook", words="", facts={"allowed": "True", "why": "new"})
PROBLEM = Event(
    at=NOON,
    where="device",
    words="",
    facts={"severity": "error", "code": "clock-wrong", "title": "no time", "remedy": "set it"},
)


@pytest.mark.parametrize(
    ("code", "about", "events"),
    [
        ("well", subject(UP), []),
        ("well", subject(UP), [REFUSED]),
        ("clock-wrong", subject(UP), [PROBLEM]),
        ("hook-refuses", subject(UNKNOWN, is_thing=False), [LET_IN, HOOKED]),
        ("never-registered", subject(UNKNOWN, is_thing=False), []),
        ("certificate-inactive", subject(gone("AUTH_ERROR"), c1="INACTIVE"), []),
        ("not-authorized", subject(gone("AUTH_ERROR")), [REFUSED]),
        ("duplicate-client", subject(gone("DUPLICATE_CLIENTID")), []),
        ("connection-lost", subject(gone("MQTT_KEEP_ALIVE_TIMEOUT")), []),
        ("left", subject(gone("CLIENT_INITIATED_DISCONNECT")), [LET_IN]),
        ("not-authorized", subject(UP), [aws_line(5, **DENIED)]),
        # A device that comes back after a cut takes over from itself.
        ("well", subject(UP), [aws_line(at, **TAKEN_OVER) for at in (-99, -50, 0)]),
        ("duplicate-client", subject(UP), [aws_line(at, **TAKEN_OVER) for at in (-3, -1, 0)]),
        ("failure", subject(UP), [aws_line(5, **RULE)]),
        ("clock-wrong", subject(UP), [REFUSED, HOOKED_BEFORE, PROBLEM]),
        ("not-authenticated", subject(UNKNOWN), [aws_line(-5, **REVOKED)]),
        ("not-authenticated", subject(UNKNOWN), [aws_line(-5, **REVOKED | {"reason": "NEW_ONE"})]),
        ("unknown", subject(UNKNOWN), [aws_line(-5, eventType="Ping", status="Success")]),
        # What a device names a topic is no reason.
        (
            "well",
            subject(UP),
            [aws_line(5, eventType="Publish-In", topicName="AUTHORIZATION_FAILURE")],
        ),
        ("unknown", subject(UNKNOWN), []),
    ],
)
def test_the_likely_cause(code: str, about: Subject, events: Sequence[Event]) -> None:
    found = diagnosis.cause(about, events)
    assert found.code == code
    assert found.words
    assert found.remedy


def test_a_thing_without_a_certificate_is_named() -> None:
    about = Subject(name="pump", is_thing=True, certificates={}, presence=UNKNOWN)
    found = diagnosis.cause(about, [])
    assert found.code == "no-certificate"
    # A window without a key lets in nobody who is not let in anyway.
    assert "devices allow pump --key HASH" in found.remedy


def log(*lines: object) -> dict[str, list[dict[str, object]]]:
    return {"events": [{"timestamp": 1000, "message": json.dumps(line)} for line in lines]}


def test_lines_without_a_client_are_taken_by_its_certificates() -> None:
    provisioned = {
        "timestamp": "2019-02-20 20:31:22.932", "logLevel": "ERROR", "status": "Failure",
        "eventType": "ProvisionDevice", "provisioningTemplateName": "t", "deviceCertificateId": "c1",
        "details": "AccessDenied",
    }  # fmt: skip
    lines = log(
        provisioned,
        provisioned | {"deviceCertificateId": "c2"},
        provisioned | {"clientId": "other"},
        {"eventType": "Connection.AuthNError", "principalId": "c1", "clientId": "-"},
        {"eventType": "RuleExecution", "clientId": "N/A", "resources": {"a": "b"}},
        {"eventType": "Publish-In", "clientId": "other", "principalId": "c1"},
        {"eventType": "Connect", "clientId": ["pump"], "deviceCertificateId": {}},
    )
    assert [event.words for event in timeline.of_log(lines, "pump", {"c1": {}})] == [
        "ProvisionDevice Failure AccessDenied",
        "Connection.AuthNError",
    ]
    assert [*timeline.of_log(lines, "pump")] == []
    assert timeline.pattern('p"1') == '{ ($.clientId = "p\\"1") }'
    long = timeline.pattern("p" * 128, [f"{number:064}" for number in range(10)])
    assert long.count("||") == 8
    assert len(long) <= 1024


def test_what_is_said_again_and_again_is_told_once() -> None:
    sent = [aws_line(at, eventType="Publish-In", topicName="dt/pump") for at in (1, 2, 3, 5)]
    reported = timeline.merged(timeline.in_order([*sent, aws_line(4, eventType="Ping")]))
    assert [(event.at, event.words) for event in reported] == [
        (NOON + dt.timedelta(minutes=3), "Publish-In dt/pump (3 times)"),
        (NOON + dt.timedelta(minutes=4), "Ping"),
        (NOON + dt.timedelta(minutes=5), "Publish-In dt/pump"),
    ]
    assert timeline.merged([]) == []


def test_a_long_topic_does_not_hide_the_reason() -> None:
    assert "Failure AUTHORIZATION_FAILURE Authorization" in aws_line(0, **DENIED).words


@pytest.mark.parametrize("stamp", [None, "soon", True, 1e300, -1e300, float("nan"), [], {}])
def test_a_line_without_a_time_comes_first(stamp: object) -> None:
    strange = {
        "timestamp": stamp,
        "message": json.dumps({"clientId": "pump", "eventType": "Odd\x1b[2J" * 99}),
    }
    events = [
        *timeline.of_log({"events": [*log({"clientId": "pump"})["events"], strange]}, "pump")
    ]
    assert len(timeline.in_order(events)) == 2
    assert all(len(event.words) <= 200 for event in events)
    json.dumps([timeline.as_json(event) for event in events])


def test_rubbish_in_logs_is_passed_over() -> None:
    lines = [
        {"message": text, "timestamp": 1}
        for text in (
            "",
            "x",
            "[]",
            "7",
            '{"clientId": "other"}',
            "[" * 100_000,
            "2017-08-10 ERROR: plain text of version 1",
        )
    ]
    assert [*timeline.of_log({"events": lines}, "pump")] == []
    assert [*timeline.of_hook({"events": lines}, ["pump"])] == []
    assert [*timeline.of_ledger("torn {\n\n[]\n")] == []
    assert [*timeline.of_status("[")] == []
    assert [*timeline.of_journal("-- no entries --\nx")] == []


@pytest.mark.parametrize("content", [b"", b"x", b"\x1f\x8b\x08\0\0\0\0\0\0\3"])
def test_what_is_no_bundle_is_said_to_be_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bundle"
    path.write_bytes(content)
    with pytest.raises(UsageError):
        device_bundle.read(path)
    with pytest.raises(UsageError):
        device_bundle.read(tmp_path / "missing")


def test_an_older_cli_is_told_which_version_has_it() -> None:
    error = CommandError("x", remedy="y", code="old-cli", command="aws", said="")
    found = data_plane.lacking(error, "send-direct-message")
    assert (found.code, "1.46.3" in found.remedy) == ("api-missing", True)
    assert "1.36.8" in data_plane.lacking(error, "create-command").remedy
    other = CommandError("x", remedy="y", code="throttled", command="aws", said="")
    assert data_plane.lacking(other, "create-command") is other


def test_the_same_order_is_the_same_command() -> None:
    payload = runs.command_payload("reload", ["a b"])
    assert json.loads(payload) == {"operation": "reload", "arguments": ["a b"]}
    from fleet_cloud.aws.names import FleetNames

    names = FleetNames("n" * 36)
    assert runs.command_id(names, payload) == runs.command_id(names, payload)
    assert len(runs.command_id(names, payload)) <= 64
    assert runs.command_id(names, payload) != runs.command_id(
        names, runs.command_payload("reload", [])
    )
    assert len(runs.job_id(names, NOON)) <= 64
