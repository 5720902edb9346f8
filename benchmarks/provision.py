"""Whole-process time and memory of ``fleet-agent provision`` and ``run``, as ratios to peers in the same run.

The driver stays small: a child's peak memory includes what its parent had when it forked.
"""

import argparse
import json
import os
import random
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
PEER = "SDK sample's whole flow, keys"
NOISY = 0.5  # load on two cores above which times say little
SETTLE = 4.0  # seconds after which a session's memory no longer moves


@dataclass(frozen=True)
class Sample:
    """One run: wall seconds, CPU seconds, peak memory of its largest process in MB."""

    seconds: float
    cpu: float
    memory: float


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

    def first_boot(self, serial: str) -> Sample:
        """``fleet-agent run`` on a device without an identity, until the session stands that stays."""
        endpoint, port, ca_file = self.where
        certificate, key = self.claim
        config = self.home / f"{serial}.yaml"
        config.write_text(
            f"endpoint: {endpoint}\nport: {port}\nca_file: {ca_file}\nstate_dir: {self.home / serial}\n"
            f"claim: {{certificate: {certificate}, private_key: {key}}}\n"
            f"provisioning: {{template: {FLEET}, parameters: {{SerialNumber: {serial}}}}}\n"
        )
        began = time.perf_counter()
        child = subprocess.Popen(
            ["fleet-agent", "run", "--config", str(config), "--allow-volatile"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        said = b""
        for line in child.stderr or ():
            said += line
            if line.startswith(b"connected to "):
                break
        seconds = time.perf_counter() - began
        child.send_signal(signal.SIGTERM)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if b"connected to " not in said:
            sys.exit(f"fleet-agent run never connected:\n{said.decode()}")
        return Sample(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)

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
    return Sample(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def set_up(sandbox: Sandbox, home: Path) -> Bench:
    """A fleet and a claim, by fleet-cloud."""
    os.environ.update(sandbox.environment)
    cloud = str(ROOT / "scripts/fleet-cloud")
    for words in (["up"], ["claim", "new", "--out", str(home / "claim")]):
        command = [sys.executable, cloud, *words, "--name", FLEET]
        subprocess.run(command, check=True, capture_output=True)
    return Bench(sandbox, home)


def provisioning(bench: Bench, rounds: int) -> None:
    """Agent and sample in each round, in another order each time; print medians, spread and ratios."""
    ways = {
        "fleet-agent provision, csr": bench.agent,
        "fleet-agent provision, keys": lambda serial: bench.agent(serial, "--method", "keys"),
        "fleet-agent run, to the session that stays": bench.first_boot,
        PEER: bench.sample,
    }
    samples: dict[str, list[Sample]] = {name: [] for name in ways}
    before = os.getloadavg()[0]
    for number in range(rounds + 1):
        order = list(enumerate(ways.items()))
        random.shuffle(order)
        for position, (name, way) in order:
            sample = way(f"n{number}w{position}")
            if number > 0:  # the first round warms the file cache
                samples[name].append(sample)
    after = os.getloadavg()[0]
    noisy = ", noisy" if max(before, after) > NOISY else ""
    print(f"provisioning, {rounds} rounds, load {before:.1f} before, {after:.1f} after{noisy}")
    print(
        f"  {'median of':<44}{'seconds':>8}{'ratio':>7}{'spread':>14}{'CPU s':>8}{'peak MB':>9}{'ratio':>7}"
    )
    peer = samples[PEER]
    for name, found in samples.items():
        seconds = sorted(one.seconds for one in found)
        memory = statistics.median(one.memory for one in found)
        ratio = statistics.median(seconds) / statistics.median(one.seconds for one in peer)
        print(
            f"  {name:<44}{statistics.median(seconds):8.3f}{ratio:7.2f}"
            f"{f'{seconds[0]:.2f} to {seconds[-1]:.2f}':>14}"
            f"{statistics.median(one.cpu for one in found):8.3f}{memory:9.1f}"
            f"{memory / statistics.median(one.memory for one in peer):7.2f}"
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
