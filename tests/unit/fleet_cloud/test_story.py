"""What happened to a device, out of several logs: in order, and the cause that is named."""

import datetime as dt
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from fleet_cloud.errors import CommandError, UsageError
from fleet_cloud.fleet import data_plane, device_bundle, runs, story
from fleet_cloud.fleet.presence import Presence
from fleet_cloud.fleet.story import Event, Subject

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
    (event,) = story.of_log(
        {
            "events": [
                {
                    "timestamp": (NOON + dt.timedelta(minutes=minutes)).timestamp() * 1000,
                    "message": json.dumps({"clientId": "pump", **facts}),
                }
            ]
        },
        "pump",
    )
    return event


REFUSED = aws_line(-5, eventType="Connect", status="Failure", reason="AUTHORIZATION_FAILURE")
HOOKED = Event(at=NOON, where="hook", what="", facts={"allowed": "False", "why": "too late"})
LET_IN = Event(at=NOON, where="hook", what="", facts={"allowed": "True", "why": "new"})
PROBLEM = Event(
    at=NOON,
    where="device",
    what="",
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
        ("unknown", subject(UNKNOWN), []),
    ],
)
def test_the_likely_cause(code: str, about: Subject, events: Sequence[Event]) -> None:
    found = story.cause(about, events)
    assert found.code == code
    assert found.words
    assert found.remedy


def test_a_thing_without_a_certificate_is_named() -> None:
    about = Subject(name="pump", is_thing=True, certificates={}, presence=UNKNOWN)
    found = story.cause(about, [])
    assert found.code == "no-certificate"
    # A window without a key lets in nobody who is not let in anyway.
    assert "devices allow pump --key HASH" in found.remedy


def test_rubbish_in_logs_is_passed_over() -> None:
    lines = [
        {"message": text, "timestamp": 1} for text in ("", "x", "[]", "7", '{"clientId": "other"}')
    ]
    assert [*story.of_log({"events": lines}, "pump")] == []
    assert [*story.of_hook({"events": lines}, ["pump"])] == []
    assert [*story.of_ledger("torn {\n\n[]\n")] == []
    assert [*story.of_status("[")] == []
    assert [*story.of_journal("-- no entries --\nx")] == []


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
