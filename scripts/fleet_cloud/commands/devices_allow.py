"""``fleet-cloud devices allow``: lets one device register again, for a while."""

import argparse
import dataclasses
import time

from fleet_cloud.aws import times
from fleet_cloud.commands import devices_show
from fleet_cloud.errors import UsageError
from fleet_cloud.fleet import registrations
from fleet_cloud.options import Context
from fleet_cloud.outcome import Outcome
from fleet_cloud.plan import templates

NAME = ("devices", "allow")
SUMMARY = "let a device whose key is gone register again, for a while"
DESCRIPTION = """\
Opens a window for one thing: until it closes, the hook of up lets a device register under its name that it would
otherwise refuse. A device that has the thing's key, or its expected key, needs no window: it is accepted at any time.

  --key HASH   the device with this public key: SHA-256 of SubjectPublicKeyInfo, in hexadecimal, as fleet-agent key
               --print-hash prints it on the device. From then on it is the thing's expected key.
  --any-key    the first device that comes. WHOEVER HAS A CLAIM AND KNOWS THE SERIAL NUMBER MAY COME FIRST, AND THEN IS
               THE DEVICE: do it beside the device, and check devices show afterwards. The first key uses up the window.
  --close      closes a window early.

The old certificates stay: retire them with devices prune once the device is back.
"""

_LONGEST_SECONDS = 7 * 24 * 3600


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments: which device, and for how long."""
    parser.add_argument("thing", metavar="THING", help="the thing's name")
    parser.add_argument(
        "--for",
        dest="duration",
        metavar="DURATION",
        default="1h",
        help="how long, such as 30m, 1h or 2d (default: %(default)s)",
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--key", metavar="HASH", help="accept the device with this public key")
    which.add_argument(
        "--any-key", action="store_true", help="accept the first device, with any key"
    )
    which.add_argument("--close", action="store_true", help="close the window")


def run(context: Context, arguments: argparse.Namespace) -> Outcome:
    """Asks AWS about the device, then writes the permission."""
    name: str = arguments.thing
    devices_show.check_name(name)
    seconds = times.seconds(arguments.duration)
    if not seconds or seconds > _LONGEST_SECONDS:
        raise UsageError(
            f"--for {arguments.duration!r} is not a time from 1s to 7d", remedy="write it as 1h"
        )
    key = registrations.check_hash(arguments.key, "--key") if arguments.key else None
    aws = context.aws()
    known = registrations.ask(aws, name)
    changed = known.registration
    if key or arguments.any_key or arguments.close:
        changed = dataclasses.replace(
            known.registration,
            until=0 if arguments.close else int(time.time()) + seconds,
            any_key=arguments.any_key,
            expected=key or known.registration.expected,
        )
        aws.change(registrations.write(aws, known, changed))
    template = aws.ask_all([templates.read(aws, context.names)])[0]
    if not template or not templates.facts(template)["hook"]:
        context.console.say("the fleet has no hook, so no device is refused")
    return Outcome(
        data={
            "thing": name,
            "dry_run": context.shell.dry_run,
            "until": changed.until or None,
            "any_key": changed.any_key,
            "expected_key": changed.expected or None,
        },
        lines=_lines(name, arguments),
    )


def _lines(name: str, arguments: argparse.Namespace) -> list[str]:
    if arguments.close:
        return [f"{name}: closed"]
    if arguments.any_key:
        ends = f"for {arguments.duration}, or until a device has registered"
        return [
            f"{name}: {ends}, the first device that registers becomes it; then check: fleet-cloud devices show {name}"
        ]
    if arguments.key:
        return [f"{name}: the device with this key may register"]
    keys = "nothing was changed: its own key and the expected key are accepted at any time"
    return [f"{name}: {keys}; for another key pass --key HASH or --any-key"]
