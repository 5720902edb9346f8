"""``fleet-agent import``: our configuration from another agent's, and a name for all that has no equivalent."""

import argparse
import dataclasses
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fleet_agent import foreign, pasted
from fleet_agent.cli import flags, terminal
from fleet_agent.cli.outcome import Outcome
from fleet_agent.errors import DeviceError, Exit, StateDirectoryError

if TYPE_CHECKING:
    from fleet_agent.config.peers.document import Imported

_MODE = 0o640
# Device Client keeps its proxy, and the identity that its fleet provisioning got, in files beside.
_BESIDE = ("http-proxy.conf", "aws-iot-device-client-runtime.conf")
# Where a folder has the configuration: Device Client's, the Java nucleus's as it is in effect, nucleus lite's.
_IN_FOLDER = ("aws-iot-device-client.conf", "config/effectiveConfig.yaml", "config.yaml")
_PATHS = (
    ("ca_file",),
    *(
        (section, key)
        for section in ("claim", "identity")
        for key in ("certificate", "private_key")
    ),
)


def register(
    subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]",
    common: argparse.ArgumentParser,
) -> None:
    """Adds the verb."""
    parser = subparsers.add_parser(
        "import",
        parents=[common],
        help="convert a configuration of AWS IoT Device Client or Greengrass",
        description="Converts the configuration of AWS IoT Device Client (JSON), or of Greengrass with fleet "
        "provisioning (the Java nucleus's plugin or nucleus lite, YAML). Settings without an equivalent are listed "
        "on stderr and in the file's first lines, with what to do instead. The other agent's own certificate and "
        "key become the section identity, to be adopted. No secret is copied. Exit status: 0 written, 78 the file "
        "has another format, or the result must be corrected first.",
    )
    parser.add_argument(
        "file", metavar="FILE", help="the other agent's configuration, or its folder"
    )
    parser.add_argument(
        "--out", metavar="FILE", help="where to write the result (default: stdout)"
    )
    parser.add_argument("--force", action="store_true", help="overwrite the file that --out names")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> Outcome:
    """Runs the verb."""
    from fleet_agent.config.peers import translate
    from fleet_agent.config.render import render

    path = _file(Path(arguments.file).absolute())
    document, strange = _read(path)
    imported = translate(document)
    if imported is None:
        raise DeviceError(
            f"{path} is not a configuration of AWS IoT Device Client or Greengrass.",
            remedy="Pass aws-iot-device-client.conf, or Greengrass's config.yaml with its services.",
            code="import-unknown",
        )
    settings = _absolute(imported.settings, path.parent)
    remarks = [f"Imported from {path} ({imported.peer})."]
    if imported.left:
        remarks.append("No equivalent:")
        remarks += [f"  {left.key}: {left.instead}" for left in imported.left]
    imported = dataclasses.replace(imported, notes=(*imported.notes, *strange))
    if imported.notes:
        remarks += ["Look at:", *(f"  {note}" for note in imported.notes)]
    text = render(settings, remarks)
    problems = _problems(text, path)
    if arguments.out:
        _write(Path(arguments.out), text, force=arguments.force)
    data = {
        "from": imported.peer,
        "settings": settings,
        "no_equivalent": [{"key": left.key, "instead": left.instead} for left in imported.left],
        "notes": list(imported.notes),
        "problems": problems,
        "file": arguments.out,
    }
    is_seen = terminal.is_terminal(sys.stdout) and not arguments.out and not arguments.json
    return Outcome(
        data=data,
        text=None if arguments.out else text,
        notes=list(_notes(arguments.out, None if is_seen else imported, problems)),
        status=int(Exit.WRONG_ON_DEVICE if problems else Exit.DONE),
    )


def _file(path: Path) -> Path:
    """The configuration in a folder; a file is what it is."""
    if not path.is_dir():
        return path
    found = next((path / name for name in _IN_FOLDER if os.access(path / name, os.R_OK)), None)
    if found is None:
        raise DeviceError(
            f"{path} has no {', '.join(_IN_FOLDER)} that this user can read.",
            remedy="Name the file; nucleus lite's is /etc/greengrass/config.yaml, or one of /etc/greengrass/config.d.",
            code="import-unknown",
        )
    return found


