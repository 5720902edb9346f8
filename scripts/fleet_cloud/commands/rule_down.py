"""``fleet-cloud rule down``: deletes the rule, its role and its SNS topic."""

import argparse
from collections.abc import Sequence

from fleet_cloud import confirm
from fleet_cloud.aws.calls import Aws
from fleet_cloud.aws.tasks import run_all
from fleet_cloud.errors import Exit
from fleet_cloud.local.shell import Command
from fleet_cloud.options import Context
from fleet_cloud.outcome import Outcome
from fleet_cloud.plan import teardown, topic_rule

NAME = ("rule", "down")
SUMMARY = "delete what rule up created"
DESCRIPTION = """\
Deletes the topic rule NAME_to_sns, then the SNS topic with its subscriptions if rule up created it (it has the tags),
then the role NAME-rule. Asks first. When run again, it says that nothing is left; after an interruption, it resumes.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flag that confirms in advance."""
    confirm.add_to(parser)


def run(context: Context, arguments: argparse.Namespace) -> Outcome:
    """Asks for confirmation, then deletes the rule and what it needs."""
    aws, names = context.aws(), context.names
    found = topic_rule.read_rule(aws, names, aws.account())
    target = topic_rule.read_target(aws, names)
    tasks: list[tuple[str, Sequence[Command]]] = []
    if found:
        name = names.rule
        delete = aws.command("iot", "delete-topic-rule", "--rule-name", name)
        tasks.append((f"topic rule {name}", [delete]))
    if target and _is_ours(context, aws, target):
        delete = aws.command("sns", "delete-topic", "--topic-arn", target)
        tasks.append((f"SNS topic {target}", [delete]))
    role = teardown.role(aws, "role", names.rule_role, inline=topic_rule.INLINE)
    there = teardown.existing(aws, names, [role])
    tasks += [teardown.deletion(aws, piece) for piece in there.ours]
    if tasks:
        listed = ", ".join(name for name, _ in tasks)
        confirm.confirm(context, f"Permanently delete {listed}?", yes=arguments.yes)
    left: list[str] = []
    for task in tasks:  # one after another: without the role nobody would find the topic again
        left += run_all(aws, [task], "")
        if left:
            break
    gone = [name for name, _ in tasks if name not in left] if not left else []
    end = "done" if tasks else "nothing to do: there is no rule"
    return Outcome(
        data={
            "fleet": names.fleet,
            "dry_run": context.shell.dry_run,
            "deleted": gone,
            "left": left,
        },
        lines=[
            *(f"deleted: {name}" for name in gone),
            *(f"left: {name}" for name in left),
            "run it again to continue" if left else end,
        ],
        status=Exit.FAILED if left else Exit.DONE,
    )


def _is_ours(context: Context, aws: Aws, target: str) -> bool:
    (tagged,) = aws.ask_all(
        [aws.command("sns", "list-tags-for-resource", "--resource-arn", target)]
    )
    return teardown.is_ours(tagged, context.names)
