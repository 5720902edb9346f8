"""``fleet-cloud things clean``: deletes the trial things."""

import argparse

from fleet_cloud import confirm
from fleet_cloud.aws import names
from fleet_cloud.aws.calls import Aws, entries, strings
from fleet_cloud.aws.tasks import run_all
from fleet_cloud.commands import things_create
from fleet_cloud.errors import Exit
from fleet_cloud.fleet import deletion
from fleet_cloud.fleet.inventory import ACTIVE, Certificate
from fleet_cloud.local.shell import Command
from fleet_cloud.options import Context
from fleet_cloud.outcome import Outcome
from fleet_cloud.plan import resources
from fleet_cloud.practice import trials
from fleet_cloud.practice.trials import Record, TrialFolder

NAME = ("things", "clean")
SUMMARY = "delete these things, their certificates, policies and files"
DESCRIPTION = """\
Deletes what the record names, and nothing else: each thing, its certificate and its policy, then the files in DIR.
--only-local deletes only the files. Asks first. What cannot be deleted is listed and stays in the record; run it again.

A record may be wrong, so AWS is asked: a thing that things create did not create, and a certificate that is attached to
another thing or has another policy, are kept and listed.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flag that limits it to this machine."""
    parser.add_argument("--only-local", action="store_true", help="delete the files only")
    things_create.add_folder(parser)
    confirm.add_to(parser)


def run(context: Context, arguments: argparse.Namespace) -> Outcome:
    """Asks for confirmation, then deletes the things of the record."""
    folder = TrialFolder(arguments.out)
    record = folder.read()
    left: dict[str, str] = {}
    if record:
        doomed = "the files" if arguments.only_local else "the things, certificates and policies"
        confirm.confirm(
            context,
            f"Delete {doomed} of {len(record.things)} things permanently?",
            yes=arguments.yes,
        )
        if not arguments.only_local:
            aws = context.aws()
            folder.of_account(aws.account())
            left = _not_ours(aws, record)
            tasks = [
                (thing, _commands(context, aws, thing, arn))
                for thing, arn in record.things.items()
                if thing not in left
            ]
            failed = run_all(aws, tasks, "deleting things")
            left |= {thing: error.said for thing, error in failed.items()}
        if not left and not context.shell.dry_run:
            folder.clear(record)
    gone = sorted(set(record.things) - {*left}) if record else []
    end = f"{len(gone)} things deleted" if record else "nothing to do: nothing is recorded"
    return Outcome(
        data={"dry_run": context.shell.dry_run, "deleted": gone, "left": sorted(left)},
        lines=[*(f"not deleted: {thing}: {why}" for thing, why in sorted(left.items())), end],
        status=Exit.FAILED if left else Exit.DONE,
    )


def _not_ours(aws: Aws, record: Record) -> dict[str, str]:
    """Returns what AWS says against the record, by thing: a file may name what somebody else uses."""
    described = aws.ask_all(
        [aws.command("iot", "describe-thing", "--thing-name", thing) for thing in record.things]
    )
    holders = aws.ask_all(
        [
            aws.command("iot", "list-principal-things", "--principal", arn)
            for arn in record.things.values()
        ]
    )
    attached = aws.ask_all(
        [
            aws.command("iot", "list-attached-policies", "--target", arn)
            for arn in record.things.values()
        ]
    )
    found = {}
    for thing, thing_found, holds, has in zip(
        record.things, described, holders, attached, strict=True
    ):
        policies = {str(entry.get("policyName")) for entry in entries(has, "policies")}
        if thing_found is not None and thing_found.get("attributes") != trials.ATTRIBUTES:
            found[thing] = "the thing of that name was not created by things create"
        elif {*strings(holds, "things")} - {thing}:
            found[thing] = "its certificate is also attached to another thing"
        elif policies - {names.trial_policy(thing)}:
            found[thing] = "its certificate also has another policy"
    return found


def _commands(context: Context, aws: Aws, thing: str, arn: str) -> list[Command]:
    certificate = Certificate(arn=arn, status=ACTIVE, created=None)
    name = names.trial_policy(thing)
    versions = resources.policy(aws, context.names, "policy", name, {}).versions
    commands = deletion.certificate_commands(aws, certificate, [thing])
    commands.append(aws.command("iot", "delete-thing", "--thing-name", thing))
    if versions and (listed := aws.ask_all([versions.read])[0]):
        commands += versions.beyond(listed, 1)
        commands.append(aws.command("iot", "delete-policy", "--policy-name", name))
    return commands
