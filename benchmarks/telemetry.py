"""Readings through the agent against a bare awscrt QoS 1 loop, over mutual TLS to one mosquitto, in shuffled rounds.

As fast as they are taken, then offered evenly at steady rates (``--paced``). Then what it writes to a card at a few
readings a second, and what it costs while it has little to do. With ``--battery``: the packets of the longest
keep-alive. Sizes are those of a reading as it goes up.
"""

import argparse
import dataclasses
import functools
import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import debian, flash, idle, table
from benchmarks.running import ROOT, SIZE, Running, payloads, send
from benchmarks.table import Figure, Load

from support.mosquitto import Mosquitto
from support.provisioned import Device

SMALL = 25  # bytes of a small reading
LIMITED = 300  # messages of the bare loop where AWS's limit of 100 a second holds it

UNLIMITED = {"limits": {"publishes": 0, "bytes": "0B"}}
GZIP = {"batch": {"gzip": True, "max_bytes": "128KiB"}}

PEER = "bare loop"
SINGLY = "agent, a message a reading"
BATCHES = "agent, batches"
LIMITED_PEER = "bare loop, AWS's limits"
COMPRESSED = "agent, AWS's limits, compressed batches"
SMALL_COMPRESSED = f"agent, AWS's limits, compressed batches of {SMALL} bytes"
# Readings a second, and how they go.
RATES: tuple[tuple[int, dict[str, Any]], ...] = ((11_000, GZIP), (1000, {}), (100, {}))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """What one run of so many readings took: seconds, CPU seconds, bytes written to disk."""

    count: int
    seconds: float
    cpu: float
    written: int = 0


Ways = Mapping[str, Callable[[], Run]]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="benchmarks/telemetry", description=__doc__, epilog=table.EXPLAINED
    )
    add = functools.partial(parser.add_argument, type=float, metavar="SECONDS")
    parser.add_argument(
        "--readings", type=int, default=20_000, metavar="N", help="as fast as they go (20000)"
    )
    parser.add_argument(
        "--rounds", type=int, default=5, metavar="N", help="of all rates (5); 0: none"
    )
    add("--paced", default=5.0, help="of each steady rate, in each round (5); 0: none")
    add("--flash", default=120.0, help="of writing to a card (120; at least ten commits); 0: none")
    add("--idle", default=120.0, help="of having little to do (120); 0: none")
    add(
        "--battery",
        default=0.0,
        help=f"of counting packets (none); more than {idle.LONGEST_KEEP_ALIVE} to see any",
    )
    arguments = parser.parse_args()
    load = Load()
    debian.install("mosquitto", "iproute2", "e2fsprogs")
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
            measure(broker, devices, arguments, load)
        finally:
            broker.stop()


def measure(
    broker: Mosquitto, devices: list[Device], arguments: argparse.Namespace, load: Load
) -> None:
    """All of it."""
    if arguments.rounds:
        fast(broker, devices[0], arguments.readings, arguments.rounds, load)
    if arguments.rounds and arguments.paced:
        paced(broker, devices[0], arguments.paced, arguments.rounds, load)
    if arguments.flash:
        flash.measure(broker, devices, arguments.flash)
    if arguments.idle:
        idle.idle(broker, devices, arguments.idle, load)
    if arguments.battery:
        idle.battery(broker, devices[0], arguments.battery)


