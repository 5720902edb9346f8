"""The matrix of platforms in docs/reference/platforms.md, from the tests that ran.

scripts/test tests/boot -m "" --junitxml=platforms.xml && python scripts/platforms.py platforms.xml

Of several reports, each test counts as it came out last. A cell says what the tests behind it came to: yes, no, or a
dash where none ran.
"""

import re
import sys
import xml.etree.ElementTree as ET  # our own pytest's output
from collections.abc import Iterable, Iterator
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "platforms.md"
BEGIN = "<!-- made by scripts/platforms.py: begin -->\n"
END = "<!-- made by scripts/platforms.py: end -->\n"

COLUMNS = ("install", "provision", "run", "reboot", "upgrade", "purge")
# Test → what it shows of the platform that its id names.
SHOWS = {
    "test_as_installed": ("install",),
    "test_first_boot_provisions_and_the_second_only_connects": ("provision", "run", "reboot"),
    "test_upgraded_removed_and_purged": ("upgrade", "purge"),
    "test_upgraded_and_downgraded_from_a_repository": ("upgrade",),
    "test_a_device_of_another_processor": ("install", "provision", "run", "purge"),
    "test_a_device_in_a_container": ("install", "provision", "run", "upgrade"),
}
# What no parameter names.
IMAGE = {"test_a_device_in_a_container": "Debian 13 amd64, the container image"}
DEBIANS = {"bookworm": "Debian 12", "trixie": "Debian 13"}
HOW = {"amd64": "booted in nspawn", "arm64": "qemu-user", "armhf": "qemu-user", "image": "podman"}


def results(report: Path) -> Iterator[tuple[str, str, bool]]:
    """Platform, test and outcome of each test that ran."""
    for case in ET.parse(report).getroot().iter("testcase"):  # noqa: S314 - as above
        name, _, parameters = case.get("name", "").partition("[")
        if name not in SHOWS or case.find("skipped") is not None:
            continue
        words = parameters.rstrip("]").split("-")
        suite = next((word for word in words if word in DEBIANS), None)
        machine = next((word for word in words if word in HOW), "amd64")
        platform = IMAGE.get(name) or (f"{DEBIANS[suite]} {machine}" if suite else None)
        if platform is not None:
            good = case.find("failure") is None and case.find("error") is None
            yield platform, name, good


def table(reports: Iterable[Path]) -> str:
    """The rows, a platform each."""
    outcomes = {(row, test): good for file in reports for row, test, good in results(file)}
    found: dict[str, dict[str, bool]] = {}
    for (platform, test), good in outcomes.items():
        row = found.setdefault(platform, {})
        for column in SHOWS[test]:
            row[column] = good and row.get(column, True)
    lines = [f"| platform | {' | '.join(COLUMNS)} | how |", f"|---|{'---|' * (len(COLUMNS) + 1)}"]
    for platform, row in sorted(found.items()):
        cells = ({True: "yes", False: "**no**", None: "-"}[row.get(name)] for name in COLUMNS)
        lines.append(f"| {platform} | {' | '.join(cells)} | {HOW[platform.split()[-1]]} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Writes the table between the marks."""
    text = PAGE.read_text()
    made = f"{BEGIN}{table(map(Path, sys.argv[1:]))}{END}"
    PAGE.write_text(re.sub(f"{BEGIN}.*{END}", lambda _: made, text, flags=re.DOTALL))


if __name__ == "__main__":
    main()
