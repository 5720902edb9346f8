"""Memory of one agent over years of use, the time compressed by load, at ten moments on the way.

readings: as fast as they are taken; at one a second ten million are 116 days. orders: messages from the cloud, written
to files, none twice. reconnects: the network ends the connection of the daemon; only the SDK's wait before the next is
shorter than a device's. rotations: another certificate by the claim beside the local AWS IoT Core, two seconds each.
"""

import argparse
import functools
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import debian, rotations
from benchmarks.running import ROOT, SIZE, Running, payloads, send
from benchmarks.used import Used

from soak.bursts import Cloud, Target
from support.mosquitto import Mosquitto
from support.provisioned import Device
from support.wire import Wire

POINTS = 10  # at which memory is looked at, after the beginning
SETTLE = 2.0  # seconds before each look
PATIENCE = 600.0  # seconds for the orders of a part
UNLIMITED = {"limits": {"publishes": 0, "bytes": "0B"}}
ON_A_CONNECTION = 10  # readings
CONNECTED = b"connected to "


def readings(broker: Mosquitto, device: Device, _operator: Device, count: int) -> None:
    """Memory over readings."""
    agent = Running(broker, device, UNLIMITED)
    given = payloads(SIZE)
    try:
        send(agent.socket, 1000, given)
        at_points(agent.used, count, lambda part: send(agent.socket, part, given), "readings")
    finally:
        agent.end()


def orders(broker: Mosquitto, device: Device, operator: Device, count: int) -> None:
    """Memory over messages that are handled."""
    folder = device.state_dir.with_name("orders")
    folder.mkdir()
    subscription = {
        "topic": "cmd/{thing}/file/+",
        "name": "file",
        "log": False,
        "file": {"path": f"{folder}/{{1}}"},
        "deduplicate": "payload:id",
    }
    agent = Running(broker, device, {}, {"subscriptions": [subscription]})
    target = Target(
        port=broker.port,
        ca_file=broker.ca_file,
        state_dir=device.state_dir,
        thing_name=device.thing_name,
        operator=operator,
    )
    cloud = Cloud(target, device.thing_name)
    made = 0

    def order(part: int) -> None:
        nonlocal made
        cloud.send([f"file/{made + number}" for number in range(part)])
        made += part
        agent.until(lambda: len(list(folder.iterdir())) >= made, f"{made} orders", limit=PATIENCE)

    try:
        at_points(agent.used, count, order, "orders")
    finally:
        agent.end()


def reconnects(broker: Mosquitto, device: Device, _operator: Device, count: int) -> None:
    """Memory over connections that the network ends; on each some readings go up."""
    given = payloads(SIZE)
    with Wire(broker.port) as wire:
        program = [str(ROOT / "benchmarks/hurried_agent.py")]
        agent = Running(broker, device, {}, {"port": wire.port}, program)

        def cut(part: int) -> None:
            for _ in range(part):
                send(agent.socket, ON_A_CONNECTION, given)
                connections = agent.said(CONNECTED)
                wire.cut()
                is_again = functools.partial(_is_said_more, agent, connections)
                agent.until(is_again, "connected again")

        try:
            at_points(agent.used, count, cut, "reconnects")
        finally:
            agent.end()


def _is_said_more(agent: Running, often: int) -> bool:
    return agent.said(CONNECTED) > often


def at_points(used: Used, count: int, use: Callable[[int], object], what: str) -> None:
    """Print memory at the beginning, and after each of so many equal parts."""
    points = min(POINTS, count)
    show(used, "at the beginning")
    for number in range(1, points + 1):
        done, upto = (count * each // points for each in (number - 1, number))
        began = time.monotonic()
        use(upto - done)
        rate = (upto - done) / (time.monotonic() - began)
        show(used, f"after {upto:,} {what}, {rate:,.1f}/s")


def show(used: Used, words: str) -> None:
    """Print memory now."""
    time.sleep(SETTLE)
    rss, pss = used.memory()
    print(f"  {words:<44} RSS {rss:.1f} MiB, PSS {pss:.1f} MiB", flush=True)


WAYS = {"readings": readings, "orders": orders, "reconnects": reconnects}
COUNTS = {"readings": 10_000_000, "orders": 1000, "reconnects": 1000, "rotations": 1000}


def main() -> None:
    """Use it and print."""
    parser = argparse.ArgumentParser(prog="benchmarks/flat", description=__doc__)
    parser.add_argument("what", choices=COUNTS, help="what it is used for")
    parser.add_argument(
        "--count", type=int, metavar="N", help="how often (10,000,000 readings, 1,000 others)"
    )
    arguments = parser.parse_args()
    count = arguments.count or COUNTS[arguments.what]
    print(f"{count:,} {arguments.what}")
    if arguments.what == "rotations":
        rotations.run(lambda used, use: at_points(used, count, use, "rotations"))
        return
    debian.install("mosquitto")
    with tempfile.TemporaryDirectory(prefix="fleet-flat-", dir="/var/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        broker = Mosquitto(folder / "broker")
        device, operator = (
            broker.make_device(folder / one, f"flat-{one}") for one in ("device", "operator")
        )
        broker.start()
        try:
            WAYS[arguments.what](broker, device, operator, count)
        finally:
            broker.stop()


if __name__ == "__main__":
    main()
