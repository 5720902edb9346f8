"""What an agent costs that has little to do: wake-ups, CPU time, memory, packets."""

import time
from collections.abc import Mapping
from typing import Any

from benchmarks.running import Running

from support.mosquitto import Mosquitto
from support.provisioned import Device

LONGEST_KEEP_ALIVE = 1200  # seconds, of AWS
SETTLE = 5.0  # seconds until what a start brings is over

SOURCES: Mapping[str, list[dict[str, Any]]] = {
    "idle": [{"socket": {}}],
    "a system reading a minute": [{"system": {"interval": "60s"}}, {"socket": {}}],
}


def idle(broker: Mosquitto, devices: list[Device], seconds: float) -> None:
    """Print what agents cost that have nothing to send, or a reading a minute; at the same time."""
    agents = {
        words: Running(broker, device, {"sources": sources})
        for device, (words, sources) in zip(devices, SOURCES.items(), strict=False)
    }
    try:
        time.sleep(SETTLE)
        before = {words: (agent.cpu(), agent.wakeups()) for words, agent in agents.items()}
        began = time.monotonic()
        time.sleep(seconds)
        passed = time.monotonic() - began
        for words, agent in agents.items():
            cpu, wakeups = before[words]
            rss, pss = agent.memory()
            print(
                f"{words}, {passed:.0f} s: {(agent.wakeups() - wakeups) / passed:.2f} wake-ups a second, "
                f"{(agent.cpu() - cpu) / passed * 60_000:.1f} ms CPU a minute, RSS {rss:.1f} MiB, PSS {pss:.1f} MiB",
                flush=True,
            )
    finally:
        for agent in agents.values():
            agent.end()


def battery(broker: Mosquitto, device: Device, seconds: float) -> None:
    """Print the packets of a connection with nothing to send and AWS's longest keep-alive."""
    more = {"connection": {"keep_alive": f"{LONGEST_KEEP_ALIVE}s"}}
    agent = Running(broker, device, {"sources": []}, more)
    try:
        time.sleep(SETTLE)
        out, into = agent.packets()
        wakeups = agent.wakeups()
        time.sleep(seconds)
        more_out, more_into = (
            after - before for after, before in zip(agent.packets(), (out, into), strict=True)
        )
        print(
            f"keep-alive {LONGEST_KEEP_ALIVE} s, {seconds:.0f} s: {more_out} packets out and {more_into} in; "
            f"{(agent.wakeups() - wakeups) / seconds:.3f} wake-ups a second",
            flush=True,
        )
    finally:
        agent.end()
