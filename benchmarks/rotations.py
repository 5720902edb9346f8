"""Memory over many rotations: one agent beside a sandbox, asked by SIGUSR1 as soon as the last one has ended."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.provision import FLEET, ROOT, resident, set_up

from iot_sandbox.launch import launch

LIMIT = 60.0  # seconds that one may take
FIRST = 10  # after which memory is looked at first


def main(words: list[str]) -> None:
    """Rotate and print."""
    count = int(words[0])
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
        state = home / "device"
        endpoint, port, ca_file = bench.where
        certificate, key = bench.claim
        config = home / "config.yaml"
        config.write_text(
            f"endpoint: {endpoint}\nport: {port}\nca_file: {ca_file}\nstate_dir: {state}\n"
            f"claim: {{certificate: {certificate}, private_key: {key}}}\n"
            f"provisioning: {{template: {FLEET}, parameters: {{SerialNumber: device}}}}\n"
        )
        command = ["fleet-agent", "run", "--config", str(config), "--allow-volatile"]
        with (home / "output").open("wb") as output:
            agent = subprocess.Popen(command, stderr=output)
        try:
            rotate(agent.pid, state, count, home / "output")
        finally:
            agent.send_signal(signal.SIGTERM)
            agent.wait()


def rotate(process: int, state: Path, count: int, output: Path) -> None:
    """Ask, and see to it that another certificate is in use."""
    while b"connected to " not in output.read_bytes():
        time.sleep(0.1)
    for number in range(1, count + 1):
        before, began = _certificate(state), time.monotonic()
        os.kill(process, signal.SIGUSR1)
        while _certificate(state) == before:
            if time.monotonic() - began > LIMIT:
                sys.exit(f"rotation {number} never ended:\n{output.read_text()[-2000:]}")
            time.sleep(0.05)
        if number in (min(FIRST, count), count // 2, count):
            time.sleep(2.0)
            rss, pss = resident(process)
            print(f"after {number} rotations: RSS {rss:.1f} MiB, PSS {pss:.1f} MiB", flush=True)


def _certificate(state: Path) -> bytes:
    return (state / "credentials/current/certificate.pem.crt").read_bytes()


if __name__ == "__main__":
    main(sys.argv[1:])
