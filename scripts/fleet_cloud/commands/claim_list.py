"""``fleet-cloud claim list``: the claims of this fleet, and what an interrupted ``claim new`` left."""

import argparse
import datetime as dt

from fleet_cloud.aws import times
from fleet_cloud.fleet import claims, inventory
from fleet_cloud.fleet.claims import Claim
from fleet_cloud.options import Context
from fleet_cloud.outcome import Outcome, table

NAME = ("claim", "list")
SUMMARY = "list the claims with batch, state and age"
DESCRIPTION = """\
Lists this fleet's claims: every certificate with the policy NAME-claim, its batch (from its subject; - for a claim
whose key AWS made), its state and its age. A certificate with a claim's subject and no policy was left behind by an
interrupted claim new: it can do nothing, and is shown as leftover.

Up to 100 certificates of the account are searched for leftovers; --all searches all of them, which takes a call for
each. Claims of claim temporary are not listed: AWS does not list them, and they expire by themselves.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flag for how far to search."""
    parser.add_argument(
        "--all",
        action="store_true",
        help="search all certificates of the account for leftovers",
    )


def run(context: Context, arguments: argparse.Namespace) -> Outcome:
    """Lists the fleet's claims."""
    aws = context.aws()
    held = inventory.holdings(aws, context.names)
    found = claims.gather(aws, context.names, held, everything=arguments.all)
    now = dt.datetime.now(dt.UTC)
    rows = [
        [
            claim.certificate.identifier,
            claim.batch or "-",
            claim.state,
            times.age(claim.certificate.created, now),
        ]
        for claim in found.claims
    ]
    if found.unseen:
        context.console.say(
            f"{found.unseen} other certificates were not searched for leftovers; add --all"
        )
    return Outcome(
        data={
            "fleet": context.names.fleet,
            "claims": [describe(claim) for claim in found.claims],
            "not_looked_through": found.unseen,
        },
        lines=table([["CERTIFICATE", "BATCH", "STATE", "AGE"], *rows]) if rows else ["no claims"],
    )


def describe(claim: Claim) -> dict[str, object]:
    """Returns a claim for programs."""
    return {
        "certificate_id": claim.certificate.identifier,
        "certificate_arn": claim.certificate.arn,
        "batch": claim.batch or None,
        "state": claim.state,
        "created": times.text(claim.certificate.created),
    }
