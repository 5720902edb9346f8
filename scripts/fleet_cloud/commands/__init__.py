"""The commands, a module each.

A module has ``NAME`` (its words), ``SUMMARY`` (a line), ``DESCRIPTION`` (for its ``--help``), ``add_arguments`` and
``run``. A new command is a new module and an entry in :data:`fleet_cloud.cli.COMMANDS`.
"""

import argparse
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Protocol

from fleet_cloud.errors import Exit
from fleet_cloud.options import Context


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a command ended: ``data`` for programs (stable), ``lines`` for people."""

    data: Mapping[str, object]
    lines: Sequence[str]
    status: Exit = Exit.DONE


class CommandModule(Protocol):
    """What a module here has."""

    NAME: tuple[str, ...]
    SUMMARY: str
    DESCRIPTION: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's own flags."""

    def run(self, context: Context, arguments: argparse.Namespace) -> Outcome:
        """Do it.

        Raises:
            FleetCloudError: What failed, and what to do.
        """


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows as lines with aligned columns."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
