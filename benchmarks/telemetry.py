"""Readings through the agent against a bare awscrt QoS 1 loop, over mutual TLS to one mosquitto, in shuffled rounds.

Then what it writes to a card at a few readings a second, and what it costs while it has little to do. With options: the
packets of the longest keep-alive (``--battery``), and memory over many readings, connections and orders (``--memory``).
"""

import argparse
import dataclasses
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import flash, flat, idle
from benchmarks.provision import NOISY
from benchmarks.running import ROOT, SIZE, Running, send

from support.mosquitto import Mosquitto
from support.provisioned import Device

SMALL = 25  # bytes of a reading of the last row
LIMITED = 300  # messages of the bare loop where AWS's limit of 100 a second holds it

PEER = "bare awscrt loop, flow control off"
LIMITED_PEER = "bare awscrt loop, AWS's limits"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Figures:
    """Of one run: readings a second, CPU microseconds and bytes written to disk a reading."""

    rate: float
    cpu: float
    written: float | None


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="benchmarks/telemetry", description=__doc__)
    parser.add_argument("--readings", type=int, default=20_000, metavar="N")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="0: none")
    parser.add_argument("--flash", type=float, default=120.0, metavar="SECONDS", help="0: not")
    parser.add_argument("--idle", type=float, default=120.0, metavar="SECONDS", help="0: not")
    parser.add_argument(
        "--battery",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help=f"count packets; more than {idle.LONGEST_KEEP_ALIVE} to see any",
    )
    flat.add_arguments(parser)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fleet-telemetry-", dir="/var/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        broker = Mosquitto(folder / "broker")
        devices = [
            broker.make_device(folder / f"bench{number}", f"bench{number}")
            for number in range(len(flash.WAYS))
        ]
        broker.start()
        try:
            measure(broker, devices, arguments)
        finally:
            broker.stop()


def measure(broker: Mosquitto, devices: list[Device], arguments: argparse.Namespace) -> None:
    """All of it."""
    if arguments.rounds:
        rounds(broker, devices[0], arguments.readings, arguments.rounds)
    if arguments.flash:
        flash.measure(broker, devices, arguments.flash)
    if arguments.idle:
        idle.idle(broker, devices, arguments.idle)
    if arguments.battery:
        idle.battery(broker, devices[0], arguments.battery)
    if arguments.memory:
        flat.measure(broker, devices[0], devices[1], arguments)


def rounds(broker: Mosquitto, device: Device, count: int, number: int) -> None:
    """Each way once a round, in another order each time; print medians, spread, ratios to the round's own peer."""
    off = {"limits": {"publishes": 0, "bytes": "0B"}}
    gzip = {"batch": {"gzip": True, "max_bytes": "128KiB"}}
    singly = {**off, "batch": {"format": "none"}}

    def bare(count: int, *, flow: bool) -> Callable[[], Figures]:
        return lambda: bare_loop(broker, device, count, flow=flow)

    def ours(count: int, telemetry: dict[str, Any], size: int = SIZE) -> Callable[[], Figures]:
        return lambda: agent(broker, device, count, telemetry, size)

    ways = {
        PEER: bare(count, flow=False),
        "agent, durable, flow control off, a message a reading": ours(count, singly),
        "agent, durable, flow control off, in batches": ours(count, off),
        LIMITED_PEER: bare(LIMITED, flow=True),
        "agent, durable, AWS's limits, in batches": ours(count, {}),
        "agent, durable, AWS's limits, compressed batches": ours(count * 4, gzip),
        f"agent, durable, AWS's limits, batches of {SMALL} bytes": ours(count * 4, {}, SMALL),
    }
    before = os.getloadavg()[0]
    found: dict[str, list[Figures]] = {words: [] for words in ways}
    for _ in range(number):
        for words in random.sample(list(ways), len(ways)):
            found[words].append(ways[words]())
    after = os.getloadavg()[0]
    noisy = " noisy" if max(before, after) > NOISY else ""
    print(
        f"{count} readings of {SIZE} bytes, {number} rounds; load {before:.1f} before, {after:.1f} after:"
        " medians (least to most)"
    )
    peer = found[PEER]
    for words, taken in found.items():
        if words == LIMITED_PEER:
            peer = taken
        show(words, taken, peer, noisy)


def show(words: str, taken: list[Figures], peers: list[Figures], noisy: str) -> None:
    """A row."""
    ratios = [one.rate / peer.rate for one, peer in zip(taken, peers, strict=True)]
    rates = [one.rate for one in taken]
    written = [one.written for one in taken if one.written is not None]
    print(
        f"{words:53} {statistics.median(rates):7.0f}/s ({min(rates):.0f} to {max(rates):.0f})"
        f"  {statistics.median(ratios):6.2f} ({min(ratios):.2f} to {max(ratios):.2f}) of bare{noisy}"
        f"  {statistics.median([one.cpu for one in taken]):4.0f} us CPU"
        + (f"  {statistics.median(written):4.0f} B written a reading" if written else ""),
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


def agent(
    broker: Mosquitto, device: Device, count: int, telemetry: dict[str, Any], size: int
) -> Figures:
    """From the first packet into the socket to the PUBACK of the last reading."""
    running = Running(broker, device, telemetry)
    try:
        cpu, written = running.cpu(), running.written()
        seconds = send(running.socket, count, size)
        return Figures(
            rate=count / seconds,
            cpu=(running.cpu() - cpu) / count * 1e6,
            written=(running.written() - written) / count,
        )
    finally:
        running.end()


if __name__ == "__main__":
    main()
