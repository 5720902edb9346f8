"""What support needs, without secrets, in one archive that only its owner can read.

Documents are rewritten with only the fields that are known to hold no secret (``redaction``); private keys are never
included, and whatever looks like a secret, or is one of this device's, is removed from free text.
"""

import contextlib
import io
import json
import os
import platform
import re
import stat
import sys
import tarfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote, urlsplit

from fleet_agent import __version__, files, foreign, pasted
from fleet_agent.config.paths import configuration_files
from fleet_agent.config.readings import FromProgram
from fleet_agent.config.settings import Settings
from fleet_agent.doctor import parameters, service, socket_unit, unit
from fleet_agent.doctor.device import Device
from fleet_agent.doctor.redaction import GONE, keep, redact
from fleet_agent.doctor.rights import claim_files, secret_files
from fleet_agent.errors import AgentError, StateDirectoryError
from fleet_agent.files.pinned import pinned
from fleet_agent.health import status_file
from fleet_agent.session.route import route
from fleet_agent.statedir import contents
from fleet_agent.statedir.contents import CONTENTS
from fleet_agent.statedir.owner import refuse_foreign_link

_JOURNAL_LINES = "2000"
_LONG = 8  # characters of an argument that is more than an option
_SHORTEST = 4  # characters of a known secret that are worth looking for

# Files of the state directory that hold no secret by design.
_BUNDLED = tuple(entry.pattern for entry in CONTENTS if entry.is_bundled)

# The fields of those files and of a running agent's status: all other fields stay on the device.
_FIELDS = frozenset({
    "schema", "pid", "started", "updated", "doing", "connected", "problems", "code", "name", "title", "remedy", "since",
    "severity", "step", "rotation", "failed", "rung", "certificate_id", "thing_name", "template", "endpoint", "proven",
    "boot", "monotonic", "answers_dropped",
    "how", "attempt", "method", "parameters_hash", "csr_hash", "tries", "not_before", "opened", "time", "event",
    "generation", "readings_stored", "readings_acknowledged", "readings_dropped", "readings_not_stored",
    "dropped", "full", "age", "expired", "refused", "readings_waiting", "bytes_waiting", "oldest_waiting",
    "readings_stored_per_second", "readings_acknowledged_per_second", "messages_published", "messages_received",
    "sources/", "handlers/", "error", "last_error", "last_error_time", "handled", "duplicates", "waiting",
})  # fmt: skip
# Settings whose content is free: a program's arguments, a template's parameters.
_FREE = frozenset({"parameters", "command", "exec", "environment", "body", "payload"})
# Directives of a unit whose values are paths, limits and switches; of all others only the name is included.
_DIRECTIVES = re.compile(
    r"(?:Accuracy|After|Alias|Also|Ambient|Assert|Before|Bind|CPU|Cache|Capability|Condition|Conflicts|Configuration|"
    r"Delegate|Description|Device|Documentation|Dynamic|EnvironmentFile|ExecPaths|Group|IO|IP|Import|Inaccessible|"
    r"KeyringMode|Kill|Limit|Listen|LoadCredential|Lock|Log|Memory|Mount|Nice|No|Notify|OOM|On|Part|PassEnvironment|"
    r"Persistent|Private|Proc|Protect|Random|Read|Remain|Remove|Requir|Restart|Restrict|Root|Runtime|Slice|Socket|Standard|"
    r"Start|State|Success|Supplementary|Syslog|System|Tasks|Timeout|Type|UMask|Unit|Unset|User|Wanted|Wants|Watchdog|"
    r"Working)\w*",
    re.ASCII,
)
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


