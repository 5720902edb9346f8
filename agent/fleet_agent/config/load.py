"""File, drop-ins and flags → ``Settings``, or every error at once.

The layers, later ones over earlier ones: defaults, the file, ``config.d/*.yaml`` beside it in the
order of their names, flags. Mappings merge key by key; lists, values and template parameters are
replaced whole. Relative paths start at the folder of the file (in drop-ins too), in flags at the
current directory. Without a file PyYAML is not imported.
"""

import dataclasses
from collections.abc import Mapping as Dictionary
from pathlib import Path

from fleet_agent import pasted
from fleet_agent.config.decode import decode, flag
from fleet_agent.config.paths import configuration_files
from fleet_agent.config.positions import Mapping, Mark, Node, Problem, flag_document, merge
from fleet_agent.config.reading import DENIED, UnreadableError, decode_utf8, read_bytes
from fleet_agent.config.settings import CONFIG_FILE, Settings
from fleet_agent.errors import ConfigurationError

MAX_BYTES = 256 * 1024  # a hundred times what a long configuration needs; bounds the parser's time

_CORRECT = "Correct it; the command's --help describes the flags."


def load(
    path: Path, *, overrides: Dictionary[str, object] | None = None, required: bool = True
) -> Settings:
    """Returns the settings.

    Args:
        path: The configuration file.
        overrides: Flags: dotted key → value; None stands for a flag that was not given. A wrong
            one is reported by the flag's name.
        required: Whether the file must exist. When it need not, flags alone may say everything.

    Raises:
        ConfigurationError: Something is wrong; ``problems`` has a line for each thing:
            ``file:line:column: key: what (suggestion)``.
    """
    given = {key: value for key, value in (overrides or {}).items() if value is not None}
    problems: list[Problem] = []
    sources = _sources(path, required=required, problems=problems)
    knows_all = not problems
    base = str(_here() / path.parent)
    documents = [_document(file, base, problems) for file in sources]
    settings = None
    # What cannot be read would leave keys "missing" that are there.
    if knows_all and None not in documents:
        start = Mark(str(path), "", 1, 1) if documents else Mark(f"{path} (does not exist)", "")
        merged: Node = Mapping(start, {})
        for layer in [*documents, *_flags(given)]:
            merged = merge(merged, layer) if layer else merged
        settings = decode(merged, problems) if isinstance(merged, Mapping) else None
    if problems or settings is None:
        raise _error(path, sources, problems)
    return settings


def _sources(path: Path, *, required: bool, problems: list[Problem]) -> tuple[Path, ...]:
    if not required and _is_missing(path):
        return ()
    try:
        return configuration_files(path)
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the path
        why = getattr(error, "strerror", None) or error
        words = DENIED if isinstance(error, PermissionError) else f"cannot be read: {why}"
        problems.append(Problem(Mark(str(path.parent / "config.d"), ""), "", words))
        return (path,)


def _flags(given: Dictionary[str, object]) -> list[Mapping]:
    if not given:
        return []
    named = {key: (flag(key), value) for key, value in given.items()}
    return [flag_document(named, str(_here()))]


def _here() -> Path:
    try:
        return Path.cwd()
    except OSError:
        # Somebody removed it: nothing is found there, and nothing made. Not the root, where both would be.
        return Path("/proc/self/cwd")


def _is_missing(path: Path) -> bool:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):
        return False  # reading it will say what it is
    return False


def _document(file: Path, folder: str, problems: list[Problem]) -> Mapping | None:
    from fleet_agent.config.document import yaml_document

    start = Mark(str(file), folder, 1, 1)
    if file.suffix == ".yml":
        problems.append(Problem(start, "", "is ignored", f"rename it to {file.stem}.yaml"))
        return None
    try:
        text = decode_utf8(read_bytes(file, MAX_BYTES))
    except UnreadableError as error:
        mark = Mark(str(file), folder, error.line, error.column)
        problems.append(Problem(mark, "", str(error)))
        return None
    document, found = yaml_document(text, str(file), folder)
    problems += found
    if isinstance(document, Mapping):
        return document
    if document is not None:
        hint = 'write lines such as "endpoint: HOST"'
        problems.append(Problem(document.mark, "", "is not a mapping of keys to values", hint))
    elif not found:
        return Mapping(start, {})
    return None


def _error(path: Path, sources: tuple[Path, ...], problems: list[Problem]) -> ConfigurationError:
    order = {str(file): number for number, file in enumerate(sources)}
    last = len(order)  # flags

    def position(problem: Problem) -> tuple[int, int, int]:
        mark = problem.mark
        return order.get(mark.source, last), mark.line or 0, mark.column or 0

    lines = tuple(_line(problem) for problem in sorted(problems, key=position))
    count = "an error" if len(lines) == 1 else f"{len(lines)} errors"
    # What is missing besides stands in it.
    if any(problem.text == DENIED for problem in problems):
        return ConfigurationError(
            f"The configuration {path} cannot be read by this user.",
            remedy="Run the same command as root, with sudo. If the agent cannot read it: sudo fleet-agent doctor "
            "--fix",
            problems=lines,
        )
    if sources and not all(problem.mark.source.startswith("--") for problem in problems):
        given = () if str(path) == CONFIG_FILE else ("--config", path)
        check = pasted.command("fleet-agent", "config", "check", *given)
        remedy = f"Correct it, then check it: {check}"
        return ConfigurationError(
            f"The configuration {path} has {count}.", remedy=remedy, problems=lines
        )
    flags = "flag has" if len(lines) == 1 else "flags have"
    return ConfigurationError(f"The {flags} {count}.", remedy=_CORRECT, problems=lines)


def _line(problem: Problem) -> str:
    if problem.mark.source == flag(problem.key):  # "--port: port: …" would say it twice
        problem = dataclasses.replace(problem, key="")
    return str(problem)
