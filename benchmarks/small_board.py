"""A small board: first boot, second boot and 100 readings a second with little of a core and little memory.

Beside AWS's samples under the same limits. What would run on the board is in a control group, a new one each time,
which says what it used; the local AWS IoT Core is not. Before each run the machine's file cache is dropped: what is
read from the disk is read by the board, and counts as its memory, all but what another process has mapped as well
(Python's own library, since the local AWS IoT Core has it). Times are from exec. As root.
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
from dataclasses import dataclass
from pathlib import Path

from benchmarks import processes, second_boot, table
from benchmarks.control_group import CannotLimitError, ControlGroup
from benchmarks.processes import LIMIT, Boot, Marks, is_said
from benchmarks.provision import CONNECT_INTERVAL, FLEET, ROOT, Bench, set_up
from benchmarks.running import SIZE, payloads, send
from benchmarks.table import Figure, Load

from iot_sandbox.launch import launch

RATE = 100  # readings a second
FIRST_AGENT = "first boot, fleet-agent run"
FIRST_PEER = "first boot, SDK sample's whole flow"
SECOND_AGENT = "second boot, fleet-agent run"
SECOND_PEER = "second boot, SDK's publish/subscribe sample"


@dataclass(frozen=True)
class Board:
    """Runs commands as a small board would."""

    core: float
    memory: int

    def group(self) -> ControlGroup:
        """What limits it."""
        return ControlGroup(f"fleet-board-{os.getpid()}", self.core, self.memory)

    def run(
        self,
        command: list[str],
        output: Path,
        marks: Marks,
        meanwhile: Callable[[], None] | None = None,
    ) -> Boot:
        """``processes.boot`` in a group, whose CPU and memory are the boot's."""
        drop_caches()
        with self.group() as group:
            limit = LIMIT / min(1.0, self.core)
            found = processes.boot(group.command(command), output, marks, meanwhile, limit)
            if group.killed:
                print(f"  ended for want of memory: {group.killed}", flush=True)
            peak = float("nan") if group.peak is None else group.peak
            return Boot(found.connected, found.acknowledged, group.cpu, peak)


def drop_caches() -> None:
    """Have whatever is read next come from the disk."""
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3")


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
    done = is_said(output, serial.encode())
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


def boots(bench: Bench, board: Board, rounds: int, load: Load) -> None:
    """First and second boots, in another order each round; print medians, spread and ratios."""
    ways: dict[str, Callable[[str], Boot]] = {
        FIRST_AGENT: functools.partial(first_boot, bench, board),
        FIRST_PEER: functools.partial(sample_flow, bench, board),
        SECOND_AGENT: lambda _: second_agent(),
        SECOND_PEER: lambda _: second_peer(),
    }
    second_agent = second_boot.agent(bench, board.run)
    second_peer = second_boot.peer(bench, board.run)
    found: dict[str, list[Boot]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for position in random.sample(range(len(ways)), len(ways)):
            name = list(ways)[position]
            boot = ways[name](f"board{number}-{position}")
            if number > 0:  # as everywhere: the first round is for what is done once
                found[name].append(boot)
            time.sleep(CONNECT_INTERVAL)
    limits = f"{board.core:.0%} of a core, {board.memory} MB"
    print(f"{limits}, {rounds} rounds, {load}")
    for agent, peer in ((FIRST_AGENT, FIRST_PEER), (SECOND_AGENT, SECOND_PEER)):
        aims = {SECOND_AGENT: second_boot.AIM}
        figures = [*second_boot.figures(aims), Figure[Boot]("peak, MB", lambda one: one.memory, 1)]
        table.compare({name: found[name] for name in (agent, peer)}, peer, figures, load)


def readings(bench: Bench, board: Board, seconds: int) -> None:
    """100 readings a second into the socket; print how long the last of each second took to be acknowledged."""
    took: list[float] = []
    given = payloads(SIZE)

    def feed() -> None:
        for _ in range(seconds):
            began = time.monotonic()
            send(bench.home / "device/run/telemetry.sock", RATE, given)
            took.append(time.monotonic() - began)
            time.sleep(max(0.0, 1 - took[-1]))

    config = configuration(bench, "device")
    state, output = bench.home / "device", bench.home / "readings.out"
    boot = second_boot.run_agent(
        config, state, output, functools.partial(board.run, meanwhile=feed)
    )
    print(f"{RATE} readings of {SIZE} bytes a second for {seconds} s")
    print(
        f"    acknowledged after {statistics.median(took):.2f} s ({max(took):.2f} s at most), "
        f"{boot.cpu:.2f} s of CPU with the start, peak {boot.memory:.1f} MB"
    )


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="benchmarks/small-board", description=__doc__, epilog=table.EXPLAINED
    )
    add = parser.add_argument
    add("--core", type=float, default=0.1, metavar="SHARE", help="of one core (0.1)")
    add("--memory", type=int, default=64, metavar="MB", help="for program and file cache (64)")
    add("--rounds", type=int, default=5, metavar="N", help="of boots (5)")
    add("--seconds", type=int, default=30, metavar="N", help="of readings (30)")
    arguments = parser.parse_args()
    load = Load()
    board = Board(arguments.core, arguments.memory)
    try:
        with board.group() as group:
            group.try_out()
            if group.peak is None:
                print("peak: nan, since Linux says so from 5.19 on")
    except CannotLimitError as error:
        print(f"skipped: no control group can be made here: {error}")
        return 0
    with tempfile.TemporaryDirectory(prefix="fleet-board-", dir="/var/tmp") as name:
        home = Path(name)
        with launch(home / "sandbox") as sandbox:
            bench = set_up(sandbox, home)
            boots(bench, board, arguments.rounds, load)
            readings(bench, board, arguments.seconds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
