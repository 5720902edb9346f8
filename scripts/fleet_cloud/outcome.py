"""How a command ended, for programs and for people."""

import dataclasses
from collections.abc import Mapping, Sequence

from fleet_cloud.errors import Exit


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a command ended: ``data`` for programs (stable), ``lines`` for people."""

    data: Mapping[str, object]
    lines: Sequence[str]
    status: Exit = Exit.DONE


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Returns rows as lines with aligned columns."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
