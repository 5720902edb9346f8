"""The one parser of unit files and drop-ins, by systemd.syntax(7). Pure."""

from collections.abc import Iterator

from fleet_agent.record import record


@record
class Line:
    """A line with content; systemd ignores one that is no assignment (``key=value`` in a section)."""

    section: str
    key: str
    value: str
    is_assignment: bool = True


def lines(text: str) -> Iterator[Line]:
    """Parses a file, or several files in a row: joins continued lines, drops comments."""
    section = ""
    for line in map(str.strip, text.replace("\\\n", " ").splitlines()):
        if not line or line[0] in "#;":
            continue
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1]
            continue
        key, equals, value = (part.strip() for part in line.partition("="))
        yield Line(section=section, key=key, value=value, is_assignment=bool(equals))
