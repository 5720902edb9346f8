"""``fleet-cloud devices list``: the fleet's things with their certificates."""

import argparse
import collections
import datetime as dt

from fleet_cloud.aws import times
from fleet_cloud.fleet import inventory, listing, registrations
from fleet_cloud.fleet.inventory import Certificate, Holdings, Thing
from fleet_cloud.fleet.listing import Listing
from fleet_cloud.options import Context
from fleet_cloud.outcome import Outcome, table

NAME = ("devices", "list")
SUMMARY = "list the fleet's things with their certificates"
DESCRIPTION = """\
Lists the fleet's things: those whose certificate has the policy NAME-device, and those that are called NAME- and
their own attribute serialNumber. A device is active when one of its certificates is.

Finding a thing's certificates takes a call for each thing, which for a large fleet takes minutes. With more than 250
things, the list is made by name, from fleet indexing where the account has it (with who is connected) and from the
registry otherwise, and the certificates are only counted. --certificates finds them anyway.

A certificate that was issued by a claim although its thing had one already is marked: it was for the device's own key,
or an operator allowed it.
"""

_MOST_ASKED = 250  # things, as many as a page has


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flag for how much to query."""
    parser.add_argument(
        "--certificates",
        action="store_true",
        help="find the certificates of each thing, however many there are",
    )


def run(context: Context, arguments: argparse.Namespace) -> Outcome:
    """Lists the fleet's things with their certificates."""
    aws = context.aws()
    held = inventory.holdings(aws, context.names)
    if not arguments.certificates:
        listed = listing.gather(aws, context.names)
        if max(len(listed.things), len(held.devices)) > _MOST_ASKED:
            return _many(context, held, listed)
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
            "source": listing.REGISTRY,
            "devices": [describe(thing) for thing in found.things],
            "certificates_without_thing": [certificate(held) for held in found.orphans],
        },
        lines=[
            *(table([["THING", "STATE", "CERTIFICATE", "AGE", "MORE"], *rows]) if rows else []),
            ", ".join(counts) or "no devices",
        ],
    )


def _many(context: Context, held: Holdings, found: Listing) -> Outcome:
    """Returns what a listing says of many, and the certificates of all of them by their states."""
    now = dt.datetime.now(dt.UTC)
    states = collections.Counter(held.status.lower() for held in held.devices)
    counts = ", ".join(f"{number} {state}" for state, number in sorted(states.items()))
    words = {True: "connected", False: "not connected", None: "-"}
    rows = [[thing.name, words[thing.connected]] for thing in found.things]
    return Outcome(
        data={
            "fleet": context.names.fleet,
            **found.data(),
            "devices": [
                {
                    "thing": thing.name,
                    "state": words[thing.connected] if thing.connected is not None else "unknown",
                    "attributes": dict(thing.attributes),
                    "certificates": None,
                }
                for thing in found.things
            ],
            "certificates": dict(states),
            "certificates_without_thing": None,
        },
        lines=[
            *(table([["THING", "STATE"], *rows]) if rows else []),
            f"{len(found.things)} devices, {found.said(now)}; certificates: {counts}",
            "to see their certificates: fleet-cloud devices list --certificates",
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
        more = f"{more} {second[:12]} was issued when it registered again".lstrip()
    return [thing.name, thing.state, newest.identifier[:12], times.age(newest.created, now), more]
