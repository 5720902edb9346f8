"""The one reader of ``status.json``, which a running agent shows in its runtime directory (``status`` writes it)."""

import contextlib
import json
from pathlib import Path
from typing import Any

from fleet_agent import files
from fleet_agent.errors import DeviceError

NAME = "status.json"
# Beside it, for other programs: who this device is.
IDENTITY = "identity.json"


def read(runtime_dir: Path) -> dict[str, Any]:
    """Returns what the running agent shows; empty when that is nothing that can be read as such.

    Raises:
        StateDirectoryError: The file cannot be read.
    """
    with contextlib.suppress(ValueError, RecursionError):
        value = json.loads(files.read(runtime_dir / NAME) or b"null")
        if isinstance(value, dict):
            return value
    return {}


def of_agent(runtime_dir: Path, process: int) -> dict[str, Any]:
    """Returns what the agent that runs now shows.

    Args:
        runtime_dir: Where it shows that.
        process: Its process id; 0: unknown.

    Raises:
        DeviceError: It shows nothing there; what is there is of another process.
        StateDirectoryError: The file cannot be read.
    """
    found = read(runtime_dir)
    if found and process in (0, found.get("pid")):
        return found
    raise DeviceError(
        f"Process {process or 'unknown'} uses the state directory, but there is no status in {runtime_dir}.",
        remedy="Try again when the agent has started, or when the other command has ended. Use the agent's runtime_dir "
        "(the service has /run/fleet-agent); its log may show why: journalctl -u fleet-agent",
        code="status-missing",
    )
