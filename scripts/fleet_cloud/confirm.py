"""Asks before something is destroyed."""

import argparse
from collections.abc import Sequence

from fleet_cloud.errors import FleetCloudError
from fleet_cloud.options import Context
from fleet_cloud.outcome import table


def add_to(parser: argparse.ArgumentParser) -> None:
    """Adds the flag that confirms in advance."""
    parser.add_argument("--yes", action="store_true", help="delete without asking")


def confirm(
    context: Context, question: str, *, yes: bool, rows: Sequence[Sequence[str]] = ()
) -> None:
    """Shows what would be lost, and asks a person; a dry run changes nothing and so asks nothing.

    Args:
        context: What a command gets.
        question: What is asked.
        yes: The answer was given as a flag.
        rows: What would be lost, as a table.

    Raises:
        FleetCloudError: The answer is no, or there is no terminal to ask on.
    """
    for line in table(rows) if rows else ():
        context.console.say(f"  {line}")
    if yes or context.shell.dry_run:
        return
    answer = context.console.ask(f"{question} Type yes to continue:")
    if answer is None:
        raise FleetCloudError(
            f"{question} There is no terminal to answer, so nothing was changed",
            remedy="check with --dry-run, then add --yes",
            code="not-confirmed",
        )
    if answer.lower() != "yes":
        raise FleetCloudError(
            "not confirmed: nothing was changed",
            remedy="run it again and type yes, or add --yes",
            code="not-confirmed",
        )
