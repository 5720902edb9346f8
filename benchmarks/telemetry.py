"""Readings through the agent against a bare awscrt QoS 1 loop, over mutual TLS to one mosquitto, in turns.

Rows: flow control off with batches and without, AWS's limits on with batches plain, compressed and of small readings;
then an idle agent, and for --memory-minutes the memory of one that is used.
"""

import argparse
import dataclasses
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "agent"), str(ROOT / "tests")]

from support.mosquitto import Mosquitto  # noqa: E402
from support.provisioned import Device  # noqa: E402

SIZE = 200  # bytes of a reading
IN_FLIGHT = 512  # packets that a client sends ahead of their answers
TICK = os.sysconf("SC_CLK_TCK")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Figures:
    """Of one run: readings a second, CPU microseconds and bytes written to disk a reading."""

    rate: float
    cpu: float
    written: float | None


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readings", type=int, default=20_000)
    parser.add_argument("--idle", type=float, default=60.0, metavar="SECONDS")
    parser.add_argument("--memory-minutes", type=int, default=0, metavar="MINUTES")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fleet-telemetry-", dir="/var/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        broker = Mosquitto(folder / "broker")
        device = broker.make_device(folder / "state", "bench")
        broker.start()
        try:
            measure(broker, device, arguments)
        finally:
            broker.stop()


def measure(broker: Mosquitto, device: Device, arguments: argparse.Namespace) -> None:
    """All rows."""
    count = arguments.readings
    off = {"publishes": 0, "bytes": "0B"}
    print(f"{count} readings of {SIZE} bytes; load {os.getloadavg()[0]:.1f}", flush=True)
    bare = bare_loop(broker, device, count, flow=False)
    show("bare awscrt loop, flow control off", bare, bare)
    for words, batch in (("a message a reading", {"format": "none"}), ("in batches", {})):
        found = agent(broker, device, count, {"limits": off, "batch": batch})
        show(f"agent, durable, flow control off, {words}", found, bare)
    limited = bare_loop(broker, device, 1000, flow=True)
    show("bare awscrt loop, AWS's limits", limited, limited)
    found = agent(broker, device, count, {})
    show("agent, durable, AWS's limits, in batches", found, limited)
    found = agent(broker, device, count * 4, {"batch": {"gzip": True, "max_bytes": "128KiB"}})
    show("agent, durable, AWS's limits, compressed batches", found, limited)
    found = agent(broker, device, count * 4, {}, size=25)
    show("agent, durable, AWS's limits, batches of 25 bytes", found, limited)
    idle(broker, device, arguments.idle)
    memory(broker, device, arguments.memory_minutes)


def show(words: str, found: Figures, peer: Figures) -> None:
    """A row."""
    written = "" if found.written is None else f"  {found.written:7.0f} B written a reading"
    print(
        f"{words:52} {found.rate:8.0f}/s  {found.rate / peer.rate:6.2f} of bare"
        f"  {found.cpu:6.0f} us CPU a reading{written}",
        flush=True,
    )


def bare_loop(broker: Mosquitto, device: Device, count: int, *, flow: bool) -> Figures:
    """The peer."""
    words = [
        *(sys.executable, str(ROOT / "benchmarks" / "bare_publisher.py"), "localhost"),
        *(str(broker.port), str(broker.ca_file), str(device.certificate)),
        *(str(device.private_key), device.thing_name, str(count), str(SIZE), str(int(flow))),
    ]
    found = json.loads(subprocess.run(words, check=True, capture_output=True).stdout)
    cpu = found["cpu"] / count * 1e6
    return Figures(rate=count / found["seconds"], cpu=cpu, written=None)


