"""What is made from the code: tables in the reference pages, manual pages, completion for shells.

``python scripts/reference.py`` writes all of it; tests compare.
"""

import ast
import dataclasses
import functools
import inspect
import re
import sys
import tomllib
import typing
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import manpages
from fleet_agent.config.annotations import (
    alternatives,
    annotate,
    annotation,
    choices,
    hints,
    unwrap,
)
from fleet_agent.config.settings import Settings
from fleet_agent.config.shape import Doc, Duration, FilePath, Range, Size
from fleet_agent.config.sources import FirstOf
from fleet_agent.config.units import format_duration, format_size
from fleet_agent.config.write import plain
from fleet_agent.device.placeholders import KNOWN
from fleet_agent.health import table
from fleet_agent.health.problems import ProblemKind, Severity
from fleet_agent.process.log import Moment
from fleet_agent.session import reasons

ROOT = Path(__file__).parent.parent
REFERENCE = ROOT / "docs" / "reference"
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
            members, below = alternatives(typing.get_args(members[0])[0])[0], f"{below}[]"
            if len(members) > 1:  # a choice by key: what stands under each
                for key, choice in choices(members).items():
                    yield from sections(unwrap(hints(choice)[key])[0], f"{below}.{key}")
        if len(members) == 1 and dataclasses.is_dataclass(members[0]):
            yield from sections(typing.cast("type", members[0]), below)


def every_table() -> Iterator[tuple[str, str, list[manpages.Row]]]:
    """Every section's title, what it is, and its rows; the sources of parameters at the end."""
    for path, cls in sections(Settings):
        yield f"`{path}`" if path else "Top level", cls.__doc__ or "", rows(cls)
    source = typing.get_args(unwrap(hints(FirstOf)["first_of"])[0])[0]
    for key, cls in choices(list(alternatives(source)[0])).items():
        yield f"`provisioning.parameters.*`: `{key}`", cls.__doc__ or "", rows(cls)


def tables() -> str:
    """Every section as a heading and a table."""
    return "\n".join(_table(title, words, found) for title, words, found in every_table())


def _table(title: str, words: str, found: list[manpages.Row]) -> str:
    lines = "".join(_line(row) for row in found)
    head = "| key | type | default | meaning | example |\n|---|---|---|---|---|\n"
    return f"### {title}\n\n{inspect.cleandoc(words).replace('``', '`')}\n\n{head}{lines}"


def _line(row: manpages.Row) -> str:
    key, kind, default, text, example = row
    shown = default if default == "required" else f"`{default}`"
    escaped = example.replace("|", "\\|")
    return f"| `{key}` | {kind} | {shown} | {text} | `{escaped}` |\n"


def rows(cls: type) -> list[manpages.Row]:
    """A settings class's keys: name, type, default, meaning, example."""
    return [_row(cls, field) for field in dataclasses.fields(cls)]


def _row(cls: type, field: "dataclasses.Field[Any]") -> manpages.Row:
    annotated = hints(cls)[field.name]
    doc = annotation(unwrap(annotated)[1], Doc)
    if doc is None:
        raise SystemExit(f"{cls.__name__}.{field.name} has no Doc")
    if field.default is not dataclasses.MISSING:
        default = _yaml(plain(annotated, field.default))
    else:
        default = "required" if field.default_factory is dataclasses.MISSING else "{}"
    return field.name, _type(annotated), default, doc.text, doc.example


def _yaml(value: object) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_yaml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_yaml(item) for item in value) + "]"
    return str(value)


def _type(annotated: Any) -> str:  # noqa: ANN401, PLR0911 - a line a type
    kind, meta = unwrap(annotated)
    members, nullable = alternatives(kind)
    if nullable:
        return f"{_type(annotate(members[0], meta))} or null"
    if limits := annotation(meta, Duration):
        either = "share or duration" if limits.share else "duration"
        return f"{either}, {format_duration(limits.low)} to {format_duration(limits.high)}"
    if size := annotation(meta, Size):
        return f"size, {format_size(size.low)} to {format_size(size.high)}"
    if whole := annotation(meta, Range):
        return f"whole number, {whole.low} to {whole.high}"
    if path := annotation(meta, FilePath):
        return "path or `credential:NAME`" if path.credential else "path"
    origin = typing.get_origin(kind)
    if origin is Literal:
        return " or ".join(f"`{arg}`" for arg in typing.get_args(kind))
    words = {str: "string", bool: "`true` or `false`", tuple: "list", Mapping: "mapping"}
    return words.get(origin or kind, "mapping")


