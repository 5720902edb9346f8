"""One agent beside a sandbox, asked to rotate by SIGUSR1 as soon as the last rotation has ended."""

import functools
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.processes import environment, is_said, until
from benchmarks.provision import FLEET, ROOT, set_up
from benchmarks.used import Used

from iot_sandbox.launch import launch

LIMIT = 60.0  # seconds that one may take


def run(look: Callable[[Used, Callable[[int], None]], None]) -> None:
    """Have an agent, and something that rotates it so many times, looked at."""
    with (
        tempfile.TemporaryDirectory(prefix="fleet-rotations-", dir="/var/tmp") as name,
        launch(Path(name) / "sandbox") as sandbox,
    ):
        home = Path(name)
        bench = set_up(sandbox, home)
        cloud = [sys.executable, str(ROOT / "scripts/fleet-cloud")]
        up = [*cloud, "up", "--name", FLEET, "--rotation"]
        subprocess.run(up, check=True, capture_output=True)
        bench.agent("device")
        state, output = home / "device", home / "output"
        endpoint, port, ca_file = bench.where
        certificate, key = bench.claim
        config = home / "config.yaml"
        config.write_text(
            f"endpoint: {endpoint}\nport: {port}\nca_file: {ca_file}\nstate_dir: {state}\n"
            f"claim: {{certificate: {certificate}, private_key: {key}}}\n"
            f"provisioning: {{template: {FLEET}, parameters: {{SerialNumber: device}}}}\n"
        )
        command = ["fleet-agent", "run", "--config", str(config), "--allow-volatile"]
        with output.open("wb") as file:
            agent = subprocess.Popen(command, stderr=file, env=environment())
        try:
            until(is_said(output, b"connected to "), "connected", agent, output)
            look(Used(agent.pid), lambda count: _rotate(agent, state, count, output))
        finally:
            agent.send_signal(signal.SIGTERM)
            agent.wait()


def _rotate(agent: "subprocess.Popen[bytes]", state: Path, count: int, output: Path) -> None:
    """Ask, and see to it that another certificate is in use."""
    for _ in range(count):
        differs = functools.partial(_differs, state, _certificate(state))
        os.kill(agent.pid, signal.SIGUSR1)
        until(differs, "another certificate", agent, output, limit=LIMIT)


def _differs(state: Path, certificate: bytes) -> bool:
    return _certificate(state) != certificate


def _certificate(state: Path) -> bytes:
    return (state / "credentials/current/certificate.pem.crt").read_bytes()
