"""The programs that root allows: which files of the folder are taken, and what each of them may do."""

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from fleet_agent_helper.requests import RefusedError

_LONGEST_PROFILE = 16 * 1024
_PROPERTY = re.compile(r"[A-Za-z-]+=.*")
# Lines of a profile that are the helper's own.
_REBOOTS = "X-Reboots=yes"
_READS = "X-Arguments=stdin"
_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH
# For a program that has no profile.
STRICT = (
    "NoNewPrivileges=yes", "CapabilityBoundingSet=", "ProtectSystem=strict", "ProtectHome=yes", "PrivateTmp=yes",
    "PrivateDevices=yes", "PrivateNetwork=yes", "ProtectClock=yes", "ProtectControlGroups=yes", "ProtectHostname=yes",
    "ProtectKernelLogs=yes", "ProtectKernelModules=yes", "ProtectKernelTunables=yes", "LockPersonality=yes",
    "MemoryDenyWriteExecute=yes", "RestrictAddressFamilies=AF_UNIX", "RestrictNamespaces=yes", "RestrictRealtime=yes",
    "RestrictSUIDSGID=yes", "SystemCallArchitectures=native", "SystemCallFilter=@system-service",
)  # fmt: skip


@dataclass(frozen=True)
class Program:
    """A program that may be started.

    Attributes:
        path: where it lies.
        properties: of its transient unit, as systemd.exec(5) has them.
        reboots: whether it is done when the machine has started again, and not before.
        reads: whether it reads its arguments from its standard input: everybody may read a command line.
    """

    path: Path
    properties: tuple[str, ...]
    reboots: bool
    reads: bool = False


def find(folder: Path, name: str) -> Program:
    """Finds a program in root's folder, and its profile beside it.

    Raises:
        RefusedError: there is none, or somebody other than root could have put it there.
    """
    try:
        real = folder.resolve(strict=True)
    except OSError as error:
        raise RefusedError(f"{folder}: {error.strerror}") from error
    for part in (*reversed(real.parents), real):
        found = _look(part)
        # Below a sticky folder of root's nobody else moves what is root's; but anybody puts links to it there.
        is_sticky = part != real and found.st_uid == 0 and bool(found.st_mode & stat.S_ISVTX)
        if not stat.S_ISDIR(found.st_mode) or (_is_foreign(found) and not is_sticky):
            raise RefusedError(f"{part} is not a folder that only root can write")
    path = real / name
    found = _look(path)
    if not _is_file_of_root(found) or not found.st_mode & stat.S_IXUSR:
        raise RefusedError(f"{path} is not an executable file that only root can write")
    lines = _profile(real / f"{name}.profile")
    if lines is None:
        return Program(path, STRICT, reboots=False)
    properties = tuple(line for line in lines if line not in (_REBOOTS, _READS))
    return Program(path, properties, reboots=_REBOOTS in lines, reads=_READS in lines)


def _profile(path: Path) -> list[str] | None:
    """Reads the properties of a program's unit; None if nothing is said of it."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RefusedError(f"{path}: {error.strerror}") from error
    with os.fdopen(file, "rb") as stream:
        if not _is_file_of_root(os.fstat(file)):
            raise RefusedError(f"{path} is not a file that only root can write")
        text = stream.read(_LONGEST_PROFILE).decode(errors="replace")
    lines = [line.strip() for line in text.splitlines()]
    wanted = [line for line in lines if line and not line.startswith("#")]
    if wrong := next((line for line in wanted if not _PROPERTY.fullmatch(line)), None):
        raise RefusedError(f"{path}: not a property: {wrong!r}")
    return wanted


def _look(path: Path) -> os.stat_result:
    try:
        return path.lstat()
    except OSError as error:
        raise RefusedError(f"{path}: {error.strerror}") from error


def _is_file_of_root(found: os.stat_result) -> bool:
    return stat.S_ISREG(found.st_mode) and not _is_foreign(found)


def _is_foreign(found: os.stat_result) -> bool:
    return found.st_uid != 0 or bool(found.st_mode & _WRITABLE_BY_OTHERS)
