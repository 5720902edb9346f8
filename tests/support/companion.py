"""What tests of ``scripts/fleet-cloud`` share; the fixture ``fleet_cloud`` beside them runs it."""

import json
import subprocess
from collections.abc import Callable
from typing import Any

Done = subprocess.CompletedProcess[str]
FleetCloud = Callable[..., Done]


def answer(done: Done) -> Any:
    """Gives the JSON a command printed."""
    return json.loads(done.stdout)
