"""Whole-process time and memory of ``fleet-agent provision`` and ``run``, as ratios to peers in the same run.

The driver stays small: a child's peak memory includes what its parent had when it forked.
"""

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from iot_sandbox.launch import Sandbox, launch

ROOT = Path(__file__).resolve().parent.parent
FLEET = "bench"
SETTLE = 4.0  # seconds after which a session's memory no longer moves

Sample = tuple[float, float]  # seconds, peak memory in MB


@dataclass(frozen=True)
class Bench:
    """One sandbox, one claim, one place for state directories."""

    sandbox: Sandbox
    home: Path

    @property
    def claim(self) -> tuple[str, str]:
        """Certificate and key files of the claim."""
        folder = self.home / "claim"
        return str(folder / "claim.certificate.pem.crt"), str(folder / "claim.private.pem.key")

    @property
    def where(self) -> tuple[str, str, str]:
        """Endpoint, port and CA file."""
        return self.sandbox.endpoint, str(self.sandbox.mqtt_port), str(self.sandbox.ca_file)

    def agent(self, serial: str, *more: str) -> Sample:
        """``fleet-agent provision``: key made, everything stored, identity proven."""
        endpoint, port, ca_file = self.where
        certificate, key = self.claim
        return measured([
            "fleet-agent", "provision", "--endpoint", endpoint, "--port", port, "--ca-file", ca_file,
            "--cert", certificate, "--key", key, "--template-name", FLEET,
            "--template-parameters", json.dumps({"SerialNumber": serial}),
            "--state-dir", str(self.home / serial), "--json", "--allow-volatile", *more,
        ])  # fmt: skip

    def sample(self, serial: str) -> Sample:
        """The SDK's sample flow."""
        script = str(ROOT / "benchmarks/sdk_sample.py")
        return measured([sys.executable, script, *self.where, *self.claim, FLEET, serial])


def measured(command: list[str]) -> Sample:
    """Run a command to its end; whole-process wall time and peak resident memory."""
    began = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    said = child.stderr.read() if child.stderr else b""
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - began
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        sys.exit(f"{' '.join(command)}\nended with {child.returncode}:\n{said.decode()}")
    return seconds, usage.ru_maxrss / 1024


def set_up(sandbox: Sandbox, home: Path) -> Bench:
    """A fleet and a claim, by fleet-cloud."""
    os.environ.update(sandbox.environment)
    cloud = str(ROOT / "scripts/fleet-cloud")
    for words in (["up"], ["claim", "new", "--out", str(home / "claim")]):
        command = [sys.executable, cloud, *words, "--name", FLEET]
        subprocess.run(command, check=True, capture_output=True)
    return Bench(sandbox, home)


def provisioning(bench: Bench, rounds: int) -> None:
    """Alternate agent and sample; print medians and ratios."""
    ways = {
        "fleet-agent, csr": bench.agent,
        "fleet-agent, keys": lambda serial: bench.agent(serial, "--method", "keys"),
        "SDK sample, keys": bench.sample,
    }
    samples: dict[str, list[Sample]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for position, (name, way) in enumerate(ways.items()):
            sample = way(f"n{number}w{position}")
            if number > 0:  # the first round warms the file cache
                samples[name].append(sample)
    medians = {
        name: (statistics.median(s for s, _ in all_), statistics.median(m for _, m in all_))
        for name, all_ in samples.items()
    }
    peer_seconds, peer_memory = medians["SDK sample, keys"]
    print(f"provisioning, medians of {rounds} rounds      seconds  ratio   peak MB  ratio")
    for name, (seconds, memory) in medians.items():
        print(
            f"  {name:<40}{seconds:8.3f}{seconds / peer_seconds:7.2f}{memory:10.1f}{memory / peer_memory:7.2f}"
        )


def resident(process: int) -> tuple[float, float]:
    """Resident and proportional memory of a process, in MB."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    kilobytes = {line.split(":")[0]: line.split()[1] for line in lines[1:]}
    return int(kilobytes["Rss"]) / 1024, int(kilobytes["Pss"]) / 1024


def daemon(bench: Bench) -> None:
    """Steady memory of ``run`` and of a bare session under the same identity, one after the other."""
    endpoint, port, ca_file = bench.where
    bench.agent("daemon")
    state = bench.home / "daemon"
    config = bench.home / "config.yaml"
    config.write_text(
        f"endpoint: {endpoint}\nport: {port}\nca_file: {ca_file}\nstate_dir: {state}\n"
        'subscriptions: [{topic: "cmd/{thing}/#"}]\n'
    )
    current = state / "credentials/current"
    registration = json.loads((current / "registration.json").read_text())
    pair = (str(current / "certificate.pem.crt"), str(current / "private.pem.key"))
    bare = str(ROOT / "benchmarks/bare_session.py")
    commands = {
        "fleet-agent run": ["fleet-agent", "run", "--config", str(config), "--allow-volatile"],
        "bare awscrt session": [
            sys.executable, bare, *bench.where, *pair, str(registration["thing_name"]),
        ],
    }  # fmt: skip
    found = {}
    for name, command in commands.items():
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(SETTLE)
        found[name] = resident(child.pid)
        child.send_signal(signal.SIGTERM)
        child.wait()
        time.sleep(1.1)  # AWS takes one connect a second of a client id
    peer = found["bare awscrt session"]
    print("steady memory                               RSS MB  ratio    PSS MB  ratio")
    for name, (rss, pss) in found.items():
        print(f"  {name:<40}{rss:8.1f}{rss / peer[0]:7.2f}{pss:10.1f}{pss / peer[1]:7.2f}")


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(prog="benchmarks/provision", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, metavar="N")
    rounds = parser.parse_args().rounds
    # Not in /tmp, which may lie in memory: fsync is part of what is measured.
    home = Path(tempfile.mkdtemp(prefix="fleet-agent-bench-", dir="/var/tmp"))
    try:
        with launch(home / "sandbox") as sandbox:
            bench = set_up(sandbox, home)
            provisioning(bench, rounds)
            daemon(bench)
    finally:
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