def open_archive(path: Path) -> io.BufferedWriter:
    """Makes the archive's file, 0600.

    Raises:
        StateDirectoryError: It exists, or cannot be made.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with pinned(path) as safe:
            return os.fdopen(os.open(safe, flags, 0o600), "wb")
    except OSError as error:
        raise StateDirectoryError(
            f"Cannot make {path}: {error.strerror}.",
            remedy="Give --bundle the path of a new file, in a folder that you may write to.",
            code="bundle-not-writable",
        ) from error


def not_written(name: str, error: OSError) -> StateDirectoryError:
    """Returns the error for a bundle that could not be written completely."""
    return StateDirectoryError(
        f"Cannot write {name}: {error.strerror}.",
        remedy=f"The file is incomplete: {pasted.command('rm', name)}; then give --bundle a path on another disk.",
        code="bundle-not-writable",
    )


class Bundle:
    """The content of the archive; collected as root, if started as root."""

    def __init__(self, device: Device) -> None:
        self._known = sorted(set(_known(device)), key=len, reverse=True)
        self._texts = dict(_texts(device, self._redacted))

    def add_findings(self, answer: Mapping[str, Any]) -> None:
        """Adds the doctor's findings; redacted, because they quote a wrong configuration."""
        findings = [
            {
                key: self._redacted(value) if isinstance(value, str) else value
                for key, value in _without_value(entry).items()
            }
            for entry in answer["findings"]
        ]
        self._texts["doctor.json"] = json.dumps({**answer, "findings": findings}, indent=1)

    def _redacted(self, text: str) -> str:
        return redact(text, self._known)

    def write(self, archive: IO[bytes], now: float) -> None:
        """Writes the archive; ``now`` in Unix seconds.

        Raises:
            OSError: It cannot be written.
        """
        with tarfile.open(fileobj=archive, mode="w:gz") as tar:
            for name, text in sorted(self._texts.items()):
                data = text.encode(errors="replace")
                entry = tarfile.TarInfo(f"fleet-agent/{name}")
                entry.size, entry.mode, entry.mtime = len(data), 0o600, int(now)
                tar.addfile(entry, io.BytesIO(data))


