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
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from awscrt import io, mqtt5

from soak import bursts
from soak.agent import run_agent
from soak.program import Program
from support.mosquitto import Mosquitto
from support.provisioned import Device

PROGRAMS = 4  # each with a topic and a connection of its own
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


class Subscriber:
    """Counts arrivals; keeps its session over the broker's restarts."""

    def __init__(self, broker: Mosquitto, device: Device, programs: list[Program]) -> None:
        self.figures = Figures(readings=sum(program.count for program in programs))
        self.last_arrival = time.monotonic()
        self._seen = {program.topic: bytearray(program.count) for program in programs}
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
        """Does it all."""
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
        # A fast agent comes to its last moments faster than they pass.
        for _, act in self._moments:
            act(figures)
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
        """Leaves nothing running."""
        self._subscriber.client.stop()
        self._agent.send_signal(signal.SIGTERM)
        self._agent.wait(60)
        self._broker.stop()

    def _start(self) -> "subprocess.Popen[bytes]":
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
        return run_agent(self._folder, wanted)

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
    """Runs what is asked for and prints what it found."""
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__)
    parser.add_argument("--readings", type=int, metavar="N", help="1000000; with --bursts 100000")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), metavar="S")
    parser.add_argument("--kills", type=int, default=10, metavar="N", help="of the agent, with -9")
    parser.add_argument("--restarts", type=int, default=10, metavar="N", help="of the broker")
    parser.add_argument(
        "--bursts", action="store_true", help="commands and readings in bursts, instead"
    )
    parser.add_argument("--commands", type=int, default=10_000, metavar="N", help="with --bursts")
    parser.add_argument("--rounds", type=int, default=20, metavar="N", help="with --bursts")
    parser.add_argument("--disturbances", type=int, default=20, metavar="N", help="of a round")
    parser.add_argument("--at", choices=bursts.PLACES, help="with --bursts; else by turns")
    arguments = parser.parse_args()
    return run_bursts(arguments) if arguments.bursts else run_soak(arguments)


def run_soak(arguments: argparse.Namespace) -> int:
    """Readings, with kills and restarts."""
    readings = arguments.readings or 1_000_000
    say(f"{readings} readings, seed {arguments.seed}")
    with tempfile.TemporaryDirectory(prefix="fleet-soak-", dir="/var/tmp") as name:
        soak = Soak(Path(name), readings, arguments.seed, arguments.kills, arguments.restarts)
        try:
            found = soak.run()
        finally:
            soak.close()
    say(json.dumps(dataclasses.asdict(found)))
    say(f"{found.readings / found.seconds:.0f} readings a second; load {os.getloadavg()[0]:.1f}")
    return 1 if found.missing or found.out_of_order or found.refused else 0


def run_bursts(arguments: argparse.Namespace) -> int:
    """Rounds of bursts, each with a seed of its own that follows from the first one."""
    names = [arguments.at] if arguments.at else list(bursts.PLACES)
    bad = 0
    for number in range(arguments.rounds):
        seed, at = arguments.seed + number, names[number % len(names)]
        say(f"round {number + 1}: --rounds 1 --seed {seed} --at {at}")
        with (
            tempfile.TemporaryDirectory(prefix="fleet-bursts-", dir="/var/tmp") as name,
            bursts.PLACES[at](Path(name)) as place,
        ):
            run = bursts.Bursts(
                Path(name),
                place,
                commands=arguments.commands,
                readings=arguments.readings or 100_000,
                seed=seed,
                disturbances=arguments.disturbances,
            )
            try:
                found = run.run()
            finally:
                run.close()
        say(json.dumps(dataclasses.asdict(found)))
        bad += not found.is_good
    say(f"{bad} of {arguments.rounds} rounds lost, repeated or misreported something")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
