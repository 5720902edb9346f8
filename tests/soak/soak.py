"""Readings of several programs through the agent to mosquitto, while the broker is restarted and the agent killed.

Every reading that the agent acknowledged must arrive; the first arrivals of each topic must be in order. The broker is
stopped with SIGTERM: with kill -9 it would lose what it had acknowledged, which is not the agent's to prevent.
"""

import argparse
import collections
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

from awscrt import io, mqtt5

from support.mosquitto import Device, Mosquitto

ROOT = Path(__file__).resolve().parent.parent.parent

PROGRAMS = 4  # each with a topic and a connection of its own
# Packets that a program sends before it reads the answers: fewer than the socket holds answers of.
WINDOW = 128
QUIET = 120.0  # seconds without an arrival after which it is given up


@dataclasses.dataclass(kw_only=True)
class Figures:
    """What a soak found."""

    readings: int
    seconds: float = 0.0
    messages: int = 0
    duplicates: int = 0
    out_of_order: int = 0
    missing: int = 0
    kills: int = 0
    restarts: int = 0
    refused: list[str] = dataclasses.field(default_factory=list)


class Program(threading.Thread):
    """Sends numbered readings to one topic, in order; after a lost connection from the first unanswered one on."""

    def __init__(self, path: Path, topic: str, count: int) -> None:
        super().__init__(daemon=True)
        self.topic = topic
        self.count = count
        self.acknowledged = 0
        self.refused: list[str] = []
        self._path = path

    def run(self) -> None:
        while self.acknowledged < self.count and not self.refused:
            try:
                with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
                    client.connect(str(self._path))
                    self._send(client)
            except OSError:
                time.sleep(0.02)

    def _send(self, client: socket.socket) -> None:
        following = self.acknowledged
        while self.acknowledged < self.count:
            while following < min(self.count, self.acknowledged + WINDOW):
                client.send(b'{"topic": "%s", "payload": %d}' % (self.topic.encode(), following))
                following += 1
            answer = client.recv(4096)
            if not answer:
                return
            if answer != b'{"ok": true}':
                self.refused.append(answer.decode())
                return
            self.acknowledged += 1


class Subscriber:
    """Counts arrivals; keeps its session over the broker's restarts."""

    def __init__(self, broker: Mosquitto, device: Device, programs: list[Program]) -> None:
        self.figures = Figures(readings=sum(one.count for one in programs))
        self.last_arrival = time.monotonic()
        self._seen = {one.topic: bytearray(one.count) for one in programs}
        self._last = dict.fromkeys(self._seen, -1)
        subscribed = threading.Event()
        options = io.TlsContextOptions.create_client_with_mtls(
            device.certificate.read_bytes(), device.private_key.read_bytes()
        )
        options.override_default_trust_store(broker.ca_file.read_bytes())
        self.client = mqtt5.Client(
            mqtt5.ClientOptions(
                host_name="localhost",
                port=broker.port,
                tls_ctx=io.ClientTlsContext(options),
                connect_options=mqtt5.ConnectPacket(
                    client_id=device.thing_name, session_expiry_interval_sec=3600
                ),
                session_behavior=mqtt5.ClientSessionBehaviorType.REJOIN_ALWAYS,
                min_reconnect_delay_ms=200,
                max_reconnect_delay_ms=1000,
                on_publish_callback_fn=self._arrived,
                on_lifecycle_event_connection_success_fn=lambda _data: subscribed.set(),
                disable_metrics=True,
            )
        )
        self.client.start()
        assert subscribed.wait(30)
        wanted = mqtt5.Subscription("dt/#", mqtt5.QoS.AT_LEAST_ONCE)
        self.client.subscribe(mqtt5.SubscribePacket([wanted])).result(30)

    def _arrived(self, data: Any) -> None:
        packet = data.publish_packet
        seen, last = self._seen[packet.topic], self._last[packet.topic]
        found = json.loads(packet.payload)
        figures = self.figures
        figures.messages += 1
        for number in found if isinstance(found, list) else [found]:
            if seen[number]:
                figures.duplicates += 1
                continue
            seen[number] = 1
            if number < last:
                figures.out_of_order += 1
            last = max(last, number)
        self._last[packet.topic] = last
        self.last_arrival = time.monotonic()

    @property
    def missing(self) -> int:
        """Readings that have not arrived."""
        return self.figures.readings - sum(map(sum, self._seen.values()))


