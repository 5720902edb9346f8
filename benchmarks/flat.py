"""Memory over years of use, the time compressed by load: readings, orders and connections."""

import argparse
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.running import SIZE, Running, send

from soak.bursts import Cloud, Place
from support.mosquitto import Mosquitto
from support.provisioned import Device

POINTS = 10  # at which memory is looked at, after the beginning
SETTLE = 2.0  # seconds before each look
LIMIT = 30.0  # seconds that a session has to connect again


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What can be chosen."""
    add = parser.add_argument
    add("--memory", action="store_true", help="print memory over what the next three say")
    add("--used-readings", type=int, default=10_000_000, metavar="N")
    add("--used-orders", type=int, default=1000, metavar="N")
    add("--used-connections", type=int, default=1000, metavar="N")


def measure(
    broker: Mosquitto, device: Device, operator: Device, arguments: argparse.Namespace
) -> None:
    """Print memory at the beginning, on the way and at the end, of one agent and of a session that reconnects."""
    orders = device.state_dir.with_name("orders")
    orders.mkdir()
    more: dict[str, Any] = {
        "subscriptions": [
            {
                "topic": "cmd/{thing}/file/+",
                "name": "file",
                "log": False,
                "file": {"path": f"{orders}/{{1}}"},
                "deduplicate": "payload:id",
            }
        ]
    }
    agent = Running(broker, device, {"limits": {"publishes": 0, "bytes": "0B"}}, more)
    try:
        send(agent.socket, 1000, SIZE)
        _show(agent, "at the beginning")
        part = arguments.used_readings // POINTS
        for number in range(1, POINTS + 1):
            began = time.monotonic()
            send(agent.socket, part, SIZE)
            rate = part / (time.monotonic() - began)
            _show(agent, f"after {number * part} readings, {rate:.0f}/s")
        place = Place(
            port=broker.port,
            ca_file=broker.ca_file,
            state_dir=device.state_dir,
            thing_name=device.thing_name,
            operator=operator,
        )
        cloud = Cloud(place, device.thing_name)
        part = arguments.used_orders // 2
        for half in (1, 2):
            cloud.send([f"file/{half}-{number}" for number in range(part)])
            while len(list(orders.iterdir())) < half * part:
                time.sleep(0.2)
            _show(agent, f"after {half * part} orders")
    finally:
        agent.end()
    words = [sys.executable, "-m", "benchmarks.flat", str(broker.port), str(broker.ca_file)]
    words += [str(device.certificate), str(device.private_key), device.thing_name]
    subprocess.run([*words, str(arguments.used_connections)], check=True)


def _show(agent: Running, words: str) -> None:
    time.sleep(SETTLE)
    rss, pss = agent.memory()
    print(f"  {words}: RSS {rss:.1f} MiB, PSS {pss:.1f} MiB", flush=True)


def connections(words: list[str]) -> None:
    """A session of the agent's that connects again and again; prints the process's memory."""
    from fleet_agent.clock import SystemClock
    from fleet_agent.credentials.pair import read_pair
    from fleet_agent.mailbox import Mailbox
    from fleet_agent.session.events import Connected
    from fleet_agent.session.mqtt import Session
    from fleet_agent.session.route import Route

    port, ca_file, certificate, key, name, count = words
    clock = SystemClock()
    mailbox = Mailbox(clock)
    route = Route(host="localhost", port=int(port), ca_file=ca_file, proxy=None)
    pair = read_pair(Path(certificate), Path(key))
    session = Session(route, pair, name, mailbox, is_thing=True)
    session.start()
    number = int(count)
    for made in range(number + 1):
        until = clock.monotonic() + LIMIT
        while not isinstance(mailbox.wait(until), Connected):
            assert clock.monotonic() < until, "it does not connect"
        if made in (min(10, number), number // 2, number):
            text = Path("/proc/self/smaps_rollup").read_text()
            rss, pss = (
                int(text.partition(f"\n{n}:")[2].split()[0]) / 1024 for n in ("Rss", "Pss")
            )
            print(
                f"  a session after {made} reconnects: RSS {rss:.1f} MiB, PSS {pss:.1f} MiB",
                flush=True,
            )
        session.reconnect()
    session.close()


if __name__ == "__main__":
    connections(sys.argv[1:])
