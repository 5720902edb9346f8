"""Asks before something is destroyed."""

import argparse
import sys

from fleet_cloud.errors import FleetCloudError
from fleet_cloud.options import Context


def add_to(parser: argparse.ArgumentParser) -> None:
    """Add the flag that answers beforehand."""
    parser.add_argument("--yes", action="store_true", help="do not ask before anything is deleted")


def confirm(context: Context, question: str, *, yes: bool) -> None:
    """Ask a person; a dry run changes nothing and so asks nothing.

    Raises:
        FleetCloudError: The answer is no, or there is nobody to ask.
    """
    if yes or context.shell.dry_run:
        return
    if not sys.stdin.isatty():
        raise FleetCloudError(
            f"{question} Nobody is there to answer, so nothing was changed",
            remedy="look at it with --dry-run, then add --yes",
            code="not-confirmed",
        )
    print(f"{question} Type yes to go on: ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() != "yes":
        raise FleetCloudError(
            "not confirmed: nothing was changed",
            remedy="run it again and type yes, or add --yes",
            code="not-confirmed",
        )
