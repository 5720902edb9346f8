"""The end of the claim: the agent counts starts that went well, root deletes the claim's files.

The agent cannot write where the claim lies, and should not. It leaves a mark in its state directory; at the next start
the service runs a command as root, which looks for the mark and deletes what root's own configuration names. What the
agent writes is never a path.
"""

import json
import logging
import math
import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from fleet_agent import files, foreign, pasted, unit_file
from fleet_agent.clock import Clock
from fleet_agent.config.paths import CREDENTIAL, resolve_path
from fleet_agent.config.provisioning import Claim
from fleet_agent.errors import AgentError, DeviceError
from fleet_agent.files.pinned import foreign_part
from fleet_agent.health import table
from fleet_agent.health.status import Health
from fleet_agent.record import record

_log = logging.getLogger(__name__)

STARTS = "claim-starts.json"
SERVED = "claim-served"  # fleet-agent.service looks for it
UNIT = "fleet-agent.service"

_LOOK_EVERY = 10.0  # seconds
_TOKEN = "pkcs11:"  # noqa: S105 - where a key is, not what it is
_BEGIN = b"-----BEGIN"
# Where systemd looks for a credential that is loaded by its name alone.
_STORES = ("/etc/credstore", "/run/credstore", "/usr/local/lib/credstore", "/usr/lib/credstore")


class _Counts(Protocol):
    @property
    def acknowledged(self) -> int: ...


class Starts:
    """Counts the starts that went well: a reading acknowledged by AWS, under the device's own identity.

    Once a process, however often its configuration is read again.

    Args:
        state_dir: Where the count and the mark lie.
        clock: For looking now and then.
        health: Gets a problem when the claim should be gone and is not.
    """

    def __init__(self, state_dir: Path, clock: Clock, health: Health) -> None:
        self._state_dir = state_dir
        self._clock = clock
        self._health = health
        self._claim: Claim | None = None
        self._counts: _Counts | None = None
        self._is_counted = False
        self.due = math.inf

    def watch(self, claim: Claim | None, counts: _Counts) -> None:
        """Waits for the first acknowledgement, if the claim is to go at all."""
        self._claim, self._counts = claim, counts
        self.due = math.inf
        if claim is None or claim.after_success == "keep" or not is_there(claim, os.environ):
            return
        if files.is_there(self._state_dir / SERVED):
            self._health.report(table.CLAIM_NOT_DELETED.problem())
        elif not self._is_counted:
            self.due = self._clock.monotonic() + _LOOK_EVERY

    def act(self) -> None:
        """Looks whether AWS has acknowledged something by now."""
        self.due = self._clock.monotonic() + _LOOK_EVERY
        if self._claim is None or self._counts is None or not self._counts.acknowledged:
            return
        self.due, self._is_counted = math.inf, True
        try:
            self._count(self._claim.good_starts)
        except AgentError as error:  # the next start counts, too
            _log.warning("%s %s", error.title, error.remedy)

    def _count(self, wanted: int) -> None:
        path = self._state_dir / STARTS
        count = _read_count(files.read(path)) + 1
        files.write(path, json.dumps({"good_starts": count}).encode() + b"\n", 0o600)
        if count >= wanted:
            files.write(self._state_dir / SERVED, b"", 0o600)
            _log.info("%d successful starts: the claim will be deleted at the next start", count)


def _read_count(data: bytes | None) -> int:
    try:
        value: Any = foreign.read(data or b"{}")
        found = value["good_starts"]
    except (ValueError, KeyError, TypeError):
        return 0
    return found if isinstance(found, int) and found >= 0 else 0


def is_there(claim: Claim, environment: Mapping[str, str]) -> bool:
    """Whether there is anything to delete, as far as this process can see.

    A credential whose file is gone has the default that the unit gives it, which is no PEM.
    """
    for reference in (claim.certificate, claim.private_key):
        if reference.startswith(_TOKEN):
            continue
        try:
            if _BEGIN in (files.read(resolve_path(reference, environment)) or b""):
                return True
        except AgentError:
            continue
    return False


@record
class Plan:
    """What deleting comes to: files that are there, files that are gone already, and what cannot be deleted here."""

    delete: Sequence[Path]
    gone: Sequence[Path]
    stays: Sequence[str]


