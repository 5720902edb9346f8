"""``fleet-cloud rehearse``: many virtual devices provision themselves, before the real ones do."""

import argparse
import importlib.util
import sys
from pathlib import Path

from fleet_cloud.fleet import connection, spread
from fleet_cloud.options import Context
from fleet_cloud.outcome import Outcome

NAME = ("rehearse",)
SUMMARY = "let many virtual devices provision themselves, before the real ones do"
DESCRIPTION = """\
Runs N virtual devices in this process, each with the agent's own steps, waits and spread, and with TLS and MQTT
sessions of its own, against a sandbox or your account. It says how long until all have their identity, how many
requests were refused and by which quota, how long each step takes, and what a spread should be; DIR/report.html has
the pictures, DIR/report.json the figures. It ends with a simulation of what else may happen, with the latencies met.

Devices take the fleet's template with a claim made for the time; with --config, all that an image's config.yaml says,
its claim too. Their serial numbers begin with --serial-prefix; a hook with a list or a pattern must permit them.

In your account it asks first and says what it costs. All that it made is deleted afterwards; DIR/made.jsonl names it,
and --clean takes away what an interrupted one left. In a sandbox the account's quotas are switched on for the time.

A part on each of several machines: --shard 1/4 to --shard 4/4, then --merge with the report.json of each.
"""

_AGENT = Path(__file__).resolve().parents[3] / "agent"
_VARIATIONS = ("half-quota", "slow-hook", "power-cuts")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds how many, how, and where to."""
    parser.add_argument("--devices", metavar="N", type=int, help="how many devices")
    parser.add_argument(
        "--power-on",
        metavar="HOW",
        default="at-once",
        help="at-once, rolling (street by street), or a while such as 10m, at random (default: at-once)",
    )
    parser.add_argument(
        "--config", metavar="FILE", type=Path, help="an image's config.yaml, with its claim"
    )
    parser.add_argument(
        "--spread",
        metavar="WHILE",
        help="the window of first contacts (default: what --config says, or what fits)",
    )
    parser.add_argument(
        "--quota",
        metavar="N",
        type=float,
        default=float(spread.REGISTRATIONS_PER_SECOND),
        help="registrations a second that the account allows (default: 10)",
    )
    parser.add_argument(
        "--try",
        dest="tries",
        action="append",
        choices=_VARIATIONS,
        default=[],
        help="with one device in ten losing power, or in a sandbox with half the quota or a slow hook; may be repeated",
    )
    parser.add_argument(
        "--max-minutes",
        metavar="N",
        type=float,
        default=60.0,
        help="end after so many minutes (default: 60)",
    )
    parser.add_argument("--shard", metavar="PART/PARTS", default="1/1", help="run this part here")
    parser.add_argument(
        "--merge", metavar="REPORT", type=Path, nargs="+", help="join the report.json of all parts"
    )
    parser.add_argument("--web", metavar="PORT", type=int, help="show the page while it runs")
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        default=Path("rehearsal"),
        help="the folder (default: rehearsal)",
    )
    _add_cloud(parser)


def _add_cloud(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--serial-prefix",
        metavar="PREFIX",
        default="rehearsal-",
        help="what serial numbers begin with (default: rehearsal-)",
    )
    parser.add_argument(
        "--parameter",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="another parameter for the template; may be repeated",
    )
    parser.add_argument("--device-endpoint", metavar="HOST[:PORT]", help="where devices connect")
    parser.add_argument(
        "--ca-file", metavar="FILE", type=Path, help="the CA of an endpoint that is not Amazon's"
    )
    parser.add_argument(
        "--clean", action="store_true", help="take away what an interrupted rehearsal left"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask before it begins")


def run(context: Context, arguments: argparse.Namespace) -> Outcome:
    """Rehearses, cleans up, or joins."""
    connection.check_ca_file(arguments.ca_file)
    connection.need_environment("awsiot", "cryptography", "yaml")
    # With the agent's code, which only this command needs.
    if importlib.util.find_spec("fleet_agent") is None:
        sys.path.append(str(_AGENT))
    from fleet_cloud.rehearsal import at_account

    return at_account.run(context, arguments)
