"""An agent as a process beside a broker, what it has used so far, and a program that sends it readings."""

import contextlib
import json
import os
import random
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from support.mosquitto import Mosquitto
from support.provisioned import Device

ROOT = Path(__file__).resolve().parent.parent

SIZE = 200  # bytes of a reading as a program writes it; without blanks, as it goes up, 169
IN_FLIGHT = 512  # packets that a client sends ahead of their answers


class Running:
    """The agent; what it shows goes to memory, as that of the service does.

    Args:
        broker: Where it connects.
        device: Whose identity it has.
        telemetry: The section of its configuration.
        more: Other sections.
    """

    def __init__(
        self,
        broker: Mosquitto,
        device: Device,
        telemetry: dict[str, Any],
        more: dict[str, Any] | None = None,
    ) -> None:
        config = device.state_dir.with_suffix(".yaml")
        runtime = Path("/dev/shm") / f"fleet-{os.getpid()}-{device.thing_name}"
        wanted = {
            "endpoint": "localhost",
            "port": broker.port,
            "ca_file": str(broker.ca_file),
            "state_dir": str(device.state_dir),
            "telemetry": {"sources": [{"socket": {"group": None}}], **telemetry},
            **(more or {}),
        }
        config.write_text(json.dumps(wanted))
        words = [sys.executable, "-m", "fleet_agent", "run", "--config", str(config)]
        words += ["--runtime-dir", str(runtime)]
        self._status = runtime / "status.json"
        self.socket = runtime / "telemetry.sock"
        self._port = broker.port
        began = time.time()
        self.process = subprocess.Popen(words, stderr=subprocess.DEVNULL)
        while self._status.stat().st_mtime < began if self._status.exists() else True:
            time.sleep(0.05)
        while "connected as" not in str(self.status["doing"]):
            time.sleep(0.05)
        has_socket = any("socket" in source for source in wanted["telemetry"]["sources"])
        while has_socket and not self.socket.exists():
            time.sleep(0.05)

    @property
    def status(self) -> dict[str, Any]:
        """What it shows."""
        found: dict[str, Any] = json.loads(self._status.read_text())
        return found

    def cpu(self) -> float:
        """Seconds so far, all threads."""
        texts = [task.read_text() for task in self._tasks("schedstat")]
        return sum(int(text.split()[0]) for text in texts) / 1e9

    def written(self) -> int:
        """Bytes so far to what is below the files: what it dirtied, in pages of 4 KiB."""
        text = Path(f"/proc/{self.process.pid}/io").read_text()
        return int(text.partition("\nwrite_bytes: ")[2].split()[0])

    def wakeups(self) -> int:
        """Voluntary context switches so far, all threads."""
        return sum(
            int(task.read_text().partition("\nvoluntary_ctxt_switches:")[2].split()[0])
            for task in self._tasks("status")
        )

    def memory(self) -> tuple[float, float]:
        """RSS and PSS in MiB."""
        text = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text()
        rss, pss = (
            int(text.partition(f"\n{name}:")[2].split()[0]) / 1024 for name in ("Rss", "Pss")
        )
        return rss, pss

    def packets(self) -> tuple[int, int]:
        """TCP segments of its connection so far: out and in, bare acknowledgements among them."""
        found = subprocess.run(
            ["ss", "-Htinp", "dport", "=", f":{self._port}"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        mine = next(text for text in found.split("ESTAB") if f"pid={self.process.pid}," in text)
        counts = dict(re.findall(r"(segs_out|segs_in):(\d+)", mine))
        return int(counts["segs_out"]), int(counts["segs_in"])

    def end(self) -> None:
        """Stop it."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)
        shutil.rmtree(self._status.parent)

    def _tasks(self, name: str) -> list[Path]:
        return [task / name for task in Path(f"/proc/{self.process.pid}/task").iterdir()]


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


def send(path: Path, count: int, size: int, rate: float | None = None) -> float:
    """Readings with their answers in flight; the last one waits for its PUBACK, which is the last of its topic.

    Args:
        path: The agent's socket.
        count: How many.
        size: Bytes of each.
        rate: How many a second, evenly; None: as fast as they are taken.

    Returns:
        Seconds that it took.
    """
    packets = [b'{"payload": %s}' % one for one in payloads(size)]
    packets = [packets[number % len(packets)] for number in range(count - 1)]
    packets.append(b'{"payload": 0, "wait": true}')
    ahead = IN_FLIGHT if rate is None else IN_FLIGHT + 2 * int(rate)
    began, sent, answers = time.monotonic(), 0, 0
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        client.connect(str(path))
        client.setblocking(False)
        while answers <= count:
            passed = time.monotonic() - began
            end = min(count, answers + ahead, count if rate is None else int(passed * rate) + 1)
            is_early = rate is not None and sent == end < count
            wait = max(0.0, sent / rate - passed) if rate is not None and is_early else None
            to_write = [client] if sent < end else []
            readable, writable, _ = select.select([client], to_write, [], wait)
            if readable:
                answers += _heard(client)
            if writable:
                sent += _sent(client, packets[sent:end])
    return time.monotonic() - began


def _sent(client: socket.socket, packets: list[bytes]) -> int:
    for number, packet in enumerate(packets):
        try:
            client.send(packet)
        except BlockingIOError:
            return number
    return len(packets)


def _heard(client: socket.socket) -> int:
    number = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            answer = client.recv(4096)
            assert answer.startswith((b'{"ok": true', b'{"acknowledged": true')), answer
            number += 1
    return number
