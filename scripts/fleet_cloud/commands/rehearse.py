"""``fleet-cloud rehearse``: many virtual devices provision themselves, before the real ones do."""

import argparse
import importlib.util
import sys
from pathlib import Path

from fleet_cloud.fleet import connection, spread
from fleet_cloud.options import Context
from fleet_cloud.outcome import Outcome

NAME = ("rehearse",)
SUMMARY = "provision many virtual devices, before the real ones"
DESCRIPTION = """\
Runs N virtual devices in this process, each with the agent's own steps, waits and spread, and with its own TLS and MQTT
sessions, against a sandbox or your account. It reports how long until all have their identity, how many requests were
refused and by which quota, how long each step takes, and what the spread should be; DIR/report.html has the charts,
DIR/report.json the figures. It ends with a simulation of other cases, using the measured latencies.

Devices use the fleet's template with a claim made for the rehearsal; with --config, everything in an image's
config.yaml, including its claim. Their serial numbers begin with --serial-prefix; a hook with a list or a pattern must
permit them.

In your account it asks first and shows the cost. Everything that it created is deleted afterwards; DIR/made.jsonl lists
it, and --clean deletes what an interrupted rehearsal left. In a sandbox the account's quotas are enforced meanwhile.

To use several machines: --shard 1/4 to --shard 4/4, one on each, then --merge with the report.json of each.
"""

_AGENT = Path(__file__).resolve().parents[3] / "agent"
_VARIATIONS = ("half-quota", "slow-hook", "power-cuts")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags for how many devices, how, and against what."""
    parser.add_argument("--devices", metavar="N", type=int, help="how many devices")
    parser.add_argument(
        "--power-on",
        metavar="HOW",
        default="at-once",
        help="at-once, rolling (street by street), or at random within a time such as 10m (default: at-once)",
    )
    parser.add_argument(
        "--config", metavar="FILE", type=Path, help="an image's config.yaml, with its claim"
    )
    parser.add_argument(
        "--spread", metavar="TIME", help="window of first connections (default: from --config)"
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
        help="also with power cuts at one device in ten or, in a sandbox, half the quota or a slow hook; repeatable",
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
        "--merge", metavar="REPORT", type=Path, nargs="+", help="merge the parts' report.json"
    )
    parser.add_argument("--web", metavar="PORT", type=int, help="serve the report meanwhile")
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
        help="prefix of serial numbers (default: rehearsal-)",
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
        "--clean", action="store_true", help="delete what an interrupted rehearsal left behind"
    )
    parser.add_argument("--yes", action="store_true", help="start without asking")


def run(context: Context, arguments: argparse.Namespace) -> Outcome:
    """Rehearses, cleans up, or joins."""
    connection.check_ca_file(arguments.ca_file)
    connection.need_environment("awsiot", "cryptography", "yaml")
    # With the agent's code, which only this command needs.
    if importlib.util.find_spec("fleet_agent") is None:
        sys.path.append(str(_AGENT))
    from fleet_cloud.rehearsal import at_account

    return at_account.run(context, arguments)
