"""What a rehearsal came to: a page for people, JSON for programs and for joining parts, both in one folder."""

import json
from collections.abc import Sequence
from pathlib import Path

from fleet_cloud.errors import FleetCloudError
from fleet_cloud.fleet import spread
from fleet_cloud.local import files
from fleet_cloud.rehearsal import figures, journal, page
from fleet_cloud.rehearsal.journal import Journal

DATA, PAGE = "report.json", "report.html"

Report = dict[str, object]


def of(found: Journal, now: float, outlook: Sequence[object] = ()) -> Report:
    """Returns the report so far; ``now`` in seconds since it began."""
    return {
        "title": "Rehearsal" if found.ended is None else "Rehearsal, done",
        "words": str(found.asked.get("words", "")),
        "figures": figures.of_journal(found, now),
        "outlook": [*outlook],
    }


def write(folder: Path, found: Journal, report: Report) -> None:
    """Writes both files."""
    files.make_folder(folder, 0o755)
    whole = {**found.dump(), **report}
    files.write_public(folder / DATA, f"{json.dumps(whole)}\n")
    files.write_public(folder / PAGE, page.render(report))


def read(path: Path) -> Journal:
    """Reads a report's journal.

    Raises:
        FleetCloudError: There is none.
    """
    text = files.read(path)
    try:
        found = json.loads(text or "")
    except ValueError:
        found = None
    if text is None:
        raise FleetCloudError(
            f"{path} does not exist",
            remedy=f"pass the {DATA} of each part",
            code="report-missing",
        )
    return journal.load(found, str(path))


def advice(devices: int, quota: float, given: float) -> str | None:
    """Returns what the spread should be, unless it is so."""
    fits = spread.window_seconds(devices, quota)
    if given >= fits:
        return None
    was = spread.duration(round(given)) if given else "none"
    command = f"fleet-cloud config --fleet-size {devices} --quota {quota:g}"
    return f"the right spread is {spread.duration(fits)}, and this was {was}: {command}"
