"""How long a device takes from the start of its unit, and how much memory its service holds, against peers.

Every round is a new device: a first boot, AWS's provisioning sample in its container, and, in another order each round,
a second boot and one with AWS's publish/subscribe sample as the unit that is enabled. Times are from the start of the
unit's process, as systemd has it.
"""

import argparse
import dataclasses
import json
import os
import random
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import awscrt
from benchmarks import debian, second_boot, table
from benchmarks.processes import Boot
from benchmarks.table import Figure, Load

from boot import machine, roots
from boot.machine import HOST, UNIT, Machine
from boot.network import network
from iot_sandbox.launch import launch
from support.agent import until
from support.fleets import make_fleet

ROOT = Path(__file__).resolve().parent.parent
# The whole SDK: the package's leaves out what the agent does not use.
SDK = "/root/sdk"
CURRENT = "/var/lib/fleet-agent/credentials/current"
FILES = (f"{CURRENT}/certificate.pem.crt", f"{CURRENT}/private.pem.key")
PUBSUB = "pubsub.service"
WANTED = "etc/systemd/system/multi-user.target.wants"
# With the same dependencies as the agent's unit.
PUBSUB_UNIT = """\
[Unit]
Wants=network-online.target
After=network-online.target time-sync.target
[Service]
ExecStart={command}
"""

FIRST, SAMPLE = "first boot, fleet-agent.service", "first boot, SDK sample's whole flow"
SECOND, PEER = "second boot, fleet-agent.service", "second boot, SDK's publish/subscribe sample"
SERVICE, BARE = "fleet-agent.service", "bare awscrt session"


@dataclasses.dataclass(frozen=True)
class First:
    """Seconds since the unit's process was started; what is later than ``connected`` is not on the way there."""

    ready: float
    proven: float
    connected: float
    acknowledged: float


def journal_time(device: Machine, unit: str, words: str) -> float | None:
    """When a unit first said ``words``, in seconds of the clock that never steps."""
    text = device.attempt("journalctl", "-b", "-o", "json", f"_SYSTEMD_UNIT={unit}").stdout
    for entry in map(json.loads, text.splitlines()):
        if str(entry["MESSAGE"]).startswith(words):
            return int(entry["__MONOTONIC_TIMESTAMP"]) / 1e6
    return None


def said(device: Machine, unit: str, words: str) -> float:
    """That, once it has."""
    found = until(lambda: journal_time(device, unit, words), f"{unit}: {words}", 60.0)
    return float(found or 0.0)


def acknowledged(device: Machine) -> float:
    """When AWS first acknowledged a reading: the moment that the status file shows it."""
    leader = until(device.leader, "process 1")
    path = Path(f"/proc/{leader}/root/run/fleet-agent/status.json")

    def seen() -> bool:
        try:
            return bool(json.loads(path.read_text())["readings_acknowledged"])
        except (OSError, ValueError):
            return False

    limit = time.monotonic() + 120
    while not seen():
        if time.monotonic() > limit:
            raise SystemExit(f"no reading was acknowledged\n{device.journal_text()}")
        time.sleep(0.003)
    return time.monotonic()


def started(device: Machine, unit: str) -> float:
    """When systemd started the unit's process, on the same clock."""
    return _number(device, unit, "ExecMainStartTimestampMonotonic") / 1e6