def plan(claim: Claim) -> Plan:
    """Finds the claim's files, by the configuration and by what the unit loads.

    Raises:
        DeviceError: A credential that the unit does not load, or a folder in which others could exchange the file.
    """
    found: list[Path] = []
    stays: list[str] = []
    loaded: Mapping[str, Path] | None = None
    for reference in (claim.private_key, claim.certificate):  # the secret first
        if reference.startswith(_TOKEN):
            stays.append(
                "The claim's key stays in its hardware token: delete it with the hardware token's own tool."
            )
        elif reference.startswith(CREDENTIAL):
            loaded = _loaded() if loaded is None else loaded
            found.append(_source(reference, loaded))
        else:
            found.append(Path(reference))
    there = []
    for path in found:
        if path.is_symlink():
            there.append(_checked(path.resolve()))
        if path.is_symlink() or path.exists():
            there.append(_checked(path))
    return Plan(
        delete=there,
        gone=[path for path in found if path not in there],
        stays=stays,
    )


def delete(wanted: Plan) -> None:
    """Deletes the files, for good as far as the file system goes.

    Raises:
        StateDirectoryError: One cannot be deleted.
    """
    for path in wanted.delete:
        files.remove(path)


def _checked(path: Path) -> Path:
    """Refuses a folder in which a user less trusted than who runs this may write: a file there may become a link."""
    folder = path.parent
    try:
        found, kind = folder.stat(), path.lstat().st_mode
        part = foreign_part(folder) if os.geteuid() == 0 else None
    except OSError as error:
        raise DeviceError(
            f"Cannot check {path}: {error.strerror}.",
            remedy="Run this as root: sudo fleet-agent claim delete",
            code="file-unreadable",
        ) from error
    is_shared = bool(found.st_mode & stat.S_IWGRP) and found.st_gid not in (0, os.getegid())
    if is_shared or found.st_uid not in (0, os.geteuid()) or found.st_mode & stat.S_IWOTH:
        part = folder
    if part is not None:
        raise DeviceError(
            f"Users other than root can write in {part}, so root deletes nothing there.",
            remedy=f"{pasted.command('chown', 'root', part)}; {pasted.command('chmod', 'go-w', part)}",
            code="folder-not-safe",
        )
    if not (stat.S_ISREG(kind) or stat.S_ISLNK(kind)):
        raise DeviceError(
            f"{path} is not a file.", remedy="Delete the claim by hand.", code="file-unreadable"
        )
    return path


def _loaded() -> Mapping[str, Path]:
    """The credentials that the service loads, by name. ``systemctl show`` of Debian 12 has no words for them."""
    import subprocess

    command = ["systemctl", "cat", "--no-pager", UNIT]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError) as error:
        raise DeviceError(
            f"Cannot find out where the service's credentials come from: {error}.",
            remedy=f"Look for LoadCredential= in: systemctl cat {UNIT}; delete those files by hand.",
            code="systemctl-failed",
        ) from None
    return parse(done.stdout)


def parse(unit: str) -> Mapping[str, Path]:
    """Reads ``LoadCredential=`` and ``LoadCredentialEncrypted=`` of a unit with its drop-ins; an empty one forgets."""
    found: dict[str, dict[str, Path]] = {"LoadCredential": {}, "LoadCredentialEncrypted": {}}
    for line in unit_file.lines(unit):
        if line.key not in found:
            continue
        if not line.value:
            found[line.key].clear()
        name, _, path = line.value.partition(":")
        found[line.key][name] = Path(path or name)
    return {name: path for each in found.values() for name, path in each.items() if name}


def _source(reference: str, loaded: Mapping[str, Path]) -> Path:
    name = reference.removeprefix(CREDENTIAL)
    path = loaded.get(name)
    if path is None or "%" in str(path):  # a specifier, which only systemd fills in
        raise DeviceError(
            f"{UNIT} has no file for the credential {name}, which the configuration names.",
            remedy=f"Look for LoadCredential={name}:/… in: systemctl cat {UNIT}",
            code="credential-unknown",
        )
    if path.is_absolute():
        return path
    stores = [Path(store + kind) / path for store in _STORES for kind in ("", ".encrypted")]
    return next((store for store in stores if store.exists()), stores[0])
