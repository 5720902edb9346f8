"""What the reference pages repeat of the code: tables of settings, the list of placeholders.

``python scripts/reference.py`` writes it between the pages' markers; a test compares.
"""

import dataclasses
import sys
import typing
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from fleet_agent.config import later
from fleet_agent.config.annotations import alternatives, annotate, choices, hints, said, unwrap
from fleet_agent.config.settings import FirstOf, Settings
from fleet_agent.config.shape import Doc, Duration, FilePath, Range, Size
from fleet_agent.config.units import format_duration, format_size
from fleet_agent.config.write import plain
from fleet_agent.device.placeholders import KNOWN

REFERENCE = Path(__file__).parent.parent / "docs" / "reference"
BEGIN = "<!-- made by scripts/reference.py: begin -->\n"
END = "<!-- made by scripts/reference.py: end -->\n"


def sections(cls: type, path: str = "") -> Iterator[tuple[str, type]]:
    """Every section below a settings class with its dotted name, itself first."""
    yield path, cls
    for name, annotated in hints(cls).items():
        kind = unwrap(annotated)[0]
        members, _ = alternatives(kind)
        below = f"{path}.{name}" if path else name
        if typing.get_origin(members[0]) is tuple:
            members, below = [typing.get_args(members[0])[0]], f"{below}[]"
        if len(members) == 1 and dataclasses.is_dataclass(members[0]):
            yield from sections(typing.cast("type", members[0]), below)


def tables() -> str:
    """Every section as a heading and a table; the sources of parameters at the end."""
    parts = [_table(f"`{path}`" if path else "Top level", cls) for path, cls in sections(Settings)]
    source = typing.get_args(unwrap(hints(FirstOf)["first_of"])[0])[0]
    for key, cls in choices(list(alternatives(source)[0])).items():
        parts.append(_table(f"`provisioning.parameters.*`: `{key}`", cls))
    return "\n".join(parts)


def _table(title: str, cls: type) -> str:
    rows = "".join(_row(cls, field) for field in dataclasses.fields(cls))
    words = (cls.__doc__ or "").replace("``", "`")
    head = "| key | type | default | meaning | example |\n|---|---|---|---|---|\n"
    return f"### {title}\n\n{words}\n\n{head}{rows}"


def _row(cls: type, field: "dataclasses.Field[Any]") -> str:
    annotated = hints(cls)[field.name]
    doc = said(unwrap(annotated)[1], Doc)
    if doc is None:
        raise SystemExit(f"{cls.__name__}.{field.name} has no Doc")
    if field.default is not dataclasses.MISSING:
        default = f"`{_yaml(plain(annotated, field.default))}`"
    else:
        default = "required" if field.default_factory is dataclasses.MISSING else "`{}`"
    example = doc.example.replace("|", "\\|")
    kind = _type(annotated, cls, field.name)
    return f"| `{field.name}` | {kind} | {default} | {doc.text} | `{example}` |\n"


def _yaml(value: object) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_yaml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_yaml(item) for item in value) + "]"
    return str(value)


def _type(annotated: Any, cls: type, name: str) -> str:  # noqa: ANN401, PLR0911 - a line a type
    kind, meta = unwrap(annotated)
    members, nullable = alternatives(kind)
    if nullable:
        return f"{_type(annotate(members[0], meta), cls, name)} or null"
    if limits := said(meta, Duration):
        return f"duration, {format_duration(limits.low)} to {format_duration(limits.high)}"
    if size := said(meta, Size):
        return f"size, {format_size(size.low)} to {format_size(size.high)}"
    if whole := said(meta, Range):
        return f"whole number, {whole.low} to {whole.high}"
    if path := said(meta, FilePath):
        return "path or `credential:NAME`" if path.credential else "path"
    origin = typing.get_origin(kind)
    if origin is Literal:
        allowed = [one for one in typing.get_args(kind) if (cls, name, one) not in later.VALUES]
        return " or ".join(f"`{one}`" for one in allowed)
    words = {str: "string", bool: "`true` or `false`", tuple: "list", Mapping: "mapping"}
    return words.get(origin or kind, "mapping")


def placeholders() -> str:
    """The words that no source may answer, in alphabetical order."""
    return "".join(f"- `{word}`\n" for word in sorted(KNOWN))


# page → what stands between its markers
PAGES: Mapping[str, Callable[[], str]] = {
    "configuration.md": tables,
    "parameters.md": placeholders,
}


def page(name: str) -> str:
    """A page with the made part made anew."""
    before, begin, rest = (REFERENCE / name).read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{name} has no markers")
    return f"{before}{BEGIN}\n{PAGES[name]()}\n{END}{after}"


if __name__ == "__main__":
    for each in PAGES:
        (REFERENCE / each).write_text(page(each), encoding="utf-8")
        sys.stdout.write(f"wrote {each}\n")
