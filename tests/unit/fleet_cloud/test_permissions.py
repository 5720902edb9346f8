"""The operator's policy against what the code can call: read from its source, so that neither is forgotten."""

import ast
import importlib
import importlib.util
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fleet_cloud.aws import operator_policy, permissions
from fleet_cloud.aws.names import Account, FleetNames
from fleet_cloud.cli import COMMANDS, CommandModule

ACCOUNT = Account(partition="aws", number="123456789012", region="eu-west-1")
SERVICES = {"iot", "iot-data", "iot-jobs-data", "iam", "sts", "lambda", "logs", "s3api", "sns"}
REGISTRY = ("thing-type", "thing-group", "billing-group")

# What AWS asks for besides the action that is called: tags at creation, and handing a role over.
IMPLIED = {
    *("iam:PassRole", "iam:TagRole"),
    *("lambda:TagResource", "sns:TagResource"),
    # What MQTT over WebSocket is authorized by.
    *("iot:Connect", "iot:Subscribe", "iot:Receive"),
}

# Where IAM's name of an action is not the operation's.
OTHERWISE = {"s3api:ListObjectsV2": "s3:ListBucket"}


def called_in(path: Path) -> Iterator[str]:
    """Yields the IAM actions of the ``aws`` commands that a module's text can make."""
    for node in ast.walk(ast.parse(path.read_text())):
        words = node.args if isinstance(node, ast.Call) else getattr(node, "elts", [])
        if len(words) >= 2 and isinstance(words[0], ast.Constant) and words[0].value in SERVICES:
            for operation in spellings(words[1]):
                name = "".join(part.capitalize() for part in operation.split("-"))
                action = f"{words[0].value}:{name}"
                action = re.sub("^(iot-data|iot-jobs-data):", "iot:", action)
                action = action.replace("s3api:", "s3:") if action not in OTHERWISE else action
                yield OTHERWISE.get(action, action)


def spellings(word: ast.expr) -> list[str]:
    if isinstance(word, ast.JoinedStr):
        prefix = word.values[0]
        assert isinstance(prefix, ast.Constant)
        return [f"{prefix.value!s}{kind}" for kind in REGISTRY]
    return [str(word.value)] if isinstance(word, ast.Constant) else []