def placeholders() -> str:
    """The words that no source may answer, in alphabetical order."""
    return "".join(f"- `{word}`\n" for word in sorted(KNOWN))


def reason_codes() -> str:
    """Every reason code with its words."""
    head = "| code | in | name | usual cause | what to do |\n|---|---|---|---|---|\n"
    lines = (
        f"| {code} | {packet or 'any'} | {row.name} | {row.cause} | {row.remedy} |\n"
        for code, packet, row in reasons.rows()
        if row.is_failure
    )
    return head + "".join(lines)


def rooms() -> str:
    """The rooms of the agent in the order in which they import, as a picture and with what each is for."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
        "contracts"
    ]
    layers = next(
        contract["layers"] for contract in contracts if contract["containers"] == ["fleet_agent"]
    )
    rows = [[name.strip() for name in layer.split("|")] for layer in layers]
    lines = ["```mermaid", "flowchart TD"]
    for number, names in enumerate(rows):
        lines.append(f'  r{number}["{" · ".join(names)}"]')
        if number:
            lines.append(f"  r{number - 1} --> r{number}")
    lines += ["```", "", "| | |", "|---|---|"]
    lines += [f"| `{name}` | {_first_sentence(name)} |" for names in rows for name in names]
    return "\n".join(lines) + "\n"


def _first_sentence(name: str) -> str:
    package = ROOT / "agent/fleet_agent" / name.strip("_") / "__init__.py"
    path = package if package.exists() else ROOT / f"agent/fleet_agent/{name}.py"
    words = ast.get_docstring(ast.parse(path.read_text())) or ""
    return re.split(r"(?<=[.]) ", " ".join(words.split()))[0].rstrip(".").replace("``", "`")


def problems() -> str:
    """Every problem of the agent, the worst first."""
    head = "| code | severity | means | what to do | gone when |\n|---|---|---|---|---|\n"
    lines = (
        f"| {_named(kind)} | {kind.severity.value} | {kind.title} | {kind.remedy} | {kind.clears} |\n"
        for severity in Severity
        for kind in table.TABLE
        if kind.severity is severity
    )
    return head + "".join(lines)


def _named(kind: ProblemKind) -> str:
    return f"`{kind.code}`, each {kind.of}" if kind.of else f"`{kind.code}`"


def moments() -> str:
    """Every MESSAGE_ID with what the journal's catalog calls it."""
    catalog = (ROOT / "systemd" / "fleet-agent.catalog").read_text(encoding="utf-8")
    subjects = dict(re.findall(r"^-- (\w+)\nSubject: (.+)$", catalog, re.MULTILINE))
    head = "| MESSAGE_ID | when |\n|---|---|\n"
    return head + "".join(f"| `{item.value}` | {subjects[item.value]} |\n" for item in Moment)


# page → what stands between its markers
PAGES: Mapping[str, Callable[[], str]] = {
    "configuration.md": tables,
    "parameters.md": placeholders,
    "problems.md": problems,
    "reason-codes.md": reason_codes,
    "../explanation/code.md": rooms,
    "service.md": moments,
}


def page(name: str) -> str:
    """A page with the made part made again."""
    before, begin, rest = (REFERENCE / name).read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{name} has no markers")
    return f"{before}{BEGIN}\n{PAGES[name]()}\n{END}{after}"


def made() -> Iterator[tuple[Path, Callable[[], str]]]:
    """Every file that is made, and what makes it."""
    import completion  # shtab is for development alone: the reference pages do without

    for name in PAGES:
        yield REFERENCE / name, functools.partial(page, name)
    for name, make in manpages.PAGES.items():
        yield ROOT / "packaging/man" / name, make
    yield ROOT / "packaging/man/fleet-agent.yaml.5", lambda: manpages.yaml_5(every_table())
    for shell in completion.SHELLS:
        target = ROOT / f"packaging/completion/fleet-agent.{shell}"
        yield target, functools.partial(completion.script, shell)


if __name__ == "__main__":
    for target, make in made():
        target.parent.mkdir(exist_ok=True)
        target.write_text(make(), encoding="utf-8")
        sys.stdout.write(f"wrote {target.resolve().relative_to(ROOT)}\n")
