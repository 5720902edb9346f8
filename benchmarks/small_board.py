"""A small board: first boot, second boot and 100 readings a second with little of a core and little memory.

Beside AWS's samples under the same limits. What would run on the board is in a control group, a new one each time,
which says what it used; the local AWS IoT Core is not. Times are from exec. As root.
"""

import argparse
import functools
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import second_boot
from benchmarks.control_group import CannotLimitError, ControlGroup
from benchmarks.provision import FLEET, NOISY, ROOT, Bench, set_up
from benchmarks.running import SIZE, send
from benchmarks.second_boot import CONNECT_INTERVAL, Boot, Marks

from iot_sandbox.launch import launch

RATE = 100  # readings a second


class Board:
    """Runs commands as a small board would, and keeps what they used."""

    def __init__(self, core: float, memory: int) -> None:
        self._group = functools.partial(ControlGroup, core=core, memory=memory)
        self.peaks: list[float] = []
        self.killed = 0

    def run(
        self,
        command: list[str],
        output: Path,
        marks: Marks,
        meanwhile: Callable[[], None] | None = None,
    ) -> Boot:
        """``second_boot.boot`` in a group."""
        with self._group(f"fleet-board-{os.getpid()}") as group:
            found = second_boot.boot(group.command(command), output, marks, meanwhile)
            self.peaks.append(group.peak)
            self.killed += group.killed
            return Boot(found.connected, found.acknowledged, group.cpu)


def first_boot(bench: Bench, board: Board, serial: str) -> Boot:
    """The agent on a device without an identity."""
    certificate, key = bench.claim
    config = configuration(
        bench,
        serial,
        f"claim: {{certificate: {certificate}, private_key: {key}}}\n"
        f"provisioning: {{template: {FLEET}, parameters: {{SerialNumber: {serial}}}}}\n",
    )
    return second_boot.run_agent(config, bench.home / serial, bench.home / "first.out", board.run)


def sample_flow(bench: Bench, board: Board, serial: str) -> Boot:
    """AWS's sample of provisioning and a first session: to its end."""
    output = bench.home / "sample.out"
    command = [sys.executable, str(ROOT / "benchmarks/sdk_sample.py"), *bench.where, *bench.claim]
    # It prints the thing's name and ends.
    done = second_boot.is_said(output, serial.encode())
    return board.run([*command, FLEET, serial], output, (done, done))


def configuration(bench: Bench, serial: str, more: str = "") -> Path:
    """Of a device with readings from a socket and of the system."""
    endpoint, port, ca_file = bench.where
    config = bench.home / f"{serial}.yaml"
    config.write_text(
        f"endpoint: {endpoint}\nport: {port}\nca_file: {ca_file}\nstate_dir: {bench.home / serial}\n"
        'subscriptions: [{topic: "cmd/{thing}/#"}]\n'
        "telemetry: {sources: [{system: {interval: 1h}}, {socket: {group: null}}]}\n" + more
    )
    return config


def boots(bench: Bench, board: Board, rounds: int) -> None:
    """First and second boots, in another order each round; print medians, spread and ratios."""
    ways: dict[str, Callable[[str], Boot]] = {
        "first boot, fleet-agent run": functools.partial(first_boot, bench, board),
        "first boot, SDK sample's whole flow": functools.partial(sample_flow, bench, board),
        "second boot, fleet-agent run": lambda _: second_agent(),
        "second boot, SDK's publish/subscribe sample": lambda _: second_peer(),
    }
    second_agent = second_boot.agent(bench, board.run)
    second_peer = second_boot.peer(bench, board.run)
    found: dict[str, list[tuple[Boot, float]]] = {name: [] for name in ways}
    for number in range(rounds):
        for position in random.sample(range(len(ways)), len(ways)):
            name = list(ways)[position]
            boot = ways[name](f"board{number}-{position}")
            found[name].append((boot, board.peaks[-1]))
            time.sleep(CONNECT_INTERVAL)
    print(f"  {'median of':<46}{'connected':>10}{'acknowledged':>14}{'CPU s':>8}{'peak MB':>9}")
    for name, taken in found.items():
        print(
            f"  {name:<46}{statistics.median(one.connected for one, _ in taken):10.2f}"
            f"{statistics.median(one.acknowledged for one, _ in taken):14.2f}"
            f"{statistics.median(one.cpu for one, _ in taken):8.2f}"
            f"{statistics.median(peak for _, peak in taken):9.1f}"
        )


def readings(bench: Bench, board: Board, seconds: int) -> None:
    """100 readings a second into the socket; print how long the last of each second took to be acknowledged."""
    took: list[float] = []

    def feed() -> None:
        for _ in range(seconds):
            began = time.monotonic()
            send(bench.home / "device/run/telemetry.sock", RATE, SIZE)
            took.append(time.monotonic() - began)
            time.sleep(max(0.0, 1 - took[-1]))

    config = configuration(bench, "device")
    state, output = bench.home / "device", bench.home / "readings.out"
    boot = second_boot.run_agent(
        config, state, output, functools.partial(board.run, meanwhile=feed)
    )
    print(f"  {RATE} readings of {SIZE} bytes a second for {seconds} s")
    print(
        f"    acknowledged after {statistics.median(took):.2f} s ({max(took):.2f} s at most), "
        f"{boot.cpu:.2f} s of CPU with the start, peak {board.peaks[-1]:.1f} MB"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="benchmarks/small-board", description=__doc__)
    parser.add_argument("--core", type=float, default=0.1, metavar="SHARE", help="of one core")
    parser.add_argument("--memory", type=int, default=64, metavar="MB")
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    parser.add_argument("--seconds", type=int, default=30, metavar="N")
    arguments = parser.parse_args()
    board = Board(arguments.core, arguments.memory)
    with tempfile.TemporaryDirectory(prefix="fleet-board-", dir="/var/tmp") as name:
        home = Path(name)
        with launch(home / "sandbox") as sandbox:
            bench = set_up(sandbox, home)
            load = os.getloadavg()[0]
            noisy = ", noisy" if load > NOISY else ""
            limits = f"{arguments.core:.0%} of a core, {arguments.memory} MB"
            print(f"{limits}, {arguments.rounds} rounds, load {load:.1f}{noisy}")
            try:
                boots(bench, board, arguments.rounds)
                readings(bench, board, arguments.seconds)
            except CannotLimitError as error:
                sys.exit(f"skipped: no control group can be made here: {error}")
            print(f"  ended for want of memory: {board.killed}")


if __name__ == "__main__":
    main()
