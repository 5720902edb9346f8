"""The seam to the AWS CLI, with a program in its place that says what AWS sometimes says."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fleet_cloud.aws.calls import Aws, Options, text
from fleet_cloud.aws.names import Account, FleetNames
from fleet_cloud.console import Console
from fleet_cloud.errors import CommandError, FleetCloudError, UsageError
from fleet_cloud.local.shell import Shell
from fleet_cloud.plan import resources
from fleet_cloud.plan.reconcile import compare, ensure

Programs = Callable[[str, str], Path]

ECHO = """printf '%s\\n' "$*" >> "$0.calls"; echo '{}'"""
NEW_ROLE = (
    "An error occurred (InvalidRequestException) when calling the CreateProvisioningTemplate "
    "operation: The provisioning role cannot be assumed by AWS IoT"
)


class Clock:
    """Counts how long was slept."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


def aws(clock: Clock | None = None, *, dry_run: bool = False, **options: str | None) -> Aws:
    shell = Shell(Console(as_json=False, is_verbose=False), dry_run=dry_run)
    given: dict[str, Any] = {"profile": None, "region": "eu-west-1", "endpoint_url": None}
    return Aws(shell, Options(**(given | options)), sleep=(clock or Clock()).sleep)


def call(of: Aws, service: str = "iot") -> str:
    return str(of.command(service, "x"))


def test_flags_are_passed_on(programs: Programs) -> None:
    programs("aws", ECHO)
    given = aws(profile="ops", region="eu-central-1", endpoint_url="http://localhost:1")
    assert call(given) == (
        "aws iot x --profile ops --region eu-central-1 --endpoint-url http://localhost:1 "
        "--output json"
    )


def test_region_and_endpoint_of_the_environment_are_written_out(
    programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs("aws", ECHO)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://localhost:1")
    assert call(aws(region=None)) == (
        "aws iot x --region us-east-1 --endpoint-url http://localhost:1 --output json"
    )
    monkeypatch.setenv("AWS_REGION", "us-west-2")
    monkeypatch.setenv("AWS_ENDPOINT_URL_IOT", "http://localhost:2")
    assert "--region us-west-2 --endpoint-url http://localhost:2" in call(aws(region=None))
    assert "--endpoint-url http://localhost:1" in call(aws(region=None), "sts")


def test_region_of_the_profile_is_asked_of_the_cli(programs: Programs) -> None:
    programs("aws", 'test "$*" = "configure get region --profile ops" && echo eu-north-1')
    assert aws(region=None, profile="ops").region == "eu-north-1"


def test_no_region_is_told_with_the_flag_to_add(programs: Programs) -> None:
    programs("aws", "exit 1")
    with pytest.raises(FleetCloudError, match="no AWS region") as failed:
        aws(region=None)
    assert "--region" in failed.value.remedy
    with pytest.raises(UsageError, match="is not an AWS region"):
        aws(region="eu_west")


def test_new_role_that_aws_iot_has_not_seen_yet_is_waited_for(programs: Programs) -> None:
    programs(
        "aws",
        f'echo x >> "$0.calls"; test $(wc -l < "$0.calls") -ge 4 || {{ echo "{NEW_ROLE}" >&2; exit 254; }}',
    )
    clock = Clock()
    made = aws(clock)
    made.change(made.command("iot", "create-provisioning-template"))
    assert clock.slept == [1, 2, 4]


def test_role_that_never_becomes_usable_ends_with_awss_words(programs: Programs) -> None:
    programs("aws", f'echo "{NEW_ROLE}" >&2; exit 254')
    clock = Clock()
    made = aws(clock)
    with pytest.raises(CommandError) as failed:
        made.change(made.command("iot", "create-provisioning-template"))
    assert failed.value.said == NEW_ROLE
    assert "trust policy" in failed.value.cause
    assert 90 <= sum(clock.slept) < 101


def test_failure_that_does_not_heal_is_not_tried_again(programs: Programs) -> None:
    programs("aws", "echo 'An error occurred (X) when calling the Y operation: no' >&2; exit 254")
    clock = Clock()
    made = aws(clock)
    with pytest.raises(CommandError) as failed:
        made.change(made.command("iot", "create-policy"))
    assert (failed.value.code, clock.slept) == ("X", [])


def test_answer_that_is_no_json_is_told_without_its_text(programs: Programs) -> None:
    programs("aws", "echo PRIVATE KEY")
    asking = aws()
    with pytest.raises(CommandError) as failed:
        asking.ask(asking.command("iot", "x"))
    assert "PRIVATE" not in failed.value.said + str(failed.value)


def test_answer_without_what_is_needed_is_told_by_its_path() -> None:
    with pytest.raises(FleetCloudError, match=r"has no a\.b"):
        text({"a": {"c": "d"}}, "a", "b")


def policy(of: Aws) -> resources.Resource:
    account = Account(partition="aws", number="1" * 12, region="eu-west-1")
    return resources.claim_policy(of, FleetNames("fleet"), account)


def test_policy_that_somebody_makes_meanwhile_is_compared(programs: Programs) -> None:
    programs("aws", "exit 1")
    wanted = policy(aws()).wanted["document"]
    answer = json.dumps({"policyDocument": json.dumps(wanted)})
    exists = (
        "An error occurred (ResourceAlreadyExistsException) when calling the CreatePolicy "
        "operation: Policy cannot be created - name already exists"
    )
    lines = f"case $2 in create-policy) echo '{exists}' >&2; exit 254;; esac; echo '{answer}'"
    programs("aws", lines)
    made = aws()
    assert ensure(made, policy(made), None).state == "unchanged"


def test_policy_that_differs_gets_a_new_default_version_and_the_oldest_goes(
    programs: Programs,
) -> None:
    versions = [
        {"versionId": str(number), "isDefaultVersion": number == 7} for number in (10, 7, 8, 9, 11)
    ]
    listed = json.dumps({"policyVersions": versions})
    program = programs("aws", f"""echo "$2 $6" >> "$0.calls"; echo '{listed}'""")
    record = program.with_name("aws.calls")
    made = aws()
    found = {"policyDocument": json.dumps({"Version": "2012-10-17"})}
    finding = ensure(made, policy(made), found)
    assert (finding.state, finding.drift) == ("updated", ["document.Statement"])
    calls = [line.split() for line in record.read_text().splitlines()]
    assert [words[0] for words in calls] == [
        "list-policy-versions",
        "delete-policy-version",
        "create-policy-version",
    ]
    assert calls[1][1] == "8"  # the oldest but the default one


def test_what_no_command_puts_right_is_named_and_left(programs: Programs) -> None:
    programs("aws", "exit 1")
    account = Account(partition="aws", number="1" * 12, region="eu-west-1")
    made = aws()
    role = resources.role(made, FleetNames("fleet"), account)
    found = {"Role": {"Arn": "arn:aws:iam::1:role/other/fleet", "AssumeRolePolicyDocument": {}}}
    differing = compare(role, found)
    assert differing.drift == ["arn", "trust.Statement", "trust.Version"]
    assert [command.words[2] for command in differing.fixing] == ["update-assume-role-policy"]
