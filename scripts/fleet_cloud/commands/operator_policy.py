"""``fleet-cloud operator-policy``: the least IAM policy that lets somebody run these commands."""

import argparse
import json
from collections.abc import Sequence

from fleet_cloud.aws import operator_policy, permissions
from fleet_cloud.aws.names import Account, partition_of
from fleet_cloud.errors import UsageError
from fleet_cloud.options import Context
from fleet_cloud.outcome import Outcome

NAME = ("operator-policy",)
SUMMARY = "print the least IAM policy for these commands"
DESCRIPTION = """\
Prints, as JSON, the least IAM policy with which the given commands run for this fleet, such as: fleet-cloud
operator-policy status "claim new". Without arguments, for all commands. Account and region are those of the
credentials; with --account AWS is not asked.

Roles may be passed only to AWS IoT and to the hook's function, and only the two managed policies of up may be attached.
The policy lets nobody change who may assume an existing role (iam:UpdateAssumeRolePolicy): up then says that an
administrator has to. Rights that remain:

  bulk, rule up   write a policy into a role, so whoever may run them can have every right in the account
  up              decides what each device of the fleet may do, and registers things in the whole account

With --role-boundary ARN, roles can be created, and policies written into them, only if that permissions boundary limits
the role; give the same flag to the commands. An administrator creates it: it is the most that such roles can ever
allow.

  fleet-cloud operator-policy up status > policy.json
  aws iam put-user-policy --user-name USER --policy-name fleet --policy-document file://policy.json
"""

_ACCOUNT_DIGITS = 12


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the commands, and the account."""
    parser.add_argument(
        "commands",
        metavar="COMMAND",
        nargs="*",
        help=f"one or more of: {', '.join(permissions.COMMANDS)} (default: all)",
    )
    parser.add_argument(
        "--account", metavar="NUMBER", help="account number, instead of asking AWS"
    )


def run(context: Context, arguments: argparse.Namespace) -> Outcome:
    """Prints it; it is JSON with and without --json."""
    commands = _commands(arguments.commands)
    account = _account(context, arguments.account)
    boundary = context.aws_options.role_boundary
    policy = operator_policy.policy(commands, context.names, account, boundary)
    size = len(json.dumps(policy, separators=(",", ":")))
    if size > operator_policy.MOST_CHARACTERS:
        context.console.say(
            f"warning: IAM accepts {operator_policy.MOST_CHARACTERS} characters in a managed policy, this has {size}: "
            "print several, naming some of the commands each time"
        )
    for command in () if boundary else permissions.administrates(commands):
        context.console.say(
            f"warning: whoever may run {command} can give a role any right, and so control the account; "
            "limit that with --role-boundary ARN"
        )
    return Outcome(data=policy, lines=json.dumps(policy, indent=2).splitlines())


def _commands(given: Sequence[str]) -> list[str]:
    """Returns the commands that are named; ``claim new`` may come as one word or two."""
    left, found = " ".join(given).split(), []
    while left:
        both, first = " ".join(left[:2]), left[0]
        name = next((name for name in (both, first) if name in permissions.COMMANDS), None)
        group = [name for name in permissions.COMMANDS if name.split()[0] == first]
        if name is None and not group:
            raise UsageError(
                f"there is no command {first!r}",
                remedy=f"name some of: {', '.join(permissions.COMMANDS)}",
            )
        found += [name] if name else group
        left = left[2 if name == both and both != first else 1 :]
    return found or [*permissions.COMMANDS]


def _account(context: Context, number: str | None) -> Account:
    aws = context.aws()
    if number is None:
        return aws.account()
    if not number.isdecimal() or len(number) != _ACCOUNT_DIGITS:
        raise UsageError(
            f"--account {number!r} is not an account number", remedy="pass its twelve digits"
        )
    return Account(partition=partition_of(aws.region), number=number, region=aws.region)