def cpu(device: Machine, unit: str) -> float:
    """Seconds of CPU of the unit so far; where systemd counts none (control groups of version 1), of its process."""
    counted = device.run("systemctl", "show", "-P", "CPUUsageNSec", unit).strip()
    if counted.isdigit():
        return int(counted) / 1e9
    process = _number(device, unit, "MainPID")
    threads = device.run("sh", "-c", f"cat /proc/{process}/task/*/schedstat")
    fields = device.run("cat", f"/proc/{process}/stat").rpartition(")")[2].split()
    of_children = (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")
    return sum(int(line.split()[0]) for line in threads.splitlines()) / 1e9 + of_children


def _number(device: Machine, unit: str, name: str) -> int:
    return int(device.run("systemctl", "show", "-P", name, unit))


def first_boot(device: Machine) -> First:
    """Switch a device on that has no identity."""
    device.switch_on()
    at = acknowledged(device)
    device.wait_connected()
    began = started(device, UNIT)
    return First(
        ready=_number(device, UNIT, "ActiveEnterTimestampMonotonic") / 1e6 - began,
        proven=said(device, UNIT, "proven") - began,
        connected=said(device, UNIT, "connected to") - began,
        acknowledged=at - began,
    )


def second(device: Machine) -> Boot:
    """Switch it on once more."""
    device.switch_on()
    at = acknowledged(device)
    used = cpu(device, UNIT)
    began = started(device, UNIT)
    connected = said(device, UNIT, "connected to") - began
    device.cut_power()
    return Boot(connected, at - began, used, 0.0)


def pubsub(device: Machine) -> Boot:
    """Switch it on with AWS's sample in the agent's place."""
    command = peer(device, "sdk_pubsub.py", *FILES, device.thing_name)
    command[0] = "/usr/bin/env"
    device.write(f"etc/systemd/system/{PUBSUB}", PUBSUB_UNIT.format(command=" ".join(command)))
    wanted = device.root / WANTED
    agent = wanted / UNIT
    unit = agent.readlink()
    agent.unlink()
    (wanted / PUBSUB).symlink_to(f"/etc/systemd/system/{PUBSUB}")
    device.switch_on()
    at = said(device, PUBSUB, "acknowledged")
    used = cpu(device, PUBSUB)
    began = started(device, PUBSUB)
    connected = said(device, PUBSUB, "connected") - began
    device.cut_power()
    (wanted / PUBSUB).unlink()
    agent.symlink_to(unit)
    return Boot(connected, at - began, used, 0.0)


def peer(device: Machine, script: str, *words: str) -> list[str]:
    """The command of a peer in a device's container, on an SDK of its own."""
    if not (device.root / SDK[1:]).exists():
        (device.root / SDK[1:]).mkdir()
        site = Path(awscrt.__file__).parents[1]
        for part in (*site.glob("aws*"), *site.glob("_awscrt*")):
            copy = shutil.copytree if part.is_dir() else shutil.copy
            copy(part, device.root / SDK[1:] / part.name)
    shutil.copy(ROOT / "benchmarks" / script, device.root / "root" / script)
    where = (HOST, str(device.fleet.sandbox.mqtt_port), "/etc/fleet-agent/ca.pem")
    return ["env", f"PYTHONPATH={SDK}", "python3", f"/root/{script}", *where, *words]


def sample(device: Machine) -> First:
    """Seconds that AWS's sample flow takes there, as a whole process."""
    claim = device.fleet.claim
    names = [
        f"/etc/fleet-agent/claim/{file.name}" for file in (claim.certificate, claim.private_key)
    ]
    command = peer(device, "sdk_sample.py", *names, device.fleet.template, f"{device.serial}peer")
    device.run(*command)  # once for its bytecode
    began = time.monotonic()
    device.run(*command[:-1], f"{device.serial}peer2")
    passed = time.monotonic() - began
    return First(passed, passed, passed, passed)


def pss(device: Machine, pid: str) -> float:
    """Megabytes of a process in a device's container, shared pages divided among their users."""
    found = re.search(
        r"^Pss:\s+(\d+) kB", device.run("cat", f"/proc/{pid}/smaps_rollup"), re.MULTILINE
    )
    if found is None:
        raise SystemExit("no Pss in smaps_rollup")
    return int(found[1]) / 1024


@contextmanager
def bare_session(device: Machine) -> Iterator[str]:
    """A bare client with the device's own credential, in place of its service; returns the process id."""
    command = peer(device, "bare_session.py", *FILES, device.thing_name)
    device.run("systemctl", "stop", UNIT)
    device.run("systemd-run", "--unit=bare", *command)
    try:
        until(lambda: "connected" in device.run("journalctl", "-u", "bare"), "the bare session")
        yield device.run("systemctl", "show", "-P", "MainPID", "bare").strip()
    finally:
        device.attempt("systemctl", "stop", "bare")


def show(first: dict[str, list[First]], later: dict[str, list[Boot]], load: Load) -> None:
    """Print both tables."""
    print(f"booted containers, {len(first[FIRST])} rounds, {load}")
    ready, proven = (
        statistics.median(getattr(one, name) for one in first[FIRST])
        for name in ("ready", "proven")
    )
    print(f"  first boot: READY after {ready:.3f} s, proven after {proven:.3f} s")
    figures = [
        Figure[First]("unit → connected, s", lambda one: one.connected),
        Figure[First]("unit → first acknowledged reading, s", lambda one: one.acknowledged),
    ]
    table.compare(first, SAMPLE, figures, load)
    table.compare(later, PEER, second_boot.figures({SECOND: second_boot.AIM}), load)


def memory(device: Machine, minutes: float, load: Load) -> None:
    """Print the service's after so many minutes beside a bare client's."""
    device.switch_on()
    device.wait_connected()
    time.sleep(minutes * 60)
    ours = pss(device, device.show()["MainPID"])
    with bare_session(device) as pid:
        time.sleep(10)
        theirs = pss(device, pid)
    print(f"memory after {minutes:g} min, {load}")
    figure = Figure[float]("PSS, MB", lambda one: one, 1, {SERVICE: "<= 1.10"})
    table.compare({SERVICE: [ours], BARE: [theirs]}, BARE, [figure], load)


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(
        prog="benchmarks/boot",
        description=__doc__,
        epilog=f"{table.EXPLAINED} With --bare as the first word it measures on this machine, without containers: "
        "benchmarks/boot --bare --help",
    )
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="of all boots (5)")
    parser.add_argument(
        "--minutes", type=float, default=10.0, metavar="N", help="until memory is measured (10)"
    )
    wanted = parser.parse_args()
    if os.geteuid() != 0:
        raise SystemExit("benchmarks/boot: booting containers takes root")
    load = Load()
    debian.install("mmdebstrap", "systemd-container", "iproute2")
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fleet-boot-")))
        deb = os.environ.get("FLEET_AGENT_DEB") or subprocess.run(
            [ROOT / "scripts" / "build-deb"], check=True, capture_output=True, text=True
        ).stdout.strip()  # fmt: skip
        installed = roots.mount(roots.base_root(roots.SUITES[0]), home / "installed")
        stack.callback(roots.unmount, installed)
        roots.install(installed, Path(deb))
        wire = stack.enter_context(network())
        arguments = ("--host", wire.host, "--name", HOST)
        sandbox = stack.enter_context(launch(home / "sandbox", arguments=arguments))
        fleet = make_fleet(sandbox, home / "claim")
        first: dict[str, list[First]] = {FIRST: [], SAMPLE: []}
        later: dict[str, list[Boot]] = {SECOND: [], PEER: []}
        ways: dict[str, Callable[[Machine], Boot]] = {SECOND: second, PEER: pubsub}
        device = None
        for number in range(wanted.rounds + 1):
            device = machine.new(home / f"m{number}", installed, wire, fleet, f"bench{number}")
            stack.callback(roots.unmount, device.root)
            stack.callback(device.cut_power)
            device.configure()
            early = {FIRST: first_boot(device), SAMPLE: sample(device)}
            device.cut_power()
            late = {name: ways[name](device) for name in random.sample(list(ways), len(ways))}
            if number > 0:  # the first round warms the file cache
                for name, one in early.items():
                    first[name].append(one)
                for name, boot in late.items():
                    later[name].append(boot)
        show(first, later, load)
        if device is not None:
            memory(device, wanted.minutes, load)


if __name__ == "__main__":
    main()
