"""``fleet-cloud devices list``: the fleet's things with their certificates."""

import argparse
import collections
import datetime as dt

from fleet_cloud.aws import times
from fleet_cloud.fleet import inventory, registrations
from fleet_cloud.fleet.inventory import Certificate, Thing
from fleet_cloud.options import Context
from fleet_cloud.outcome import Outcome, table

NAME = ("devices", "list")
SUMMARY = "list the fleet's things with their certificates"
DESCRIPTION = """\
Lists the fleet's things: those whose certificate has the policy NAME-device, and those that are called NAME- and
their own attribute serialNumber. A device is active when one of its certificates is. Asks AWS once a thing.

A certificate that came by a claim though its thing had one is named: for the device's own key, or because an operator
let it in.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds nothing: the global flags say it all."""
    del parser


def run(context: Context, arguments: argparse.Namespace) -> Outcome:
    """Asks and shows."""
    del arguments
    aws = context.aws()
    held = inventory.holdings(aws, context.names)
    found = inventory.things(aws, context.names, held)
    now = dt.datetime.now(dt.UTC)
    rows = [_row(thing, now) for thing in found.things]
    states = collections.Counter(thing.state for thing in found.things)
    counts = [f"{number} {state}" for state, number in sorted(states.items())]
    orphans = len(found.orphans)
    if orphans:
        counts.append(f"{orphans} certificates without a thing: fleet-cloud devices prune")
    return Outcome(
        data={
            "fleet": context.names.fleet,
            "devices": [describe(thing) for thing in found.things],
            "certificates_without_thing": [certificate(held) for held in found.orphans],
        },
        lines=[
            *(table([["THING", "STATE", "CERTIFICATE", "AGE", "MORE"], *rows]) if rows else []),
            ", ".join(counts) or "no devices",
        ],
    )


def describe(thing: Thing) -> dict[str, object]:
    """Returns a thing for programs."""
    return {
        "thing": thing.name,
        "state": thing.state,
        "attributes": dict(thing.attributes),
        "second_claim": registrations.second_claim(thing.attributes),
        "certificates": [certificate(held) for held in thing.certificates],
    }


def certificate(found: Certificate) -> dict[str, object]:
    """Returns a certificate for programs."""
    return {
        "certificate_id": found.identifier,
        "certificate_arn": found.arn,
        "status": found.status,
        "created": times.text(found.created),
    }


def _row(thing: Thing, now: dt.datetime) -> list[str]:
    if not thing.certificates:
        return [thing.name, thing.state, "-", "-", ""]
    newest, *others = thing.certificates
    more = f"+{len(others)} older" if others else ""
    if second := registrations.second_claim(thing.attributes):
        more = f"{more} {second[:12]} came by a second claim".lstrip()
    return [thing.name, thing.state, newest.identifier[:12], times.age(newest.created, now), more]