def _without_value(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """A template parameter's finding shows its value and its command's output: only its name is included."""
    if entry.get("check") != parameters.CHECK or not entry["where"]:
        return entry
    return {**entry, "title": f"{entry['where']}: {GONE}"}


def _texts(device: Device, clean: Callable[[str], str]) -> Iterator[tuple[str, str]]:
    """Yields all texts that can be read."""
    yield "about.txt", clean(_about())
    parts = {"config": _configuration, "unit": _units, "state": _state, "runtime": _runtime}
    for name, part in parts.items():
        try:
            yield from part(device, clean)
        except (OSError, AgentError) as error:
            yield f"{name}/unreadable.txt", clean(f"{error}\n")
    for path in list(claim_files(device))[:1]:
        yield "claim/certificate.pem", _only_certificate(path)
    journal = service.ask(
        "journalctl", "-u", unit.NAME, "-n", _JOURNAL_LINES, "--no-pager", "-o", "short-iso"
    )
    yield "journal.txt", clean(journal or "(no journal here)\n")


def _configuration(device: Device, clean: Callable[[str], str]) -> Iterator[tuple[str, str]]:
    for path in configuration_files(device.config) if device.config.exists() else ():
        yield f"config/{path.name}", _settings(path, clean)


def _units(device: Device, clean: Callable[[str], str]) -> Iterator[tuple[str, str]]:
    for path in (*unit.files_of(device.root), *unit.files_of(device.root, socket_unit.NAME)):
        yield f"unit/{path.name}", clean(_directives(_read(path)))


def _state(device: Device, clean: Callable[[str], str]) -> Iterator[tuple[str, str]]:
    refuse_foreign_link(device.state_dir)
    yield "state/listing.txt", clean("".join(_listing(device.state_dir)))
    for pattern in _BUNDLED:
        for path in sorted(device.state_dir.glob(pattern)):
            if not any(part.is_symlink() for part in (path, path.parent)):
                is_certificate = path.suffix == ".crt"
                text = _only_certificate(path) if is_certificate else _lines(path, clean)
                yield f"state/{path.relative_to(device.state_dir)}", text


def _runtime(device: Device, clean: Callable[[str], str]) -> Iterator[tuple[str, str]]:
    for name in (status_file.NAME, status_file.IDENTITY):
        if (path := device.runtime_dir / name).is_file():
            yield f"runtime/{name}", _lines(path, clean)


def _lines(path: Path, clean: Callable[[str], str]) -> str:
    """A JSON file, or one of JSON lines, reduced to the known fields."""
    text = _read(path)
    try:
        return json.dumps(keep(json.loads(text), _FIELDS, clean), indent=1) + "\n"
    except (ValueError, RecursionError):
        pass
    kept = []
    for line in text.splitlines():
        try:
            kept.append(json.dumps(keep(json.loads(line), _FIELDS, clean)))
        except (ValueError, RecursionError):
            kept.append(f"({len(line)} characters that are not JSON)")
    return "\n".join(kept) + "\n"


def _settings(path: Path, clean: Callable[[str], str]) -> str:
    """A file of the configuration, reduced to known settings: no comments, nothing else."""
    import yaml

    from fleet_agent.config.document import yaml_document
    from fleet_agent.config.positions import as_written
    from fleet_agent.config.schema import json_schema

    schema = json_schema()
    sections = [schema, *schema["$defs"].values()]
    known = {name for section in sections for name in section.get("properties", {})} - _FREE
    root, problems = yaml_document(_read(path), path.name, str(path.parent))
    if problems or root is None:
        return f"(cannot be read: {len(problems)} problems; see doctor.json)\n"
    return yaml.safe_dump(
        keep(as_written(root), known, clean), sort_keys=False, allow_unicode=True
    )


def _directives(text: str) -> str:
    """A unit's lines: sections, the directives whose values are not secret, and the names of the others."""
    kept = []
    for line in text.splitlines():
        name, equals, value = line.strip().partition("=")
        if line.startswith("["):
            kept.append(line)
        elif equals and not line.lstrip().startswith(("#", ";")):
            is_known = _DIRECTIVES.fullmatch(name.strip()) or not value.strip()
            kept.append(f"{name}={value if is_known else GONE}")
    return "\n".join(kept) + "\n"


def _about() -> str:
    import importlib

    lines = [
        f"fleet-agent {__version__}",
        f"Python {sys.version}",
        platform.platform(),
        f"user {os.geteuid()}",
    ]
    for name in ("awscrt", "awsiot", "cryptography", "yaml", "sqlite3"):
        try:
            module = importlib.import_module(name)
        except ImportError as error:
            lines.append(f"{name}: {error}")
        else:
            lines.append(
                f"{name} {getattr(module, 'sqlite_version', getattr(module, '__version__', '?'))}"
            )
    return "\n".join(lines) + "\n"


def _read(path: Path) -> str:
    try:
        return (files.read(path, limit=1 << 24) or b"").decode(errors="replace")
    except AgentError as error:
        return f"({error.title})\n"


def _only_certificate(path: Path) -> str:
    """Returns the certificates alone, as the key may be in the same file."""
    return "\n".join(_CERTIFICATE.findall(_read(path))) + "\n"


def _listing(folder: Path) -> Iterator[str]:
    """Lists a folder; below it, only the agent's files."""
    for path in [folder, *sorted({*folder.iterdir(), *contents.tree(folder)})]:
        try:
            found = path.lstat()
        except OSError as error:
            yield f"{path}: {error.strerror}\n"
            continue
        target = f" -> {os.readlink(path)}" if stat.S_ISLNK(found.st_mode) else ""  # noqa: PTH115 - as it stands
        yield f"{stat.filemode(found.st_mode)} {found.st_uid}:{found.st_gid} {found.st_size:>10} {path}{target}\n"


def _known(device: Device) -> Iterator[str]:
    """Yields this device's secrets, line by line."""
    for path in secret_files(device):
        yield from _lines_of_key(_read(path))
    with contextlib.suppress(OSError):  # the folder cannot be listed
        for path in device.state_dir.glob("credentials/*/private.pem.key"):
            yield from _lines_of_key(_read(path))
        for path in device.state_dir.glob("credentials/*/issued.json"):
            token = (foreign.read_object(_read(path).encode()) or {}).get("ownership_token")
            if token and isinstance(token, str):
                yield token
    yield from _arguments(device.settings)
    addresses = [device.environment.get(name) for name in _PROXIES]
    with contextlib.suppress(AgentError):
        addresses.append(
            route(device.settings, device.environment).proxy if device.settings else None
        )
    for address in filter(None, addresses):
        try:
            password = urlsplit(address).password
        except ValueError:  # not an address; a pattern removes its user and password
            continue
        if password and len(password) >= _SHORTEST:
            yield password
            yield unquote(password)


def _arguments(settings: Settings | None) -> Iterator[str]:
    """Returns the arguments of sources' programs, as a failing source is reported with its command."""
    for source in settings.telemetry.sources if settings else ():
        if isinstance(source, FromProgram):
            given = [pasted.command(*source.command.argv[1:]), *source.command.argv[1:]]
            yield from (text for text in given if len(text) >= _LONG)


_PROXIES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")


def _lines_of_key(text: str) -> Iterator[str]:
    """Yields each line of a secret: not even a part of it may leave the device."""
    yield from (
        line for line in text.splitlines() if len(line) >= _SHORTEST and "-----" not in line
    )
