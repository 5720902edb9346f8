"""``fleet-cloud status``: one screen of what the fleet has in the cloud; changes nothing."""

import argparse
import collections
import datetime as dt

from fleet_cloud.aws import times
from fleet_cloud.aws.calls import Aws, entries
from fleet_cloud.commands import claim_list
from fleet_cloud.commands.up import describe
from fleet_cloud.errors import Exit
from fleet_cloud.fleet import claims, inventory, listing
from fleet_cloud.fleet.claims import Found
from fleet_cloud.fleet.inventory import ACTIVE, Holdings
from fleet_cloud.fleet.listing import Listing
from fleet_cloud.options import Context
from fleet_cloud.outcome import Outcome, table
from fleet_cloud.plan import plan, teardown
from fleet_cloud.plan.plan import Plan
from fleet_cloud.plan.reconcile import Finding, compare
from fleet_cloud.plan.teardown import Piece
from fleet_cloud.plan.templates import TemplateFlags

NAME = ("status",)
SUMMARY = "show what the fleet has in the cloud, and what differs from what up would make"
DESCRIPTION = """\
Shows the role, the policies, the template (with its version) and the hook, each as unchanged, missing or different from
what up would create; the claims with their age; and the number of devices. Changes nothing.

For scripts, the exit status is 1 when something is missing or different, has lost the tags by which down recognises it,
or when an interrupted claim new left a certificate behind.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds nothing: the global flags are enough."""
    del parser


def run(context: Context, arguments: argparse.Namespace) -> Outcome:
    """Shows what the fleet has in the cloud, and what differs."""
    del arguments
    aws = context.aws()
    wanted = plan.of_fleet(aws, context.names, TemplateFlags())
    findings = [compare(resource, answer) for resource, answer in wanted.wanted]
    untagged = _untagged(aws, context, wanted, findings)
    held = inventory.holdings(aws, context.names)
    found = claims.gather(aws, context.names, held, everything=False)
    version, found_things = _template_version(aws, context), listing.gather(aws, context.names)
    things = len(found_things.things)
    states = collections.Counter(certificate.status.lower() for certificate in held.devices)
    described = [
        {**describe(finding), "version": version if finding.resource.kind == "template" else None}
        for finding in findings
    ]
    leftovers = [claim for claim in found.claims if claim.state == "leftover"]
    is_right = all(finding.state == "unchanged" for finding in findings)
    return Outcome(
        data={
            "fleet": context.names.fleet,
            "account": wanted.account.number,
            "region": wanted.account.region,
            "resources": described,
            "untagged": [{"kind": piece.kind, "name": piece.name} for piece in untagged],
            "hook": wanted.design.hook or None,
            "claims": [claim_list.describe(claim) for claim in found.claims],
            "devices": {
                "things": things,
                "connected": found_things.connected,
                "certificates": dict(states),
                **found_things.data(),
            },
        },
        lines=_lines(context, wanted, findings, version)
        + [
            f"{piece.kind} {piece.name} lacks the fleet's tags, so down would keep it"
            for piece in untagged
        ]
        + _claim_lines(found)
        + _device_lines(held, found_things),
        status=Exit.DONE if is_right and not (leftovers or untagged) else Exit.FAILED,
    )


def _untagged(aws: Aws, context: Context, wanted: Plan, findings: list[Finding]) -> list[Piece]:
    """Returns what is there without the tags; type and groups may be somebody else's, and so lack them."""
    there = {
        (finding.resource.kind, finding.resource.name)
        for finding in findings
        if finding.state != "missing"
    }
    pieces = teardown.of_fleet(aws, context.names, wanted.account, None)
    return teardown.untagged(
        aws, context.names, [piece for piece in pieces if (piece.kind, piece.name) in there]
    )


def _template_version(aws: Aws, context: Context) -> int | None:
    """Returns the template's default version."""
    named = ("--template-name", context.names.template)
    (versions,) = aws.ask_all([aws.command("iot", "list-provisioning-template-versions", *named)])
    return next(
        (
            number
            for entry in entries(versions, "versions")
            if entry.get("isDefaultVersion") and isinstance(number := entry.get("versionId"), int)
        ),
        None,
    )


def _lines(
    context: Context, wanted: Plan, findings: list[Finding], version: int | None
) -> list[str]:
    account = wanted.account
    rows = []
    for finding in findings:
        resource, state = finding.resource, finding.state
        shown = f"version {version}" if resource.kind == "template" and version else ""
        rows.append([resource.kind, resource.name, shown, state, ", ".join(finding.drift)])
    return [
        f"fleet {context.names.fleet} in account {account.number}, {account.region}",
        *table(rows),
        *([f"hook {wanted.design.hook}"] if wanted.design.hook else []),
    ]


def _claim_lines(found: Found) -> list[str]:
    now = dt.datetime.now(dt.UTC)
    rows = [
        [
            claim.certificate.identifier[:12],
            claim.batch or "-",
            claim.state,
            times.age(claim.certificate.created, now),
        ]
        for claim in found.claims
    ]
    return ["", f"{len(rows)} claims", *(table(rows) if rows else [])]


def _device_lines(held: Holdings, found: Listing) -> list[str]:
    active = sum(certificate.status == ACTIVE for certificate in held.devices)
    others = len(held.devices) - active
    connected = f", {found.connected} connected" if found.connected is not None else ""
    said = found.said(dt.datetime.now(dt.UTC))
    return [
        "",
        f"{len(found.things)} devices{connected} ({said}); certificates: {active} active, {others} not active",
    ]
