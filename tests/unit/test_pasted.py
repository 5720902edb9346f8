import json
import subprocess
from pathlib import Path

import pytest

from fleet_agent import pasted
from fleet_agent.errors import NotAllowedError
from fleet_agent.printable import line


@pytest.mark.parametrize(
    "name",
    ["plain", "a b", "$(id)", "`id`", "a'b\"c", "-rf", "a;b", "\n", "a\n", "\x1b[2J", "東京", "", "\u202ex"],
)  # fmt: skip
def test_a_name_in_a_command_is_that_name_to_a_shell(name: str) -> None:
    command = pasted.command("printf", "%s", name)
    assert command.isprintable()
    done = subprocess.run(["bash", "-c", command], capture_output=True, check=True)
    assert done.stdout.decode() == name


def test_bytes_that_are_no_text_stay_those_bytes() -> None:
    done = subprocess.run(
        ["bash", "-c", pasted.command("printf", "%s", "\udcff")], capture_output=True, check=True
    )
    assert done.stdout == b"\xff"


def test_a_path_is_no_flag() -> None:
    assert pasted.command("rm", Path("-rf")) == "rm ./-rf"


@pytest.mark.parametrize(
    ("endpoint", "beginning"),
    [
        ("a1-ats.iot.eu-west-1.amazonaws.com", "arn:aws:iot:eu-west-1:ACCOUNT:"),
        ("a1.ats.iot.cn-north-1.amazonaws.com.cn", "arn:aws-cn:iot:cn-north-1:ACCOUNT:"),
        ("a1-ats.iot.us-gov-west-1.amazonaws.com", "arn:aws-us-gov:iot:us-gov-west-1:ACCOUNT:"),
        ("a1-ats.iot-fips.us-gov-east-1.amazonaws.com", "arn:aws-us-gov:iot:us-gov-east-1:ACCOUNT:"),
        ("iot.example.com", "arn:aws:iot:REGION:ACCOUNT:"),
        ("x.iot.evil.amazonaws.com.evil.example", "arn:aws:iot:REGION:ACCOUNT:"),
    ],
)  # fmt: skip
def test_partition_and_region_are_the_endpoints(endpoint: str, beginning: str) -> None:
    error = NotAllowedError("thing", "iot:Publish", "topic/a", endpoint=endpoint)
    assert f'"Resource": "{beginning}topic/a"' in error.remedy


def test_a_statement_is_json_whatever_the_topic() -> None:
    topic = 'a", "Resource": "x\n\\'
    error = NotAllowedError("thing", "iot:Publish", f"topic/{topic}")
    statement = json.loads(error.remedy.removeprefix("Add to that policy: "))
    assert statement["Resource"] == f"arn:aws:iot:REGION:ACCOUNT:topic/{topic}"
    assert error.title.isprintable()


@pytest.mark.parametrize("topic", ["*", "dt/?", "dt/${iot:ClientId}", "dt/a*"])
def test_no_statement_that_allows_more_than_was_asked(topic: str) -> None:
    error = NotAllowedError("thing", "iot:Publish", f"topic/{topic}")
    assert "Effect" not in error.remedy
    assert "wildcard" in error.remedy


def test_our_own_pattern_is_offered() -> None:
    error = NotAllowedError("claim", "iot:Connect", "client/claim-*", is_pattern=True)
    assert "client/claim-*" in error.remedy


def test_no_statement_for_a_topic_that_a_stranger_chose() -> None:
    error = NotAllowedError("thing", "iot:Publish", "topic/x/y", is_foreign=True)
    assert "Effect" not in error.remedy


def test_a_line_of_ours_is_harmless_and_stays_when_said_again() -> None:
    words = "a\nb\x1b[2J\u202e\ud800 東京 \\u001b \x9b\U000e0001"
    reported = line(words)
    assert reported == "a\\u000ab\\u001b[2J\\u202e\\ud800 東京 \\u001b \\u009b\\U000e0001"
    assert line(reported) == reported
