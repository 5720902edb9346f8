"""How long a device takes from the start of its unit, and how much memory its service holds, against peers.

Every round is a new device: a first boot, a second boot, and AWS's sample flow in the container of the first.
"""

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import awscrt

from boot import machine, roots
from boot.machine import HOST, UNIT, Machine
from boot.network import network
from iot_sandbox.launch import launch
from support.agent import until
from support.fleets import make_fleet

ROOT = Path(__file__).resolve().parent.parent
# The whole SDK: the package's leaves out what the agent does not use.
SDK = "/root/sdk"

Times = dict[str, float]  # what → seconds since the unit was started


def journal_time(device: Machine, words: str) -> float | None:
    """When the unit first said ``words``, in seconds of the clock that never steps."""
    for entry in device.journal():
        if str(entry["MESSAGE"]).startswith(words):
            return int(entry["__MONOTONIC_TIMESTAMP"]) / 1e6
    return None


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


def boot(device: Machine) -> Times:
    """Switch a device on; give its times."""
    device.switch_on()
    at = acknowledged(device)
    shown = device.wait_connected()
    started = int(shown["ExecMainStartTimestampMonotonic"]) / 1e6
    found = {
        "READY": int(shown["ActiveEnterTimestampMonotonic"]) / 1e6,
        "proven": journal_time(device, "proven"),
        "connected": journal_time(device, "connected to"),
        "first PUBACK": at,
    }
    return {what: moment - started for what, moment in found.items() if moment is not None}


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


def sample(device: Machine) -> float:
    """Seconds that AWS's sample flow takes there, as a whole process."""
    claim = device.fleet.claim
    names = [
        f"/etc/fleet-agent/claim/{file.name}" for file in (claim.certificate, claim.private_key)
    ]
    command = peer(device, "sdk_sample.py", *names, device.fleet.template, f"{device.serial}peer")
    device.run(*command)  # once for its bytecode
    began = time.monotonic()
    device.run(*command[:-1], f"{device.serial}peer2")
    return time.monotonic() - began


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
    """A bare client with the device's own credential, in place of its service; gives the process id."""
    current = "/var/lib/fleet-agent/credentials/current"
    files = (f"{current}/certificate.pem.crt", f"{current}/private.pem.key")
    command = peer(device, "bare_session.py", *files, device.thing_name)
    device.run("systemctl", "stop", UNIT)
    device.run("systemd-run", "--unit=bare", *command)
    try:
        until(lambda: "connected" in device.run("journalctl", "-u", "bare"), "the bare session")
        yield device.run("systemctl", "show", "-P", "MainPID", "bare").strip()
    finally:
        device.attempt("systemctl", "stop", "bare")


def told(name: str, rounds: list[Times]) -> None:
    """Print a line of medians."""
    parts = [f"{what} {statistics.median([r[what] for r in rounds if what in r]):6.3f} s"
             for what in rounds[0]]  # fmt: skip
    print(f"{name:<12} " + "   ".join(parts), flush=True)


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=10.0, help="until memory is measured")
    wanted = parser.parse_args()
    if os.geteuid() != 0:
        raise SystemExit("benchmarks/boot: booting containers takes root")
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
        first, second, samples = [], [], []
        devices = [
            machine.new(home / f"m{number}", installed, wire, fleet, f"bench{number}")
            for number in range(wanted.rounds)
        ]
        for device in devices:
            stack.callback(roots.unmount, device.root)
            stack.callback(device.cut_power)
            device.configure()
            first.append(boot(device))
            samples.append(sample(device))
            device.cut_power()
            second.append(boot(device))
            if device is not devices[-1]:
                device.cut_power()
        told("first boot", first)
        told("second boot", second)
        print(
            f"SDK sample   {statistics.median(samples):6.3f} s  (nothing stored, nothing proven)"
        )
        time.sleep(wanted.minutes * 60)
        device = devices[-1]
        ours = pss(device, device.show()["MainPID"])
        with bare_session(device) as pid:
            time.sleep(10)
            theirs = pss(device, pid)
        print(
            f"memory (PSS) after {wanted.minutes:g} min: {ours:.1f} MB; a bare client {theirs:.1f} MB"
        )


if __name__ == "__main__":
    main()
