"""The table in docs/reference/doctor.md, made of the faults that the tests put in.

    PYTHONPATH=tests:sandbox python tests/support/seededtable.py

A row cannot say what no test has seen: each is one.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from support.seeded import DEVICE, IMAGE, Seeded
from support.seeded_online import CLOUD, WAY, Fault

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs" / "reference" / "doctor.md"
BEGIN, END = "<!-- made by tests/support/seededtable.py: begin -->\n", "<!-- made: end -->\n"


def page() -> str:
    """The page with its table made again."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise SystemExit(f"{PAGE.name} has no markers")
    return f"{before}{BEGIN}\n{''.join(_tables())}\n{END}{after}"


def count() -> int:
    """How many faults there are."""
    return len(DEVICE) + len(IMAGE) + len(WAY) + sum(len(each.faults) for each in CLOUD)


def _tables() -> Iterator[str]:
    yield from _table("fleet-agent doctor", map(_row, DEVICE))
    yield from _table("fleet-agent doctor --image ROOT", map(_row, IMAGE))
    way = (_online_row(each.fault) for each in WAY)
    cloud = (_online_row(fault) for each in CLOUD for fault in each.faults)
    yield from _table("fleet-agent doctor --online", (*way, *cloud))


def _table(command: str, rows: Iterator[str] | tuple[str, ...]) -> Iterator[str]:
    yield f"### `{command}`\n\n| fault | found as | |\n|---|---|---|\n"
    yield from rows
    yield "\n"


def _row(fault: Seeded) -> str:
    return f"| {fault.title} | `{fault.code}` | {fault.level} |\n"


def _online_row(fault: Fault) -> str:
    statement = f", with the statement for `{fault.action}`" if fault.action else ""
    return f"| {fault.title} | `{fault.code}`{statement} | failed |\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"wrote {PAGE.relative_to(ROOT)}, {count()} faults\n")