def fast(broker: Mosquitto, device: Device, count: int, rounds: int, load: Load) -> None:
    """As fast as they are taken; the agent's readings are durable in each way."""
    bare = functools.partial(bare_loop, broker, device)
    ours = functools.partial(agent, broker, device)
    singly = {**UNLIMITED, "batch": {"format": "none"}}
    free: Ways = {
        PEER: lambda: bare(count),
        SINGLY: lambda: ours(count, singly),
        BATCHES: lambda: ours(count, UNLIMITED),
    }
    limited: Ways = {
        LIMITED_PEER: lambda: bare(LIMITED, flow=True),
        "agent, AWS's limits, batches": lambda: ours(count, {}),
        COMPRESSED: lambda: ours(count * 4, GZIP),
        f"agent, AWS's limits, batches of {SMALL} bytes": lambda: ours(count * 4, {}, SMALL),
        SMALL_COMPRESSED: lambda: ours(count * 4, GZIP, SMALL),
    }
    found = shuffled({**free, **limited}, rounds)
    print(f"{count} readings of {SIZE} bytes, as fast as they are taken, {rounds} rounds, {load}")
    aims = {
        SINGLY: ">= 0.60",
        BATCHES: ">= 1.80",
        COMPRESSED: ">= 11,000/s",
        SMALL_COMPRESSED: ">= 50,000/s",
    }
    figures = [
        Figure[Run]("readings a second", lambda one: one.count / one.seconds, 0, aims),
        Figure[Run](
            "CPU of a reading, us", lambda one: one.cpu / one.count * 1e6, 1, {BATCHES: "<= 30 us"}
        ),
        Figure[Run]("written of a reading, bytes", lambda one: one.written / one.count, 0),
    ]
    for peer, ways in ((PEER, free), (LIMITED_PEER, limited)):
        table.compare({name: found[name] for name in ways}, peer, figures, load)


def paced(broker: Mosquitto, device: Device, seconds: float, rounds: int, load: Load) -> None:
    """Offered evenly, within AWS's limits; the bare loop publishes as many, and keeps to none of them."""
    bare = functools.partial(bare_loop, broker, device)
    ours = functools.partial(agent, broker, device)
    pairs: list[Ways] = []
    for rate, telemetry in RATES:
        count = int(rate * seconds)
        how = "compressed batches" if telemetry else "batches"
        pairs.append({
            f"bare loop, {rate:,}/s": functools.partial(bare, count, rate=rate),
            f"agent, AWS's limits, {how}, {rate:,}/s": functools.partial(
                ours, count, telemetry, rate=rate
            ),
        })  # fmt: skip
    found = shuffled({name: way for pair in pairs for name, way in pair.items()}, rounds)
    print(f"readings of {SIZE} bytes, offered evenly for {seconds:g} s, {rounds} rounds, {load}")
    for (rate, _), pair in zip(RATES, pairs, strict=True):
        peer, mine = pair
        aims = {mine: "<= 0.30 of a core"} if rate == RATES[0][0] else {}
        figures = [
            Figure[Run]("readings a second", lambda one: one.count / one.seconds, 0),
            Figure[Run]("CPU, of a core", lambda one: one.cpu / one.seconds, 3, aims),
        ]
        table.compare({name: found[name] for name in pair}, peer, figures, load)


def shuffled(ways: Ways, rounds: int) -> dict[str, list[Run]]:
    """Each way once a round, in another order each time."""
    found: dict[str, list[Run]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name in random.sample(list(ways), len(ways)):
            found[name].append(ways[name]())
    return found


def bare_loop(
    broker: Mosquitto, device: Device, count: int, *, flow: bool = False, rate: int = 0
) -> Run:
    """The peer; ``flow``: with AWS's limits."""
    words: Sequence[str] = [
        *(sys.executable, str(ROOT / "benchmarks" / "bare_publisher.py"), "localhost"),
        *(str(broker.port), str(broker.ca_file), str(device.certificate)),
        *(str(device.private_key), device.thing_name, str(count), str(SIZE), str(int(flow))),
        str(rate),
    ]
    found = json.loads(subprocess.run(words, check=True, capture_output=True).stdout)
    return Run(count=count, seconds=found["seconds"], cpu=found["cpu"])


def agent(
    broker: Mosquitto,
    device: Device,
    count: int,
    telemetry: dict[str, Any],
    size: int = SIZE,
    rate: int = 0,
) -> Run:
    """From the first packet into the socket to the PUBACK of the last reading."""
    given = payloads(size)
    running = Running(broker, device, telemetry)
    try:
        cpu, written = running.used.cpu(), running.used.written()
        seconds = send(running.socket, count, given, rate or None)
        return Run(
            count=count,
            seconds=seconds,
            cpu=running.used.cpu() - cpu,
            written=running.used.written() - written,
        )
    finally:
        running.end()


if __name__ == "__main__":
    main()
