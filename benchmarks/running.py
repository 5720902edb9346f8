"""An agent as a process beside a broker, and a program that sends it readings."""

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
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.processes import LIMIT, environment, until
from benchmarks.used import Used

from support.mosquitto import Mosquitto
from support.provisioned import Device

ROOT = Path(__file__).resolve().parent.parent

SIZE = 200  # bytes of a reading, as it goes up
# Seconds without an answer after which none is expected; commits may be a minute apart.
SILENCE = 120.0
IN_FLIGHT = 512  # packets that a client sends ahead of their answers


class Running:
    """The agent; what it shows goes to memory, as that of the service does.

    Args:
        broker: Where it connects.
        device: Whose identity it has.
        telemetry: The section of its configuration.
        more: Other sections.
        program: What Python runs.
    """

    def __init__(
        self,
        broker: Mosquitto,
        device: Device,
        telemetry: dict[str, Any],
        more: dict[str, Any] | None = None,
        program: Sequence[str] = ("-m", "fleet_agent"),
    ) -> None:
        config = device.state_dir.with_suffix(".yaml")
        self._folder = Path("/dev/shm") / f"fleet-{os.getpid()}-{device.thing_name}"
        self._folder.mkdir()
        runtime, self._output = self._folder / "run", self._folder / "output"
        wanted = {
            "endpoint": "localhost",
            "port": broker.port,
            "ca_file": str(broker.ca_file),
            "state_dir": str(device.state_dir),
            "telemetry": {"sources": [{"socket": {"group": None}}], **telemetry},
            **(more or {}),
        }
        config.write_text(json.dumps(wanted))
        words = [sys.executable, *program, "run", "--config", str(config)]
        words += ["--runtime-dir", str(runtime)]
        self._status = runtime / "status.json"
        self.socket = runtime / "telemetry.sock"
        self._port = broker.port
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(words, stderr=output, env=environment())
        self.used = Used(self.process.pid)
        try:
            self.until(lambda: self.status.get("connected") is True, "connected")
            if any("socket" in source for source in wanted["telemetry"]["sources"]):
                self.until(self.socket.exists, "its socket")
        except BaseException:
            self.end()
            raise

    def said(self, words: bytes) -> int:
        """How often it has printed that."""
        return self._output.read_bytes().count(words)

    def until(
        self, reached: Callable[[], bool], what: str, *, limit: float = LIMIT, every: float = 0.05
    ) -> None:
        """Wait for something that it does; as ``processes.until``."""
        until(reached, what, self.process, self._output, limit=limit, every=every)

    @property
    def status(self) -> dict[str, Any]:
        """What it shows; nothing before it does."""
        try:
            found: dict[str, Any] = json.loads(self._status.read_text())
        except FileNotFoundError:
            return {}
        return found

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
        shutil.rmtree(self._folder)


def payloads(size: int) -> list[bytes]:
    """JSON of exactly that many bytes as it goes up: names that come again, measurements that do not, a counter."""
    chance = random.Random(1)
    found = []
    for counter in range(1000):
        text = "{"
        number = 1
        while len(more := f'"sensor{number}":{_value(chance)},') + len(text) <= size - len(
            '"n":1}'
        ):
            text += more
            number += 1
        # With as many digits as are left.
        first = 10 ** (size - len(text) - len('"n":1}'))
        found.append(f'{text}"n":{first + counter % (9 * first)}}}'.encode())
    return found


def _value(chance: random.Random) -> float:
    return round(chance.gauss(20, 5), 2)


def send(path: Path, count: int, given: Sequence[bytes], rate: float | None = None) -> float:
    """Readings with their answers in flight; the last one waits for its PUBACK, which is the last of its topic.

    Args:
        path: The agent's socket.
        count: How many.
        given: What they are, in turn.
        rate: How many a second, evenly; None: as fast as they are taken.

    Returns:
        Seconds that it took.
    """
    packets = [b'{"payload":%s}' % one for one in given]
    packets = [packets[number % len(packets)] for number in range(count - 1)]
    packets.append(b'{"payload":0,"wait":true}')
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
            limit = SILENCE if wait is None else wait
            readable, writable, _ = select.select([client], to_write, [], limit)
            if wait is None and not readable and not writable:
                sys.exit(
                    f"{path}: {answers} of {count} readings answered, then none for {SILENCE:g} s"
                )
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
