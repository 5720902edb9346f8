"""The herd in earnest: rehearsals of 200 and 1,000 virtual devices against the sandbox, and simulations beside.

The last 1,000 with the hook that up makes by default.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from iot_sandbox.launch import Sandbox, launch

ROOT = Path(__file__).resolve().parent.parent
# Devices, the account's registrations a second (as many as two processors can serve, with TLS), and the fleet.
RUNS = ((200, 10.0, "plain"), (1000, 10.0, "plain"), (1000, 10.0, "hooked"))
MANY = 1000  # devices that the bound is for: of fewer, the last one weighs more
MOST_TIME = 1.10
MOST_APART = 0.10
MEMORY = 1.5 * 2**20
HEAD = f"  {'':<24}{'all by':>8}{'99 % by':>9}{'requests':>10}{'memory':>10}"


def fleet_cloud(sandbox: Sandbox, *words: str) -> dict[str, Any]:
    """Run the companion; give what it answers."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "fleet-cloud"), *words, "--json"],
        env=os.environ | sandbox.environment,
        stdout=subprocess.PIPE,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main() -> int:
    """Run it; 1 when an aim is missed."""
    missed = []
    with tempfile.TemporaryDirectory() as name, launch(Path(name) / "sandbox") as sandbox:
        fleet_cloud(sandbox, "up", "--name", "plain", "--no-hook")
        fleet_cloud(sandbox, "up", "--name", "hooked")
        print(HEAD)
        for devices, quota, fleet in RUNS:
            before = os.getloadavg()[0]
            out = Path(name) / f"{devices}-{fleet}"
            words = ("--devices", str(devices), "--quota", f"{quota:g}", "--name", fleet)
            place = ("--ca-file", str(sandbox.ca_file), "--out", str(out))
            found = fleet_cloud(sandbox, "rehearse", *words, *place)
            real, model = found["figures"], found["outlook"][0]
            all_by, memory = real["all_by_times_bound"], real["memory_per_device"]
            print(
                f"  {f'{devices} devices, {quota:g} a second':<24}{all_by:8.2f}{real['most_by_times_bound']:9.2f}"
                f"{real['requests']['mean']:10.2f}{memory / 2**20:6.2f} MiB  {fleet}, load {before:.1f} before"
            )
            print(
                f"  {'… simulated':<24}{model['all_by_times_bound']:8.2f}{model['most_by_times_bound']:9.2f}"
                f"{model['requests']:10.2f}",
                flush=True,
            )
            apart = abs(all_by / model["all_by_times_bound"] - 1)
            if apart > MOST_APART:
                missed.append(f"{devices}: real and simulated are {apart:.0%} apart")
            if devices >= MANY and all_by > MOST_TIME:
                missed.append(f"{devices}: all by {all_by:.2f}, aim {MOST_TIME}")
            if memory > MEMORY:
                missed.append(f"{devices}: {memory / 2**20:.2f} MiB a device")
    for aim in missed:
        print(f"missed: {aim}", file=sys.stderr)
    return 1 if missed else 0
