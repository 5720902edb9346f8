"""Every boot after the first: exec → connected as the thing → first acknowledged reading, beside the SDK's sample.

Both run on this machine, under one identity, in another order each round. Then where the agent's time goes.
"""

import argparse
import json
import os
import random
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.provision import NOISY, ROOT, Bench, set_up

from iot_sandbox.launch import launch

AGENT = "fleet-agent run"
PEER = "SDK's publish/subscribe sample"
LIMIT = 30.0  # seconds
CONNECT_INTERVAL = 1.1  # seconds; AWS takes one connect a second of a client id


@dataclass(frozen=True)
class Boot:
    """Seconds from exec, and CPU seconds of the process from start to stop."""

    connected: float
    acknowledged: float
    cpu: float


Marks = tuple[Callable[[], bool], ...]
# Command, where its output goes, marks: as ``boot``.
Run = Callable[[list[str], Path, Marks], Boot]


def boot(
    command: list[str],
    output: Path,
    marks: Marks,
    meanwhile: Callable[[], None] | None = None,
) -> Boot:
    """Start a command, note when each mark is reached, do something while it runs, stop it."""
    with output.open("wb") as file:
        began = time.perf_counter()
        child = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
    moments = []
    for reached in marks:
        while not reached():
            if time.perf_counter() - began > LIMIT:
                child.kill()
                sys.exit(f"{' '.join(command)}\nnever came so far:\n{output.read_text()}")
            time.sleep(0.001)
        moments.append(time.perf_counter() - began)
    if meanwhile is not None:
        meanwhile()
    child.send_signal(signal.SIGTERM)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    return Boot(moments[0], moments[1], usage.ru_utime + usage.ru_stime)


def agent(bench: Bench, run: Run = boot) -> Callable[[], Boot]:
    """A device with an identity, a subscription and one source; its boots."""
    bench.agent("device")
    state = bench.home / "device"
    endpoint, port, ca_file = bench.where
    config = bench.home / "config.yaml"
    config.write_text(
        f"endpoint: {endpoint}\nport: {port}\nca_file: {ca_file}\nstate_dir: {state}\n"
        'subscriptions: [{topic: "cmd/{thing}/#"}]\n'
        'telemetry: {topic: "dt/{thing}/{source}", sources: [{system: {interval: 1h}}]}\n'
    )
    return lambda: run_agent(config, state, bench.home / "agent.out", run)


def run_agent(config: Path, state: Path, output: Path, run: Run = boot) -> Boot:
    """``fleet-agent run``, to its first acknowledged reading."""
    status = state / "run/status.json"
    status.unlink(missing_ok=True)
    return run(
        ["fleet-agent", "run", "--config", str(config), "--allow-volatile"],
        output,
        (is_said(output, b"connected to "), lambda: _is_acknowledged(status)),
    )


def is_said(output: Path, words: bytes) -> Callable[[], bool]:
    """Whether a command has said that."""
    return lambda: words in output.read_bytes()


def _is_acknowledged(status: Path) -> bool:
    try:
        return bool(json.loads(status.read_bytes())["readings_acknowledged"])
    except (OSError, ValueError):
        return False


def peer(bench: Bench, run: Run = boot) -> Callable[[], Boot]:
    """The same device, served by AWS's sample."""
    current = bench.home / "device/credentials/current"
    registration = json.loads((current / "registration.json").read_text())
    pair = (str(current / "certificate.pem.crt"), str(current / "private.pem.key"))
    script = str(ROOT / "benchmarks/sdk_pubsub.py")
    command = [sys.executable, script, *bench.where, *pair, registration["thing_name"]]
    output = bench.home / "peer.out"
    return lambda: run(
        command, output, (is_said(output, b"connected"), is_said(output, b"acknowledged"))
    )


def compare(ways: dict[str, Callable[[], Boot]], rounds: int) -> None:
    """Boot in each way in each round, in another order each time; print medians, spread and ratios."""
    found: dict[str, list[Boot]] = {name: [] for name in ways}
    before = os.getloadavg()[0]
    for number in range(rounds + 1):
        for name in random.sample(sorted(ways), len(ways)):
            sample = ways[name]()
            time.sleep(CONNECT_INTERVAL)
            if number > 0:  # the first round warms the file cache
                found[name].append(sample)
    after = os.getloadavg()[0]
    noisy = ", noisy" if max(before, after) > NOISY else ""
    print(f"second boot, {rounds} rounds, load {before:.1f} before, {after:.1f} after{noisy}")
    for what in ("connected", "acknowledged", "cpu"):
        theirs = statistics.median(getattr(one, what) for one in found[PEER])
        for name, samples in found.items():
            values = sorted(getattr(one, what) for one in samples)
            median = statistics.median(values)
            spread = f"{values[0]:.3f} to {values[-1]:.3f}"
            print(f"  {what:<14}{name:<36}{median:8.3f} s{median / theirs:7.2f}  {spread}")


def where_it_goes() -> None:
    """Print what each room's imports take of a boot's start, in milliseconds of wall time."""
    command = [
        sys.executable,
        "-X",
        "importtime",
        "-c",
        "import fleet_agent.cli.run, fleet_agent.daemon.start, fleet_agent.daemon.composition",
    ]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    rooms: dict[str, float] = defaultdict(float)
    for own, name in re.findall(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)", told):
        parts = name.split(".")
        room = (
            ".".join(parts[:2])
            if parts[0] == "fleet_agent"
            else "awscrt"
            if "awscrt" in name
            else "Python's own"
        )
        rooms[room] += int(own) / 1000
    print("imports, by room (with the clock of -X importtime, which slows them)")
    for room, milliseconds in sorted(rooms.items(), key=lambda item: -item[1])[:16]:
        print(f"  {room:<36}{milliseconds:8.1f} ms")


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(prog="benchmarks/boot --bare", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, metavar="N")
    rounds = parser.parse_args().rounds
    home = Path(tempfile.mkdtemp(prefix="fleet-agent-bench-", dir="/var/tmp"))
    try:
        with launch(home / "sandbox") as sandbox:
            bench = set_up(sandbox, home)
            compare({AGENT: agent(bench), PEER: peer(bench)}, rounds)
            where_it_goes()
    finally:
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
