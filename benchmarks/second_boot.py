"""Every boot after the first: exec → connected as the thing → first acknowledged reading, beside the SDK's sample.

Both run on this machine, under one identity, in another order each round. Then where the agent's time goes.
"""

import argparse
import functools
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks import table, where_it_goes
from benchmarks.processes import Boot, Marks, boot, is_said
from benchmarks.provision import CONNECT_INTERVAL, ROOT, Bench, bench
from benchmarks.table import Figure, Load

AGENT = "fleet-agent run"
PEER = "SDK's publish/subscribe sample"
AIM = "<= 0.90"

# Command, where its output goes, marks: as ``boot``.
Run = Callable[[list[str], Path, Marks], Boot]


def figures(aims: Mapping[str, str]) -> list[Figure[Boot]]:
    """What a boot takes, with one aim for all of it."""
    return [
        Figure("exec → connected, s", lambda one: one.connected, aims=aims),
        Figure("exec → first acknowledged reading, s", lambda one: one.acknowledged, aims=aims),
        Figure("CPU, s", lambda one: one.cpu, aims=aims),
    ]


def configure(bench: Bench) -> Path:
    """A device with an identity, a subscription and one source; its configuration, checked as the service does."""
    bench.agent("device")
    endpoint, port, ca_file = bench.where
    config = bench.home / "config.yaml"
    config.write_text(
        f"endpoint: {endpoint}\nport: {port}\nca_file: {ca_file}\nstate_dir: {bench.home / 'device'}\n"
        'subscriptions: [{topic: "cmd/{thing}/#"}]\n'
        'telemetry: {topic: "dt/{thing}/{source}", sources: [{system: {interval: 1h}}]}\n'
    )
    subprocess.run(
        ["fleet-agent", "config", "check", "--keep", "--config", str(config)],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return config


def agent(bench: Bench, run: Run = boot) -> Callable[[], Boot]:
    """The boots of a device with an identity."""
    config = configure(bench)
    return lambda: run_agent(config, bench.home / "device", bench.home / "agent.out", run)


def run_agent(config: Path, state: Path, output: Path, run: Run = boot) -> Boot:
    """``fleet-agent run``, to its first acknowledged reading."""
    status = state / "run/status.json"
    status.unlink(missing_ok=True)
    return run(
        ["fleet-agent", "run", "--config", str(config), "--allow-volatile"],
        output,
        (is_said(output, b"connected to "), lambda: _is_acknowledged(status)),
    )


def _is_acknowledged(status: Path) -> bool:
    try:
        return bool(json.loads(status.read_bytes())["readings_acknowledged"])
    except (OSError, ValueError):
        return False


def peer(bench: Bench, run: Run = boot) -> Callable[[], Boot]:
    """The same device, served by AWS's sample."""
    script = str(ROOT / "benchmarks/sdk_pubsub.py")
    command = [sys.executable, script, *bench.where, *bench.identity("device")]
    output = bench.home / "peer.out"
    return lambda: run(
        command, output, (is_said(output, b"connected"), is_said(output, b"acknowledged"))
    )


def compare(ways: dict[str, Callable[[], Boot]], rounds: int, load: Load) -> None:
    """Boot in each way in each round, in another order each time; print medians, spread and ratios."""
    found: dict[str, list[Boot]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name in random.sample(sorted(ways), len(ways)):
            sample = ways[name]()
            time.sleep(CONNECT_INTERVAL)
            if number > 0:  # the first round warms the file cache
                found[name].append(sample)
    print(f"second boot, {rounds} rounds, {load}")
    table.compare(found, PEER, figures({AGENT: AIM}), load)


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(
        prog="benchmarks/boot --bare", description=__doc__, epilog=table.EXPLAINED
    )
    parser.add_argument("--rounds", type=int, default=15, metavar="N", help="of boots (15)")
    rounds = parser.parse_args().rounds
    load = Load()
    with bench() as found:
        compare({AGENT: agent(found), PEER: peer(found)}, rounds, load)
        home = found.home
        run = functools.partial(
            run_agent, home / "config.yaml", home / "device", home / "agent.out"
        )
        where_it_goes.show(found, run)


if __name__ == "__main__":
    main()
