"""Where a second boot's time goes, from exec to the connection: interpreter, imports, configuration, state, TLS, MQTT.

The parts of real boots, and in other boots what each module's import takes, with the clock of ``-X importtime``, which
slows it.
"""

import functools
import re
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from benchmarks import processes
from benchmarks.processes import Boot, Marks
from benchmarks.provision import CONNECT_INTERVAL, ROOT, Bench

from fleet_agent.credentials.pair import read_pair
from fleet_agent.session import probe
from fleet_agent.session.route import Route

ROUNDS = 5
LEAST = 0.001  # seconds of an import that has a row of its own
BESIDE = "(beside) "
# The fork's imports are not part of the daemon's.
IMPORTS = (
    "import os; "
    "os.register_at_fork(after_in_child=lambda: os.dup2(os.open(os.devnull, os.O_WRONLY), 2)); "
    "from fleet_agent.__main__ import main; main()"
)

# Runs ``fleet-agent run`` in its own way.
RunAgent = Callable[[Callable[[list[str], Path, Marks], Boot]], Boot]


def show(bench: Bench, run_agent: RunAgent) -> None:
    """Print it."""
    marks = bench.home / "marks"
    rounds: list[dict[str, float]] = []
    for _ in range(ROUNDS):
        marks.unlink(missing_ok=True)
        time.sleep(CONNECT_INTERVAL)
        began = time.monotonic()
        timed = [sys.executable, str(ROOT / "benchmarks/timed_run.py"), str(marks)]
        connected = run_agent(functools.partial(_instead, timed)).connected
        rounds.append(_parts(marks, began, began + connected))
    print(f"where it goes, medians of {ROUNDS} boots, ms")
    parts = {name: statistics.median(one[name] for one in rounds) for name in rounds[-1]}
    for name, seconds in parts.items():
        if not name.startswith(BESIDE):
            _row(name, seconds)
    _row("sum: exec → connected", sum(parts[name] for name in parts if BESIDE not in name))
    print("  beside these, on the SDK's thread")
    to_connack = parts[f"{BESIDE}CONNACK"]
    _row("session's start → CONNACK", to_connack)
    steps = _steps(bench)
    for stage, seconds in steps.items():
        _row(f"  {stage} (session.probe, by itself)", seconds)
    _row("  CONNACK, and what is left", to_connack - sum(steps.values()))
    _imports(bench, run_agent)


def _row(name: str, seconds: float) -> None:
    print(f"    {name:<54}{seconds * 1000:10.1f}", flush=True)


def _instead(program: list[str], command: list[str], output: Path, marks: Marks) -> Boot:
    """Boot with something in the place of ``fleet-agent``."""
    return processes.boot([*program, *command[1:]], output, marks)


def _parts(marks: Path, began: float, connected: float) -> dict[str, float]:
    """Seconds of each part; each begins where the one before is over."""
    found: dict[str, float] = {}
    last = began
    lines = [line.split("\t") for line in marks.read_text().splitlines()]
    for moment, name in sorted((float(text), name) for text, name in lines):
        if name.startswith(BESIDE):
            found[name] = moment
            continue
        found[name] = moment - last
        last = moment
    found["waiting for CONNACK, and the line in the log"] = connected - last
    at = {name: float(text) for text, name in lines}
    found[f"{BESIDE}CONNACK"] -= at["session: TLS context, start"]
    return found


def _steps(bench: Bench) -> dict[str, float]:
    """Seconds of each step of the way, as Python's sockets and its OpenSSL take them."""
    # Whether the server rejects the certificate afterwards does not matter here.
    probe.ALERT_LIMIT = 0.0
    endpoint, port, ca_file = bench.where
    route = Route(host=endpoint, port=int(port), ca_file=ca_file, proxy=None)
    certificate, key, _ = bench.identity("device")
    pair = read_pair(Path(certificate), Path(key))
    found: dict[str, list[float]] = defaultdict(list)
    for _ in range(ROUNDS):
        last = time.perf_counter()
        for step in probe.steps(route, pair, time.time()):
            now = time.perf_counter()
            found[step.stage.value].append(now - last)
            last = now
    return {stage: statistics.median(taken) for stage, taken in found.items()}


def _imports(bench: Bench, run_agent: RunAgent) -> None:
    taken: dict[str, list[float]] = defaultdict(list)
    program = [sys.executable, "-X", "importtime", "-c", IMPORTS]
    for _ in range(ROUNDS):
        time.sleep(CONNECT_INTERVAL)
        run_agent(functools.partial(_instead, program))
        text = (bench.home / "agent.out").read_text()
        for own, name in re.findall(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)", text):
            taken[name].append(int(own) / 1e6)
    found = sorted(((statistics.median(own), name) for name, own in taken.items()), reverse=True)
    print("  imports of the daemon's own process, each without what it imports itself")
    shown = [one for one in found if one[0] >= LEAST]
    for seconds, name in shown:
        _row(name, seconds)
    left = found[len(shown) :]
    _row(f"{len(left)} others", sum(seconds for seconds, _ in left))
