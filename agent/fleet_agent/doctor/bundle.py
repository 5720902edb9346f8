"""What support needs, in one archive that only its owner can read, without a secret.

Private keys are never put in; tokens, passwords and what looks like one are taken out of every text, by pattern and, as
far as they are known here, by their very words.
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
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from fleet_agent import __version__, files
from fleet_agent.config.load import files as configuration_files
from fleet_agent.doctor import service, unit
from fleet_agent.doctor.device import Device
from fleet_agent.doctor.rights import claim_files, secret_files
from fleet_agent.errors import AgentError, StateDirectoryError
from fleet_agent.session.route import route

_GONE = "(redacted)"
_JOURNAL_LINES = "2000"
_SHORTEST = 4  # characters of a known secret that are worth looking for

# Files of the state directory that hold no secret by design.
_STATE = (
    "ledger.jsonl",
    "first-contact.json",
    "run/status.json",
    "run/identity.json",
    "credentials/*/attempt.json",
    "credentials/*/registration.json",
    "credentials/*/proven",
    "credentials/*/certificate.pem.crt",
)

_PATTERNS = (
    # PEM of any private key, whole or cut off
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL), _GONE),
    # scheme://user:password@host
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^/\s@]+@"), rf"\1{_GONE}@"),
    # pin-value of PKCS#11
    (re.compile(r"(pin-value=)[^&;\s\"']+", re.IGNORECASE), rf"\1{_GONE}"),
    # a name that says so, with whatever follows it on its line
    (
        re.compile(r"(?im)(\b[\w.-]*(?:password|passwd|secret|token|api_?key|pin)[\w.-]*[\"']?\s*[:=]\s*)(?!null\b)[^\n,}]+"),
        rf"\1{_GONE}",
    ),
    (re.compile(r"(?m)^(\s*SetCredential\w*=[^:\n]*:).*$"), rf"\1{_GONE}"),
    (re.compile(r"(?im)\b((?:Proxy-)?Authorization:\s*\w+\s+)\S+"), rf"\1{_GONE}"),
    # AWS's ownership tokens are long and of this alphabet; certificate ids, 64 hex digits, stay
    (re.compile(r"(?<![\w+-])(?![0-9a-f]{64}(?![\w+-]))(?=[\w+-]*\d)[\w+-]{64,}={0,2}(?![\w+-])", re.ASCII), _GONE),
)  # fmt: skip
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


def open_archive(path: Path) -> io.BufferedWriter:
    """Make the archive's file, 0600.

    Raises:
        StateDirectoryError: It exists, or cannot be made.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.fdopen(os.open(path, flags, 0o600), "wb")
    except OSError as error:
        raise StateDirectoryError(
            f"Cannot make {path}: {error.strerror}.",
            remedy="Give --bundle a file that does not exist yet, in a folder you may write to.",
            code="bundle-not-writable",
        ) from error


class Bundle:
    """What goes into the archive; looked for while still root, where that is who asks."""

    def __init__(self, device: Device) -> None:
        self._known = sorted(set(_known(device)), key=len, reverse=True)
        self._texts = {name: redact(text, self._known) for name, text in _texts(device)}

    def add_findings(self, answer: Mapping[str, Any]) -> None:
        """Put in what the doctor said: a wrong configuration is quoted there."""
        findings = [
            {key: self._redacted(value) for key, value in one.items()}
            for one in answer["findings"]
        ]
        self._texts["doctor.json"] = json.dumps({**answer, "findings": findings}, indent=1)

    def _redacted(self, value: object) -> object:
        return redact(value, self._known) if isinstance(value, str) else value

    def write(self, archive: io.BufferedWriter, now: float) -> None:
        """Write the archive and close it; ``now`` in Unix seconds."""
        with archive, tarfile.open(fileobj=archive, mode="w:gz") as tar:
            for name, text in sorted(self._texts.items()):
                data = text.encode(errors="replace")
                entry = tarfile.TarInfo(f"fleet-agent/{name}")
                entry.size, entry.mode, entry.mtime = len(data), 0o600, int(now)
                tar.addfile(entry, io.BytesIO(data))


def redact(text: str, known: Iterable[str] = ()) -> str:
    """Take secrets out of a text; certificates, which are public, stay whole."""
    kept = _CERTIFICATE.findall(text)
    parts = _CERTIFICATE.split(text)
    for index, part in enumerate(parts):
        cleaned = part
        for secret in known:
            cleaned = cleaned.replace(secret, _GONE)
        for pattern, instead in _PATTERNS:
            cleaned = pattern.sub(instead, cleaned)
        parts[index] = cleaned
    return "".join(
        part + (kept[index] if index < len(kept) else "") for index, part in enumerate(parts)
    )


def _texts(device: Device) -> Iterator[tuple[str, str]]:
    yield "about.txt", _about()
    for path in configuration_files(device.config) if device.config.exists() else ():
        yield f"config/{path.name}", _read(path)
    for path in unit.files_of(device.root):
        yield f"unit/{path.name}", _read(path)
    for pattern in _STATE:
        for path in sorted(device.state_dir.glob(pattern)):
            if not any(part.is_symlink() for part in (path, path.parent)):
                yield f"state/{path.relative_to(device.state_dir)}", _read(path)
    for name in ("status.json", "identity.json"):
        if (path := device.runtime_dir / name).is_file():
            yield f"runtime/{name}", _read(path)
    for path in list(claim_files(device))[:1]:
        yield "claim/certificate.pem", _only_certificate(path)
    yield "state/listing.txt", "".join(_listing(device.state_dir))
    journal = service.ask(
        "journalctl", "-u", unit.NAME, "-n", _JOURNAL_LINES, "--no-pager", "-o", "short-iso"
    )
    yield "journal.txt", journal or "(no journal here)\n"


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
    """Some keep certificate and key in one file."""
    return "\n".join(_CERTIFICATE.findall(_read(path))) + "\n"


def _listing(folder: Path) -> Iterator[str]:
    for path in [folder, *sorted(folder.rglob("*"))]:
        try:
            found = path.lstat()
        except OSError as error:
            yield f"{path}: {error.strerror}\n"
            continue
        target = f" -> {os.readlink(path)}" if stat.S_ISLNK(found.st_mode) else ""  # noqa: PTH115 - as it stands
        yield f"{stat.filemode(found.st_mode)} {found.st_uid}:{found.st_gid} {found.st_size:>10} {path}{target}\n"


def _known(device: Device) -> Iterator[str]:
    """Secrets that this device has, word by word."""
    for path in secret_files(device):
        yield from _lines_of_key(_read(path))
    for path in device.state_dir.glob("credentials/*/private.pem.key"):
        yield from _lines_of_key(_read(path))
    for path in device.state_dir.glob("credentials/*/issued.json"):
        try:
            token = json.loads(_read(path)).get("ownership_token")
        except (ValueError, AttributeError):
            continue
        if token:
            yield str(token)
    addresses = [device.environment.get(name) for name in _PROXIES]
    with contextlib.suppress(AgentError):
        addresses.append(
            route(device.settings, device.environment).proxy if device.settings else None
        )
    for address in filter(None, addresses):
        password = urlsplit(address).password
        if password and len(password) >= _SHORTEST:
            yield password
            yield unquote(password)


_PROXIES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")


def _lines_of_key(text: str) -> Iterator[str]:
    """Each line of a key or another secret, for a piece of it is one too much."""
    yield from (
        line for line in text.splitlines() if len(line) >= _SHORTEST and "-----" not in line
    )