class Soak:
    """One run.

    Args:
        folder: Gets everything.
        readings: How many.
        seed: Chooses the moments.
        kills: Of the agent, with -9.
        restarts: Of the broker.
    """

    def __init__(self, folder: Path, readings: int, seed: int, kills: int, restarts: int) -> None:
        self._folder = folder
        self._chance = random.Random(seed)
        moments = [(self._chance.randrange(readings), self._kill) for _ in range(kills)]
        moments += [(self._chance.randrange(readings), self._restart) for _ in range(restarts)]
        self._moments = collections.deque(sorted(moments, key=lambda one: one[0]))

        self._broker = Mosquitto(folder / "broker")
        self._device = self._broker.make_device(folder / "state", "soak")
        listener = self._broker.make_device(folder / "listener", "listener")
        self._broker.start()
        path = folder / "state" / "run" / "telemetry.sock"
        self._programs = [
            Program(path, f"dt/soak/{number}", readings // PROGRAMS) for number in range(PROGRAMS)
        ]
        self._subscriber = Subscriber(self._broker, listener, self._programs)
        self._agent = self._start()

    def run(self) -> Figures:
        """Do it all."""
        figures = self._subscriber.figures
        began = time.monotonic()
        for program in self._programs:
            program.start()
        while any(program.is_alive() for program in self._programs):
            acknowledged = sum(program.acknowledged for program in self._programs)
            if self._moments and acknowledged >= self._moments[0][0]:
                time.sleep(self._chance.random() * 0.2)
                self._moments.popleft()[1](figures)
            assert self._agent.poll() is None, f"the agent ended: see {self._folder}/agent.log"
            time.sleep(0.005)
        self._subscriber.last_arrival = time.monotonic()
        while (
            self._subscriber.missing and time.monotonic() < self._subscriber.last_arrival + QUIET
        ):
            time.sleep(0.1)
        figures.seconds = time.monotonic() - began
        figures.missing = self._subscriber.missing
        figures.refused = [words for program in self._programs for words in program.refused]
        return figures

    def close(self) -> None:
        """Leave nothing running."""
        self._subscriber.client.stop()
        self._agent.send_signal(signal.SIGTERM)
        self._agent.wait(60)
        self._broker.stop()

    def _start(self) -> "subprocess.Popen[bytes]":
        config = self._folder / "config.yaml"
        wanted = {
            "endpoint": "localhost",
            "port": self._broker.port,
            "ca_file": str(self._broker.ca_file),
            "state_dir": str(self._device.state_dir),
            "telemetry": {
                "sources": [{"socket": {}}],
                "queue": {"max_messages": 10_000_000, "max_bytes": "1GiB"},
                "limits": {"publishes": 0, "bytes": "0B"},
            },
        }
        config.write_text(json.dumps(wanted))
        words = [sys.executable, "-m", "fleet_agent", "run", "--config", str(config)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "agent")}
        with (self._folder / "agent.log").open("ab") as log:
            return subprocess.Popen([*words, "--allow-volatile"], env=environment, stderr=log)

    def _kill(self, figures: Figures) -> None:
        self._agent.kill()
        self._agent.wait()
        self._agent = self._start()
        figures.kills += 1

    def _restart(self, figures: Figures) -> None:
        self._broker.stop()
        time.sleep(self._chance.random() * 0.5)
        self._broker.start()
        figures.restarts += 1


def say(words: str) -> None:
    """A line of the answer."""
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


def main() -> int:
    """Run one and print what it found."""
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__)
    parser.add_argument("--readings", type=int, default=1_000_000, metavar="N")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), metavar="S")
    parser.add_argument("--kills", type=int, default=10, metavar="N", help="of the agent, with -9")
    parser.add_argument("--restarts", type=int, default=10, metavar="N", help="of the broker")
    arguments = parser.parse_args()
    say(f"{arguments.readings} readings, seed {arguments.seed}")
    with tempfile.TemporaryDirectory(prefix="fleet-soak-", dir="/var/tmp") as name:
        soak = Soak(
            Path(name), arguments.readings, arguments.seed, arguments.kills, arguments.restarts
        )
        try:
            found = soak.run()
        finally:
            soak.close()
    say(json.dumps(dataclasses.asdict(found)))
    say(f"{found.readings / found.seconds:.0f} readings a second; load {os.getloadavg()[0]:.1f}")
    return 1 if found.missing or found.out_of_order or found.refused else 0


if __name__ == "__main__":
    sys.exit(main())