def _read(path: Path) -> tuple[object, list[str]]:
    """The document, JSON or YAML, and what of it could not be taken over.

    Device Client's other files beside it are read with it.
    """
    text = _text(path)
    # Device Client takes no comments either, and says so of its line.
    if not text.lstrip().startswith(("{", "//", "/*")):
        return _yaml(path, text)
    document = _json(path, text)
    for beside in map(path.with_name, _BESIDE):
        if isinstance(document, dict) and beside != path and beside.exists():
            more = _json(beside, _text(beside))
            document = {**more, **document} if isinstance(more, dict) else document
    return document, []


def _text(path: Path) -> str:
    from fleet_agent.config.load import MAX_BYTES
    from fleet_agent.config.reading import UnreadableError, decode_utf8, read_bytes

    try:
        return decode_utf8(read_bytes(path, MAX_BYTES))
    except UnreadableError as error:
        raise DeviceError(
            f"{path} {error}.",
            remedy="Pass the other agent's configuration, and run as a user who can read it.",
            code="import-unreadable",
        ) from error


def _json(path: Path, text: str) -> object:
    """The document with its numbers as they were written."""
    try:
        return foreign.read(text, number=str)
    except ValueError as error:
        raise _broken(path, "JSON", str(error)) from error


def _yaml(path: Path, text: str) -> tuple[object, list[str]]:
    """The document, each scalar as it was written, and what could not be taken over; in bounded time and memory."""
    from fleet_agent.config.document import yaml_document
    from fleet_agent.config.positions import as_written

    root, problems = yaml_document(text, str(path), str(path.parent))
    if root is None:
        words = f"line {problems[0].mark.line}: {problems[0].text}" if problems else "it is empty"
        raise _broken(path, "YAML", words)
    return as_written(root), [str(problem) for problem in problems]


def _broken(path: Path, kind: str, words: str) -> DeviceError:
    return DeviceError(
        f"{path} is not {kind}: {words}.",
        remedy="Correct it there: the other agent cannot read it either.",
        code="import-broken",
    )


def _absolute(settings: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Paths as they are from anywhere: ours start at our file's folder, theirs where the agent was started."""
    absolute: dict[str, Any] = {
        key: dict(value) if isinstance(value, Mapping) else value
        for key, value in settings.items()
    }
    for *section, key in _PATHS:
        part: dict[str, Any] = absolute.get(section[0], {}) if section else absolute
        if ":" not in part.get(key, ":"):
            part[key] = os.path.normpath(folder / os.path.expanduser(part[key]))  # noqa: PTH111 - Path raises for a ~ of nobody
    return absolute


def _problems(text: str, path: Path) -> list[str]:
    """The problems that our own loader finds in the result."""
    from fleet_agent.config.decode import decode
    from fleet_agent.config.document import yaml_document
    from fleet_agent.config.positions import Mapping as Document
    from fleet_agent.config.positions import Mark

    root, problems = yaml_document(text, "", str(path.parent))
    decode(root if isinstance(root, Document) else Document(Mark("", "", 1, 1), {}), problems)
    return [
        f"{problem.key}: {problem.text}{f' ({problem.suggestion})' if problem.suggestion else ''}"
        for problem in problems
    ]


def _write(path: Path, text: str, *, force: bool) -> None:
    if path.exists() and not force:
        raise StateDirectoryError(
            f"{path} already exists.",
            remedy="Choose another --out, or replace it with --force.",
            code="file-exists",
        )
    flags.write_file("--out", path, text.encode(), _MODE)


def _notes(out: str | None, imported: "Imported | None", problems: list[str]) -> Iterator[str]:
    """Returns the notes to print; those just shown at the head of the file are not repeated."""
    if imported:
        yield from (f"no equivalent: {left.key}: {left.instead}" for left in imported.left)
        yield from (f"check: {note}" for note in imported.notes)
    yield from (f"to correct: {problem}" for problem in problems)
    if out:
        check = pasted.command("fleet-agent", "config", "check", "--config", out)
        yield f"Written to {out}. Check it: {check}"