def reached(name: str, seen: set[str]) -> set[str]:
    """Gives every module of the package that a module imports, itself included."""
    if name in seen:
        return seen
    seen.add(name)
    tree = ast.parse(Path(str(importlib.import_module(name).__file__)).read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("fleet_cloud"):
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                is_module = importlib.util.find_spec(inner) if is_package(node.module) else None
                reached(inner if is_module else str(node.module), seen)
    return seen


def is_package(name: str | None) -> bool:
    found = importlib.util.find_spec(str(name))
    return found is not None and found.submodule_search_locations is not None


def actions(command: str) -> set[str]:
    return {action for grant in permissions.COMMANDS[command] for action in grant.actions}


def named(module: CommandModule) -> str:
    return " ".join(module.NAME)


def test_every_command_that_asks_aws_has_a_policy() -> None:
    assert {named(module) for module in COMMANDS} - {*permissions.COMMANDS} == {"operator-policy"}


def test_every_action_of_the_code_is_in_the_policy_and_no_other() -> None:
    modules: set[str] = set()
    for module in COMMANDS:
        reached(str(getattr(module, "__name__")), modules)  # noqa: B009 - the protocol has no __name__
    called = {
        action
        for name in modules
        for action in called_in(Path(str(importlib.import_module(name).__file__)))
    }
    granted = {action for command in permissions.COMMANDS for action in actions(command)}
    assert granted - IMPLIED == called - permissions.WITHHELD
    assert called >= permissions.WITHHELD


@pytest.mark.parametrize(
    "module",
    [command for command in COMMANDS if named(command) in permissions.COMMANDS],
    ids=named,
)
def test_commands_own_module_calls_nothing_that_its_policy_lacks(module: CommandModule) -> None:
    called = {*called_in(Path(str(getattr(module, "__file__"))))}  # noqa: B009 - as above
    assert called - permissions.WITHHELD <= actions(named(module))


def test_policy_reaches_this_fleets_resources_only() -> None:
    made = operator_policy.policy(["up"], FleetNames("bins"), ACCOUNT)
    statements = made["Statement"]
    assert isinstance(statements, list)
    wide = [statement["Action"] for statement in statements if statement["Resource"] == ["*"]]
    assert wide == [["iot:CreateProvisioningTemplate", "sts:GetCallerIdentity"]]
    assert "arn:aws:iot:eu-west-1:123456789012:policy/bins-claim" in json.dumps(made)


def test_nothing_is_named_twice_in_a_statement() -> None:
    made = operator_policy.policy([*permissions.COMMANDS], FleetNames("bins"), ACCOUNT)
    found: Any = made["Statement"]
    for statement in found:
        assert len({*statement["Resource"]}) == len(statement["Resource"])


def test_three_policies_fit_what_iam_takes() -> None:
    # For those who steer devices, who set up a fleet and take it down again, and who try things.
    steering = ("send", "run", "explain", "devices", "rotate")
    trying = ("bulk", "check", "rule", "things", "verify")
    for chosen in (
        [command for command in permissions.COMMANDS if command.startswith(steering)],
        [command for command in permissions.COMMANDS if command.startswith(trying)],
        [
            command
            for command in permissions.COMMANDS
            if not command.startswith((*steering, *trying))
        ],
    ):
        made = operator_policy.policy(chosen, FleetNames("n" * 36), ACCOUNT)
        assert len(json.dumps(made, separators=(",", ":"))) <= 6144  # a managed policy's limit


def statements(*commands: str, boundary: str | None = None) -> list[dict[str, Any]]:
    made = operator_policy.policy(commands, FleetNames("bins"), ACCOUNT, boundary)
    found: Any = made["Statement"]
    return [each for each in found if any(action.startswith("iam:") for action in each["Action"])]


def test_no_command_may_attach_any_policy_pass_a_role_to_anybody_or_change_who_may_take_it() -> (
    None
):
    managed = "arn:aws:iam::aws:policy/service-role/"
    for statement in statements(*permissions.COMMANDS):
        condition: Any = statement.get("Condition")
        if "iam:AttachRolePolicy" in statement["Action"]:
            is_hook = statement["Resource"] == ["arn:aws:iam::123456789012:role/bins-hook"]
            name = "AWSLambdaBasicExecutionRole" if is_hook else "AWSIoTThingsRegistration"
            assert condition == {"ArnEqualsIfExists": {"iam:PolicyARN": managed + name}}
        if "iam:PassRole" in statement["Action"]:
            assert statement["Action"] == ["iam:PassRole"]
            (service,) = condition["StringEquals"].values()
            is_hook = statement["Resource"] == ["arn:aws:iam::123456789012:role/bins-hook"]
            ours = ["iot.amazonaws.com", "credentials.iot.amazonaws.com"]
            assert service == ("lambda.amazonaws.com" if is_hook else ours)
        assert "iam:UpdateAssumeRolePolicy" not in statement["Action"]
        assert all(
            arn.startswith("arn:aws:iam::123456789012:role/bins-") for arn in statement["Resource"]
        )


def test_what_amounts_to_administrator_is_known_and_a_boundary_takes_it_away() -> None:
    assert permissions.administrates([*permissions.COMMANDS]) == ["up", "bulk", "rule up"]
    boundary = "arn:aws:iam::123456789012:policy/bound"
    for statement in statements("up", "bulk", "rule up", boundary=boundary):
        if {"iam:CreateRole", "iam:PutRolePolicy"} & {*statement["Action"]}:
            assert {*statement["Action"]} <= {"iam:CreateRole", "iam:PutRolePolicy"}
            assert statement["Condition"] == {
                "StringEquals": {"iam:PermissionsBoundary": boundary}
            }
        assert not any("Boundary" in action for action in statement["Action"])
