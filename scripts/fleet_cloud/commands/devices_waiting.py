"""``fleet-cloud devices waiting``: the devices that the hook refused."""

import argparse
import datetime as dt
import time

from fleet_cloud.aws import times
from fleet_cloud.errors import UsageError
from fleet_cloud.fleet import refusals, registrations
from fleet_cloud.options import Context
from fleet_cloud.outcome import Outcome, table

NAME = ("devices", "waiting")
SUMMARY = "list the devices that the hook refused and has not accepted since"
DESCRIPTION = """\
Lists the devices that the hook refused: the thing, how often, when last, under which claim, and why. A device that was
accepted since is not listed. This is read from the log of the hook's function, which may lag by some seconds.

To accept a device that belongs to the fleet: fleet-cloud devices allow THING --key HASH, with the hash that fleet-agent
key --print-hash prints on it. If it does not belong, the claim has been stolen: fleet-cloud claim revoke deactivates
it.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flag that says how far to look back."""
    parser.add_argument(
        "--since",
        metavar="DURATION",
        default="1d",
        help="how far to look back, such as 2h or 7d (default: %(default)s)",
    )


def run(context: Context, arguments: argparse.Namespace) -> Outcome:
    """Shows the devices that the hook refused."""
    seconds = times.seconds(arguments.since)
    if not seconds:
        raise UsageError(f"--since {arguments.since!r} is not a time", remedy="write it as 1d")
    aws = context.aws()
    (answer,) = aws.ask_all([refusals.read(aws, context.names, max(0.0, time.time() - seconds))])
    found = refusals.of(answer)
    now = dt.datetime.now(dt.UTC)
    rows = [
        [each.who, str(each.times), times.age(each.last, now), each.session[:12] or "-", each.why]
        for each in found
    ]
    return Outcome(
        data={
            "fleet": context.names.fleet,
            "waiting": [
                {
                    "thing": each.thing,
                    "serial": each.serial,
                    "times": each.times,
                    "last": times.text(each.last),
                    "claim": each.session,
                    "why": each.why,
                }
                for each in found
            ],
        },
        lines=[
            *(table([["THING", "TIMES", "AGO", "CLAIM", "WHY"], *rows]) if rows else []),
            f"to accept one: {registrations.let_in('THING')}" if rows else "nobody waits",
        ],
    )
