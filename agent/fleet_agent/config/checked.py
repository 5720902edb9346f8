"""Settings as they were checked, kept beside the configuration: a start that finds them neither parses nor checks it.

They count while every file of the configuration, the agent's code and Python are what they were, compared by content
(code by size and time); otherwise the configuration is read, which is slower and the same. Since a configuration says
which programs run, they count only if its owner wrote them, and no other user could have.
"""

import binascii
import contextlib
import functools
import json
import os
import pickle
import stat
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

from fleet_agent import __version__, files
from fleet_agent.config.paths import configuration_files
from fleet_agent.config.reading import UnreadableError, read_bytes
from fleet_agent.config.settings import CONFIG_FILE, Settings
from fleet_agent.errors import StateDirectoryError, UsageError
from fleet_agent.files.pinned import pinned
from fleet_agent.pasted import word

SUFFIX = ".checked"
MARK = "config-unchecked"  # fleet-agent-check.path looks for it
MAX_BYTES = 4 << 20  # of it: sixteen times the longest configuration
_SUM = 8  # hexadecimal digits of the CRC that the file begins with
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def keep(path: Path, load: Callable[[], Settings]) -> Path:
    """Keeps the settings for the next start, and returns the file they are in.

    Args:
        path: The configuration file.
        load: Makes settings of it, without flags.

    Raises:
        AgentError: It cannot be loaded.
        UsageError: Others than this user can write the configuration, or somebody has just done so.
        StateDirectoryError: The file cannot be written.
    """
    settings = load()
    mode, group = _rights(path, os.geteuid())
    code = {name: _stamp(name) for name in _code()}
    head = json.dumps({"origin": _origin(path), "code": code}).encode()
    # What was loaded may not be what has been read just now, and would then count until the next change.
    if load() != settings:
        raise UsageError(
            "The result is not kept: the configuration has changed meanwhile.",
            remedy="Run this again.",
            code="not-kept",
        )
    rest = head + b"\n" + pickle.dumps(settings)
    kept = Path(f"{path}{SUFFIX}")
    # Shown to a group only once it is the right one, which not everybody may give.
    files.write(kept, _sum(rest) + rest, mode & ~stat.S_IRGRP)
    with pinned(kept) as safe, contextlib.suppress(PermissionError):
        os.chown(safe, -1, group, follow_symlinks=False)
        safe.chmod(mode)
    return kept


def recall(path: Path) -> Settings | None:
    """Returns the settings that were kept; None: there are none to be trusted, or something has changed since."""
    try:
        trust = functools.partial(_ensure_owner, path.stat().st_uid)
        data = read_bytes(Path(f"{path}{SUFFIX}"), MAX_BYTES, trust)
        rest = data[_SUM:]
        if data[:_SUM] != _sum(rest):
            return None
        head, _, body = rest.partition(b"\n")
        known = json.loads(head)
        if known["origin"] != _origin(path) or any(
            _stamp(name) != stamp for name, stamp in known["code"].items()
        ):
            return None
    # KeyError: another version's file.
    except (OSError, ValueError, KeyError, UnreadableError):
        return None
    return cast("Settings", pickle.loads(body))  # noqa: S301 - the owner of the configuration wrote it


def ask_service(path: Path | None, environment: Mapping[str, str]) -> None:
    """Leaves a mark for the service, which then has root check its configuration and keep the result.

    Args:
        path: The configuration file; None: it is not all that says the settings.
        environment: Where ``RUNTIME_DIRECTORY`` is looked up.
    """
    folder = environment.get("RUNTIME_DIRECTORY")
    if folder and path == Path(CONFIG_FILE):
        # Without it the next start checks again. Where root would keep nothing, it need not try.
        with contextlib.suppress(UsageError, OSError, StateDirectoryError):
            _rights(path, 0)
            files.write(Path(folder.split(":")[0]) / MARK, b"", 0o644, durable=False)


def _origin(path: Path) -> dict[str, object]:
    """All that settings come from, but for the code that reads them."""
    return {
        # Of one version there may be two with other code, as in a checkout.
        "agent": [__version__, __file__],
        "python": sys.version,
        # Relative paths in it start there.
        "folder": os.path.abspath(path.parent),  # noqa: PTH100 - in each start: links stay
        "files": {
            str(file): read_bytes(file, MAX_BYTES).decode("latin-1")
            for file in configuration_files(path)
        },
    }


def _code() -> list[str]:
    """The files of the agent and of the YAML parser that this process has loaded."""
    loaded = [
        getattr(module, "__file__", None)
        for name, module in list(sys.modules.items())
        if name.partition(".")[0] in ("fleet_agent", "yaml")
    ]
    return [file for file in loaded if file]


def _stamp(name: str) -> list[int]:
    """What Python takes its bytecode by, too; an image's file system may know no fractions of a second."""
    found = os.stat(name)  # noqa: PTH116 - a hundred, in each start
    return [int(found.st_mtime), found.st_size]


def _sum(data: bytes) -> bytes:
    """Recognises what a failing card has changed."""
    return f"{binascii.crc32(data):0{_SUM}x}".encode()


def _ensure_owner(owner: int, descriptor: int) -> None:
    """Unlike a configuration, a pickle is code for whoever opens it: only root's and one's own is opened."""
    found = os.fstat(descriptor)
    is_trusted = found.st_uid == owner and owner in (0, os.geteuid())
    if not is_trusted or found.st_mode & _OTHERS_WRITE:
        raise PermissionError


def _rights(path: Path, user: int) -> tuple[int, int]:
    """Mode and group for a file of this user's that must not show more than any part of the configuration does."""
    mode = 0o644
    groups = set()
    for part in (path.parent, *configuration_files(path)):
        found = part.stat()
        if found.st_uid != user or found.st_mode & _OTHERS_WRITE:
            raise UsageError(
                f"The result is not kept: {part} is another user's, or others can write it.",
                remedy=f"Run this as its owner, and let nobody else write it: chmod go-w {word(part)}",
                code="not-kept",
            )
        if part == path.parent:
            continue
        mode &= found.st_mode
        if not found.st_mode & stat.S_IROTH:
            groups.add(found.st_gid)
    if len(groups) > 1:
        mode &= ~stat.S_IRGRP
    return mode, max(groups, default=path.stat().st_gid)
