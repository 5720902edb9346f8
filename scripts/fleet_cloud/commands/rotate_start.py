"""``fleet-cloud rotate start``: orders devices to replace their certificates, by an AWS IoT Job."""

import argparse
import datetime as dt
import re

from fleet_cloud.aws.calls import Answer, Aws, entries, text
from fleet_cloud.aws.names import Account
from fleet_cloud.errors import FleetCloudError
from fleet_cloud.fleet import inventory, jobs
from fleet_cloud.options import Context
from fleet_cloud.outcome import Outcome
from fleet_cloud.plan import documents, registry, rights, templates

NAME = ("rotate", "start")
SUMMARY = "order devices to replace their certificates"
DESCRIPTION = """\
Starts an AWS IoT Job that orders devices to replace their key and certificate: the whole fleet, a thing group, or one
thing. A device takes it if its configuration says rotation: {jobs: true}, at once or when it next connects. The policy
NAME-device must allow it: fleet-cloud up --rotation. To see the progress: fleet-cloud rotate status.

The whole fleet means up to 100 things by name, or the thing group into which its template puts things.

The job goes to --rate devices a minute, and stops by itself when a fifth of the devices have failed, once ten have
tried. A device that fails keeps its current certificate. To stop the job by hand: aws iot cancel-job --job-id ID
"""

_FASTEST = 1000  # AWS's limit of a job's rollout
_RATE = re.compile(r"([1-9][0-9]{0,3})(/min)?")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the targets and the rate."""
    targets = parser.add_mutually_exclusive_group(required=True)
    targets.add_argument("--fleet", action="store_true", help="all devices of this fleet")
    targets.add_argument("--group", metavar="GROUP", help="the things of this thing group")
    targets.add_argument("--thing", metavar="THING", help="this thing")
    parser.add_argument(
        "--rate",
        metavar="N/min",
        type=_rate,
        default=50,
        help="devices a minute that get the order, 1 to 1000 (default: %(default)s/min)",
    )


def run(context: Context, arguments: argparse.Namespace) -> Outcome:
    """Checks that the job can succeed, then starts it."""
    registry.check("--group", arguments.group)
    registry.check("--thing", arguments.thing)
    aws, names = context.aws(), context.names
    account = aws.account()
    policy, template = aws.ask_all(
        [
            aws.command("iot", "get-policy", "--policy-name", names.device_policy),
            templates.read(aws, names),
        ]
    )
    _check(context, account, policy, template)
    targets = _targets(context, aws, account, arguments, template)
    identifier = jobs.new_id(names, dt.datetime.now(dt.UTC))
    aws.change(jobs.start(aws, names, identifier, targets, arguments.rate))
    flag = "" if names.fleet == "fleet" else f" --name {names.fleet}"
    return Outcome(
        data={
            "fleet": names.fleet,
            "dry_run": context.shell.dry_run,
            "job": identifier,
            "targets": targets,
            "per_minute": arguments.rate,
        },
        lines=[
            f"job {identifier}, {arguments.rate} devices a minute, for",
            *(f"  {target.rpartition(':')[2]}" for target in targets),
            f"next: fleet-cloud rotate status{flag}",
        ],
    )


def _check(
    context: Context, account: Account, policy: Answer | None, template: Answer | None
) -> None:
    """Looks whether devices may rotate, as far as the policy is ours: a template file may give them another."""
    names = context.names
    if template is None:
        raise FleetCloudError(
            f"there is no fleet {names.fleet}",
            remedy="check --name; fleet-cloud up creates a fleet",
            code="fleet-missing",
        )
    found = (
        documents.parsed(text(policy, "policyDocument"), of=f"policy {names.device_policy}")
        if policy
        else None
    )
    has = rights.found_in(found, account)
    # The operator's own policy may express it differently.
    is_ours = found is None or found == rights.device_policy(account, names, has)
    if templates.is_ours(template) and is_ours and not has.rotation:
        raise FleetCloudError(
            f"the policy {names.device_policy} does not let devices replace their certificates",
            remedy="type: fleet-cloud up --rotation   (fleet-cloud up --help says what that allows)",
            code="rotation-not-allowed",
        )


def _targets(
    context: Context,
    aws: Aws,
    account: Account,
    arguments: argparse.Namespace,
    template: Answer | None,
) -> list[str]:
    if arguments.group:
        return [account.iot(f"thinggroup/{arguments.group}")]
    if arguments.thing:
        return [account.iot(f"thing/{arguments.thing}")]
    listed = aws.ask(aws.command("iot", "list-things"))
    ours = [
        name
        for entry in entries(listed, "things")
        if inventory.is_named(
            context.names, name := text(entry, "thingName"), inventory.attributes(entry)
        )
    ]
    if not ours:
        raise FleetCloudError(
            f"the fleet {context.names.fleet} has no devices",
            remedy="see fleet-cloud devices list; name a thing or a group instead of --fleet",
            code="no-devices",
        )
    if len(ours) <= jobs.TARGETS:
        return [account.iot(f"thing/{name}") for name in sorted(ours)]
    group = templates.registry_of(template).thing_group if template else None
    if group is None:
        raise FleetCloudError(
            f"the fleet has {len(ours)} things; a job can have {jobs.TARGETS} things, or a thing group of any size",
            remedy="put the things into a group (fleet-cloud up --thing-group GROUP does it for new ones), "
            "then: fleet-cloud rotate start --group GROUP",
            code="too-many-things",
        )
    context.console.say(f"  {len(ours)} things: the job is for their group {group}")
    return [account.iot(f"thinggroup/{group}")]


def _rate(given: str) -> int:
    found = _RATE.fullmatch(given)
    if not found or int(found[1]) > _FASTEST:
        raise argparse.ArgumentTypeError(
            f"{given!r} is not a rate: write 1 to {_FASTEST}, or 50/min"
        )
    return int(found[1])
