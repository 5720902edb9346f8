"""The agent of a soak, in a process of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def run_agent(folder: Path, settings: Mapping[str, object]) -> "subprocess.Popen[bytes]":
    """Begins with this configuration; its log goes on in ``agent.log`` of the folder."""
    config = folder / "config.yaml"
    config.write_text(json.dumps(settings))
    words = [sys.executable, "-m", "fleet_agent", "run", "--config", str(config)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "agent")}
    with (folder / "agent.log").open("ab") as log:
        return subprocess.Popen([*words, "--allow-volatile"], env=environment, stderr=log)
