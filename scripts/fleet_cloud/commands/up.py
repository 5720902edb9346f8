"""``fleet-cloud up``: makes what a fleet needs in the cloud, and compares what is there."""

import argparse

from fleet_cloud import resources
from fleet_cloud.commands import Outcome, table
from fleet_cloud.errors import Exit
from fleet_cloud.options import Context
from fleet_cloud.reconcile import Finding, ensure

NAME = ("up",)
SUMMARY = "set up the role, the policies and the provisioning template"
DESCRIPTION = """\
Makes what a fleet needs in the cloud, as far as it is not there: the role NAME-provisioning with the managed policy
AWSIoTThingsRegistration, the policies NAME-device and NAME-claim, and the provisioning template NAME, enabled.

Run again it changes nothing and says so; after an interruption it goes on. What is there but differs from what up
would make is left alone and named, with the commands that would put it right, and the exit status is 1.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing: the global flags say it all."""
    del parser


def run(context: Context, arguments: argparse.Namespace) -> Outcome:
    """Make what is missing, name what differs."""
    del arguments
    aws = context.aws()
    account = aws.account()
    context.console.say(
        f"fleet {context.names.fleet} in account {account.number}, {account.region}"
    )
    fleet = resources.of_fleet(aws, context.names, account)
    answers = aws.ask_all([resource.read for resource in fleet])
    findings = [
        ensure(aws, resource, resource.facts(answer) if answer else None)
        for resource, answer in zip(fleet, answers, strict=True)
    ]
    differs = [finding for finding in findings if finding.drift]
    return Outcome(
        data={
            "fleet": context.names.fleet,
            "account": account.number,
            "region": account.region,
            "dry_run": context.shell.dry_run,
            "changed": any(finding.state == "created" for finding in findings),
            "resources": [_data(finding) for finding in findings],
        },
        lines=_lines(context, findings),
        status=Exit.FAILED if differs else Exit.DONE,
    )


def _data(finding: Finding) -> dict[str, object]:
    return {
        "kind": finding.resource.kind,
        "name": finding.resource.name,
        "state": finding.state,
        "differences": finding.drift,
        "mending": [str(command) for command in finding.mending],
    }


def _lines(context: Context, findings: list[Finding]) -> list[str]:
    rows = [[finding.resource.kind, finding.resource.name, finding.state] for finding in findings]
    states = {finding.state for finding in findings}
    if "differs" in states:
        end = "something differs from what up would make: see above"
    elif states == {"unchanged"}:
        end = "nothing to do: all of it is there"
    else:
        end = f"done; next: fleet-cloud claim new --out DIR{_name_flag(context)}"
    return [*table(rows), end]


def _name_flag(context: Context) -> str:
    return "" if context.names.fleet == "fleet" else f" --name {context.names.fleet}"
