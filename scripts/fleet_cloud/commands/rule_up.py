"""``fleet-cloud rule up``: sends what devices publish on a topic to SNS, for example as e-mail."""

import argparse
import re

from fleet_cloud.commands import up
from fleet_cloud.errors import Exit, FleetCloudError, UsageError
from fleet_cloud.options import Context
from fleet_cloud.outcome import Outcome, table
from fleet_cloud.plan import topic_rule
from fleet_cloud.plan.reconcile import ensure

NAME = ("rule", "up")
SUMMARY = "send what devices publish on a topic to SNS"
DESCRIPTION = """\
Creates, as far as it is missing: the SNS topic, a subscription for an e-mail address (which its owner has to confirm),
the role NAME-rule, which may only publish to that SNS topic, and the topic rule NAME_to_sns. A fleet has one such rule:
running it with another --topic changes it.

When run again, it changes nothing and says so; after an interruption, it resumes.
"""

_SNS = re.compile(r"[0-9A-Za-z_-]{1,256}")
# Levels; + for a whole one, # for all that follow.
_TOPIC = re.compile(r"""(?=.{1,256}$)(([^'"+#/\x00-\x1f]*|\+)/)*([^'"+#/\x00-\x1f]*|\+|\#)""")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the source and the destination."""
    parser.add_argument(
        "--topic",
        metavar="FILTER",
        required=True,
        help="topic filter of readings, such as dt/+/system",
    )
    parser.add_argument("--sns", metavar="NAME", required=True, help="the SNS topic")
    parser.add_argument("--email", metavar="ADDRESS", help="e-mail address to send them to")


def run(context: Context, arguments: argparse.Namespace) -> Outcome:
    """Creates what is missing, corrects what differs."""
    _check(
        "--topic",
        _TOPIC,
        arguments.topic,
        "1 to 256 characters without quotes; + and # are whole levels, and # is the last",
    )
    _check("--sns", _SNS, arguments.sns, "1 to 256 of the characters 0-9 A-Z a-z _ -")
    if arguments.email:
        _check("--email", _EMAIL, arguments.email, "an address such as ops@example.com")
    aws, names = context.aws(), context.names
    account = aws.account()
    target = account.sns_topic(arguments.sns)
    before = topic_rule.read_target(aws, names)
    if before not in (None, target):
        raise FleetCloudError(
            f"this fleet's rule sends to {before}",
            remedy="remove it first: fleet-cloud rule down; or choose another --name for a second rule",
            code="rule-sends-elsewhere",
        )
    found = topic_rule.read_rule(aws, names, account)
    wanted = topic_rule.prerequisites(aws, names, account, target, arguments.email)
    answers = aws.ask_all([resource.read for resource in wanted])
    pairs = [*zip(wanted, answers, strict=True)]
    pairs.append((topic_rule.rule(aws, names, account, arguments.topic, target), found))
    findings = [ensure(aws, resource, answer) for resource, answer in pairs]
    states = {finding.state for finding in findings}
    rows = [[finding.resource.kind, finding.resource.name, finding.state] for finding in findings]
    failed = "differs" in states and not context.shell.dry_run
    end = "nothing to do: everything exists" if states == {"unchanged"} else "done"
    return Outcome(
        data={
            "fleet": names.fleet,
            "dry_run": context.shell.dry_run,
            "rule": names.rule,
            "sns_topic_arn": target,
            "changed": bool(states & {"created", "updated"}),
            "resources": [up.describe(finding) for finding in findings],
        },
        lines=[*table(rows), "something differs and was not changed" if failed else end],
        status=Exit.FAILED if failed else Exit.DONE,
    )


def _check(flag: str, pattern: re.Pattern[str], value: str, remedy: str) -> None:
    if not pattern.fullmatch(value):
        raise UsageError(f"{flag} {value!r} is not valid in AWS", remedy=f"give {remedy}")
