"""The one reader of ``status.json``, which a running agent shows in its runtime directory (``status`` writes it)."""

import contextlib
import json
from pathlib import Path
from typing import Any

from fleet_agent import files

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
