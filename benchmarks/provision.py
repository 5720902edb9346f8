"""Whole-process time and memory of ``fleet-agent provision`` and ``run``, as ratios to peers in the same run.

The driver stays small: a child's peak memory includes what its parent had when it forked.
"""

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks import table
from benchmarks.processes import boot, is_said, until
from benchmarks.table import Figure, Load
from benchmarks.used import Used

from iot_sandbox.launch import Sandbox, launch

ROOT = Path(__file__).resolve().parent.parent
FLEET = "bench"
CSR = "fleet-agent provision, csr"
KEYS = "fleet-agent provision, keys"
FIRST_BOOT = "fleet-agent run, to the session that stays"
PEER = "SDK sample's whole flow, keys"
DAEMON = "fleet-agent run"
BARE = "bare awscrt session"
SETTLE = 4.0  # seconds after which a session's memory no longer moves
CONNECT_INTERVAL = 1.1  # seconds; AWS takes one connect a second of a client id


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

    def identity(self, serial: str) -> tuple[str, str, str]:
        """Certificate and key files and thing name of a device that is provisioned."""
        current = self.home / serial / "credentials/current"
        registration = json.loads((current / "registration.json").read_text())
        files = (str(current / "certificate.pem.crt"), str(current / "private.pem.key"))
        return *files, str(registration["thing_name"])

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
        output = self.home / "first.out"
        connected = is_said(output, b"connected to ")
        command = ["fleet-agent", "run", "--config", str(config), "--allow-volatile"]
        found = boot(command, output, (connected, connected))
        return Sample(found.connected, found.cpu, found.memory)

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


def provisioning(bench: Bench, rounds: int, load: Load) -> None:
    """Agent and sample in each round, in another order each time; print medians, spread and ratios."""
    ways = {
        CSR: bench.agent,
        KEYS: lambda serial: bench.agent(serial, "--method", "keys"),
        FIRST_BOOT: bench.first_boot,
        PEER: bench.sample,
    }
    found: dict[str, list[Sample]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        order = list(enumerate(ways.items()))
        random.shuffle(order)
        for position, (name, way) in order:
            sample = way(f"n{number}w{position}")
            if number > 0:  # the first round warms the file cache
                found[name].append(sample)
    print(f"provisioning, {rounds} rounds, {load}")
    most = dict.fromkeys((CSR, KEYS), "<= 1.20")
    figures = [
        Figure[Sample](
            "whole process, s", lambda one: one.seconds, aims={CSR: "<= 0.75", KEYS: "<= 0.90"}
        ),
        Figure[Sample]("CPU, s", lambda one: one.cpu),
        Figure[Sample]("peak of the largest process, MB", lambda one: one.memory, 1, most),
    ]
    table.compare(found, PEER, figures, load)


def daemon(bench: Bench, rounds: int, load: Load) -> None:
    """Steady memory of ``run`` and of a bare session under the same identity, in another order each round."""
    endpoint, port, ca_file = bench.where
    bench.agent("daemon")
    config = bench.home / "config.yaml"
    config.write_text(
        f"endpoint: {endpoint}\nport: {port}\nca_file: {ca_file}\nstate_dir: {bench.home / 'daemon'}\n"
        'subscriptions: [{topic: "cmd/{thing}/#"}]\n'
    )
    script = str(ROOT / "benchmarks/bare_session.py")
    commands = {
        DAEMON: ["fleet-agent", "run", "--config", str(config), "--allow-volatile"],
        BARE: [sys.executable, script, *bench.where, *bench.identity("daemon")],
    }
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name in random.sample(sorted(commands), len(commands)):
            found[name].append(steady(commands[name], bench.home / "steady.out"))
            time.sleep(CONNECT_INTERVAL)
    print(f"steady memory, {rounds} rounds, {load}")
    aims = {DAEMON: "<= 1.10"}
    figures = [
        Figure[tuple[float, float]]("RSS, MB", lambda one: one[0], 1, aims),
        Figure[tuple[float, float]]("PSS, MB", lambda one: one[1], 1, aims),
    ]
    table.compare(found, BARE, figures, load)


def steady(command: list[str], output: Path) -> tuple[float, float]:
    """Resident and proportional memory of a session that is connected and has settled."""
    with output.open("wb") as file:
        child = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
    try:
        until(is_said(output, b"connected"), "connected", child, output)
        time.sleep(SETTLE)
        return Used(child.pid).memory()
    finally:
        child.send_signal(signal.SIGTERM)
        child.wait()


@contextlib.contextmanager
def bench() -> Iterator[Bench]:
    """A sandbox with a claim, and a place that goes with it; not in /tmp, which may lie in memory: fsync counts."""
    home = Path(tempfile.mkdtemp(prefix="fleet-agent-bench-", dir="/var/tmp"))
    try:
        with launch(home / "sandbox") as sandbox:
            yield set_up(sandbox, home)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(
        prog="benchmarks/provision", description=__doc__, epilog=table.EXPLAINED
    )
    parser.add_argument("--rounds", type=int, default=15, metavar="N", help="of everything (15)")
    rounds = parser.parse_args().rounds
    load = Load()
    with bench() as found:
        provisioning(found, rounds, load)
        daemon(found, rounds, load)


if __name__ == "__main__":
    main()
