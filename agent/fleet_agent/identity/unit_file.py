"""The one reader of unit files and drop-ins, as systemd.syntax(7) has them. Pure."""

from collections.abc import Iterator

from fleet_agent.record import record


@record
class Line:
    """A line that says something; what is no assignment (``key=value`` in a section) systemd leaves out."""

    section: str
    key: str
    value: str
    is_assignment: bool = True


def lines(text: str) -> Iterator[Line]:
    """Reads a file, or several one behind the other: continued lines joined, remarks left out."""
    section = ""
    for line in map(str.strip, text.replace("\\\n", " ").splitlines()):
        if not line or line[0] in "#;":
            continue
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1]
            continue
        key, equals, value = (part.strip() for part in line.partition("="))
        yield Line(section=section, key=key, value=value, is_assignment=bool(equals))
