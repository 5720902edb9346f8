"""What an agent costs that has little to do: wake-ups, CPU time, memory, packets."""

import contextlib
import dataclasses
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks import table
from benchmarks.processes import is_said, until
from benchmarks.running import ROOT, Running
from benchmarks.table import Figure, Load
from benchmarks.used import Used

from support.mosquitto import Mosquitto
from support.provisioned import Device

LONGEST_KEEP_ALIVE = 1200  # seconds, of AWS
SETTLE = 5.0  # seconds until what a start brings is over

IDLE, MINUTELY, BARE = "agent, idle", "agent, a system reading a minute", "bare awscrt session"
SOURCES: Mapping[str, list[dict[str, Any]]] = {
    IDLE: [{"socket": {}}],
    MINUTELY: [{"system": {"interval": "60s"}}, {"socket": {}}],
}
FIGURES = [
    Figure["Cost"]("wake-ups a second", lambda one: one.wakeups, 2, {IDLE: "<= 0.1 a second"}),
    Figure["Cost"]("CPU, ms a minute", lambda one: one.cpu, 1, {IDLE: "0 ms beside keep-alive"}),
    Figure["Cost"]("RSS, MiB", lambda one: one.rss, 1),
    Figure["Cost"]("PSS, MiB", lambda one: one.pss, 1),
]


@dataclasses.dataclass(frozen=True)
class Cost:
    """Wake-ups a second, milliseconds of CPU a minute, MiB."""

    wakeups: float
    cpu: float
    rss: float
    pss: float


def idle(broker: Mosquitto, devices: list[Device], seconds: float, load: Load) -> None:
    """Print what agents cost that have nothing to send, or a reading a minute, and a bare session; at the same time."""
    with contextlib.ExitStack() as stack:
        used = {BARE: stack.enter_context(_bare_session(broker, devices[-1]))}
        for device, (words, sources) in zip(devices, SOURCES.items(), strict=False):
            agent = Running(broker, device, {"sources": sources})
            stack.callback(agent.end)
            used[words] = agent.used
        time.sleep(SETTLE)
        before = {words: (one.wakeups(), one.cpu()) for words, one in used.items()}
        began = time.monotonic()
        time.sleep(seconds)
        passed = time.monotonic() - began
        found = {}
        for words, one in used.items():
            wakeups, cpu = before[words]
            costs = (one.wakeups() - wakeups) / passed, (one.cpu() - cpu) / passed * 60_000
            found[words] = [Cost(*costs, *one.memory())]
    print(f"little to do for {passed:.0f} s, {load}")
    table.compare(found, BARE, FIGURES, load)


@contextlib.contextmanager
def _bare_session(broker: Mosquitto, device: Device) -> Iterator[Used]:
    script = str(ROOT / "benchmarks/bare_session.py")
    words = [sys.executable, script, "localhost", str(broker.port), str(broker.ca_file)]
    words += [str(device.certificate), str(device.private_key), device.thing_name]
    output = broker.folder / "bare.out"
    with output.open("wb") as file:
        process = subprocess.Popen(words, stdout=file, stderr=subprocess.STDOUT)
    try:
        until(is_said(output, b"connected"), "connected", process, output)
        yield Used(process.pid)
    finally:
        process.terminate()
        process.wait()


def battery(broker: Mosquitto, device: Device, seconds: float) -> None:
    """Print the packets of a connection with nothing to send and AWS's longest keep-alive."""
    more = {"connection": {"keep_alive": f"{LONGEST_KEEP_ALIVE}s"}}
    agent = Running(broker, device, {"sources": []}, more)
    try:
        time.sleep(SETTLE)
        out, into = agent.packets()
        wakeups = agent.used.wakeups()
        time.sleep(seconds)
        more_out, more_into = (
            after - before for after, before in zip(agent.packets(), (out, into), strict=True)
        )
        print(
            f"keep-alive {LONGEST_KEEP_ALIVE} s, {seconds:.0f} s: {more_out} packets out and {more_into} in; "
            f"{(agent.used.wakeups() - wakeups) / seconds:.3f} wake-ups a second",
            flush=True,
        )
    finally:
        agent.end()
