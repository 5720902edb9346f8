"""The topic rule to SNS: names, order, whose it is; AWS itself is a program that says what it is told to."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fleet_cloud.aws.calls import Aws, Options
from fleet_cloud.aws.names import Account, FleetNames
from fleet_cloud.console import Console
from fleet_cloud.errors import FleetCloudError
from fleet_cloud.local.shell import Shell
from fleet_cloud.plan import topic_rule

Programs = Callable[[str, str], Path]
ACCOUNT = Account(partition="aws", number="123456789012", region="eu-west-1")
NAMES = FleetNames("my-bins")
TARGET = ACCOUNT.sns_topic("readings")


def aws() -> Aws:
    options = Options(profile=None, region="eu-west-1", endpoint_url=None)
    return Aws(Shell(Console(as_json=False, is_verbose=False), dry_run=False), options)


def test_role_names_the_topic_before_the_topic_is_made(programs: Programs) -> None:
    programs("aws", "exit 1")
    kinds = [
        each.kind
        for each in topic_rule.prerequisites(aws(), NAMES, ACCOUNT, TARGET, "a@example.com")
    ]
    assert kinds == ["rule role", "role policy", "SNS topic", "subscription"]


def test_rule_has_a_name_without_hyphen_and_notices_a_change(programs: Programs) -> None:
    programs("aws", "exit 1")
    rule = topic_rule.rule(aws(), NAMES, ACCOUNT, "dt/+/system", TARGET)
    assert rule.name == "my_bins_to_sns"
    same = {"rule": {**rule.wanted, "awsIotSqlVersion": "2016-03-23"}}
    found = rule.facts(same)
    assert found is not None
    assert rule.drift(found) == []
    changed = rule.facts({"rule": {**rule.wanted, "ruleDisabled": True}})
    assert changed is not None
    (command,) = rule.fixing(rule.drift(changed))
    assert command.words[2] == "replace-topic-rule"


def test_rule_of_that_name_with_another_role_is_nobody_of_ours(programs: Programs) -> None:
    listed = json.dumps({"rules": [{"ruleName": NAMES.rule}]})
    printed = json.dumps({"rule": {"actions": [{"sns": {"roleArn": ACCOUNT.role("other")}}]}})
    programs("aws", f"case $2 in list*) echo '{listed}' ;; *) echo '{printed}' ;; esac")
    with pytest.raises(FleetCloudError) as refused:
        topic_rule.read_rule(aws(), NAMES, ACCOUNT)
    assert refused.value.code == "rule-of-another"