class Running:
    """The agent as a process."""

    def __init__(self, broker: Mosquitto, device: Device, telemetry: dict[str, Any]) -> None:
        config = device.state_dir.with_name("config.yaml")
        wanted = {
            "endpoint": "localhost",
            "port": broker.port,
            "ca_file": str(broker.ca_file),
            "state_dir": str(device.state_dir),
            "telemetry": {"sources": [{"socket": {"group": None}}], **telemetry},
        }
        config.write_text(json.dumps(wanted))
        words = [sys.executable, "-m", "fleet_agent", "run", "--config", str(config)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "agent")}
        self.process = subprocess.Popen(words, env=environment, stderr=subprocess.DEVNULL)
        self._status = device.state_dir / "run" / "status.json"
        self.socket = device.state_dir / "run" / "telemetry.sock"
        began = time.time()
        while self._status.stat().st_mtime < began if self._status.exists() else True:
            time.sleep(0.05)
        while not (self.socket.exists() and "connected as" in str(self.status["doing"])):
            time.sleep(0.05)

    @property
    def status(self) -> dict[str, Any]:
        """What it shows."""
        found: dict[str, Any] = json.loads(self._status.read_text())
        return found

    def cpu(self) -> float:
        """Seconds so far, all threads."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def written(self) -> int:
        """Bytes to the disk so far."""
        lines = Path(f"/proc/{self.process.pid}/io").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("write_bytes")).split()[1])

    def wakeups(self) -> int:
        """Voluntary context switches so far, all threads."""
        return sum(
            int(line.split()[1])
            for task in Path(f"/proc/{self.process.pid}/task").iterdir()
            for line in (task / "status").read_text().splitlines()
            if line.startswith("voluntary_ctxt_switches")
        )

    def memory(self) -> int:
        """PSS in KiB."""
        text = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text()
        return int(next(line for line in text.splitlines() if line.startswith("Pss:")).split()[1])

    def end(self) -> None:
        """Stop it."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)


def agent(
    broker: Mosquitto, device: Device, count: int, telemetry: dict[str, Any], size: int = SIZE
) -> Figures:
    """From the first packet into the socket to the PUBACK of the last reading."""
    running = Running(broker, device, telemetry)
    try:
        cpu, written = running.cpu(), running.written()
        began = time.monotonic()
        send(running.socket, count, size)
        ended = time.monotonic()
        return Figures(
            rate=count / (ended - began),
            cpu=(running.cpu() - cpu) / count * 1e6,
            written=(running.written() - written) / count,
        )
    finally:
        running.end()


def payloads(size: int) -> list[bytes]:
    """JSON of about that many bytes: names that come again, numbers that do not."""
    chance = random.Random(1)
    found = []
    for number in range(1000):
        value: dict[str, float] = {"n": number}
        while len(json.dumps(value)) + 16 < size:
            value[f"sensor{len(value)}"] = round(chance.gauss(20, 5), 2)
        found.append(json.dumps(value).encode())
    return found


def send(path: Path, count: int, size: int) -> None:
    """Readings with their answers in flight; the last one waits for its PUBACK, which is the last of its topic."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        client.connect(str(path))
        packets = [b'{"payload": %s}' % one for one in payloads(size)]
        last = b'{"payload": 0, "wait": true}'
        free = threading.Semaphore(IN_FLIGHT)
        answers = count + 1

        def read() -> None:
            for _ in range(answers):
                answer = client.recv(4096)
                assert answer.startswith((b'{"ok": true', b'{"acknowledged": true')), answer
                free.release()

        reader = threading.Thread(target=read)
        reader.start()
        for number in range(count):
            free.acquire()
            client.send(packets[number % 1000] if number < count - 1 else last)
        reader.join()


def idle(broker: Mosquitto, device: Device, seconds: float) -> None:
    """What an agent costs that has a reading of the system a minute."""
    if not seconds:
        return
    running = Running(
        broker, device, {"sources": [{"system": {"interval": "60s"}}, {"socket": {}}]}
    )
    try:
        time.sleep(2)
        cpu, wakeups, began = running.cpu(), running.wakeups(), time.monotonic()
        time.sleep(seconds)
        passed = time.monotonic() - began
        print(
            f"idle over {passed:.0f} s: {(running.wakeups() - wakeups) / passed:.2f} wake-ups a second, "
            f"{(running.cpu() - cpu) / passed * 60_000:.0f} ms CPU a minute, PSS {running.memory() / 1024:.1f} MiB"
        )
    finally:
        running.end()


def memory(broker: Mosquitto, device: Device, minutes: int) -> None:
    """Of an agent that carries 500 readings a second."""
    if not minutes:
        return
    running = Running(broker, device, {})
    try:
        for minute in range(minutes + 1):
            print(f"memory after {minute} min: PSS {running.memory() / 1024:.1f} MiB", flush=True)
            until = time.monotonic() + 60
            while minute < minutes and time.monotonic() < until:
                began = time.monotonic()
                send(running.socket, 500, SIZE)
                time.sleep(max(0.0, began + 1 - time.monotonic()))
    finally:
        running.end()


if __name__ == "__main__":
    main()
