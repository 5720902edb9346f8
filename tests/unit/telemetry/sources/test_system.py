import json
import os
from pathlib import Path

import pytest

from fleet_agent.config.readings import SystemSource
from fleet_agent.health.status import Health
from fleet_agent.telemetry.reading import timed
from fleet_agent.telemetry.sources import system
from fleet_agent.telemetry.sources.feed import Feed
from support.clock import FakeClock
from support.devices import Tree
from support.sources import Bench, Kept

MEMINFO = "MemTotal:         928200 kB\nMemFree: 5 kB\nMemAvailable:     500000 kB\nHugePages_Total:       0\n"


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    tree = Tree(tmp_path)
    tree.write("proc/uptime", "4211.53 8000.00\n")
    tree.write("proc/loadavg", "0.25 0.10 0.05 1/150 4242\n")
    tree.write("proc/meminfo", MEMINFO)
    tree.write("sys/class/thermal/thermal_zone0/temp", "41500\n")
    tree.write("sys/class/thermal/thermal_zone1/temp", "55123\n")
    return tree


def values(tree: Tree) -> dict[str, object]:
    return dict(system.read(tree.root, tree.root))


def test_a_whole_reading(tree: Tree) -> None:
    disk = os.statvfs(tree.root)
    found = values(tree)
    assert 0 < int(str(found.pop("disk_available_bytes"))) <= disk.f_blocks * disk.f_frsize
    assert found == {
        "uptime_s": 4211.53,
        "load_1m": 0.25,
        "memory_total_bytes": 928200 * 1024,
        "memory_available_bytes": 500000 * 1024,
        "disk_total_bytes": disk.f_blocks * disk.f_frsize,
        "temperature_c": 55.1,
    }


@pytest.mark.parametrize(
    ("path", "content", "missing"),
    [
        ("proc/uptime", None, {"uptime_s"}),
        ("proc/uptime", "", {"uptime_s"}),
        ("proc/loadavg", "busy\n", {"load_1m"}),
        ("proc/meminfo", "MemTotal: 5 kB\n", {"memory_total_bytes", "memory_available_bytes"}),
        ("proc/meminfo", "MemTotal:\n", {"memory_total_bytes", "memory_available_bytes"}),
    ],
)
def test_what_cannot_be_read_is_left_out(
    tree: Tree, path: str, content: str | None, missing: set[str]
) -> None:
    before = values(tree).keys()
    if content is None:
        (tree.root / path).unlink()
    else:
        tree.write(path, content)
    assert before - values(tree).keys() == missing


def test_a_thermal_zone_that_cannot_be_read_hides_no_other(tree: Tree) -> None:
    tree.write("sys/class/thermal/thermal_zone1/temp", "")
    (tree.root / "sys/class/thermal/thermal_zone2/temp").mkdir(parents=True)
    assert values(tree)["temperature_c"] == 41.5


def test_frost(tree: Tree) -> None:
    tree.write("sys/class/thermal/thermal_zone0/temp", "-12600\n")
    (tree.root / "sys/class/thermal/thermal_zone1/temp").unlink()
    assert values(tree)["temperature_c"] == -12.6


def test_the_last_digit_is_right(tree: Tree) -> None:
    tree.write("sys/class/thermal/thermal_zone1/temp", "85060\n")
    assert values(tree)["temperature_c"] == 85.1


def test_no_thermal_zone(tmp_path: Path) -> None:
    assert "temperature_c" not in system.read(tmp_path, tmp_path)


def test_nothing_can_be_read_at_all(tmp_path: Path) -> None:
    assert system.read(tmp_path / "gone", tmp_path) == {}


def test_what_is_published() -> None:
    payload = timed(0.0, {"load_1m": 0.5})
    assert json.loads(payload) == {"time": "1970-01-01T00:00:00Z", "load_1m": 0.5}


def test_this_machine() -> None:
    assert {"uptime_s", "load_1m", "disk_total_bytes"} <= system.read(Path("/")).keys()


STAT = "cpu  {} 0 0 {} {} 0 0 0 0 0\ncpu0 1 2 3\n"
DEV = """\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs
    lo: 900 1 0 0 0 0 0 0 900 1 0 0 0 0 0 0
  eth0: 1000 5 0 0 0 0 0 0 200 5 0 0 0 0 0 0
   br0: 1000 5 0 0 0 0 0 0 200 5 0 0 0 0 0 0
"""


def test_how_busy_the_processors_were_since_the_last_reading(tree: Tree) -> None:
    cpu = system.Cpu()
    looks = [(100, 800, 100), (150, 840, 110), (150, 840, 110), (150, 940, 110), (0, 5, 0)]
    found = []
    for look in looks:
        tree.write("proc/stat", STAT.format(*look))
        found.append(system.read(tree.root, tree.root, cpu).get("cpu_percent"))
    assert found == [None, 50.0, None, 0.0, None]


def test_traffic_of_what_has_hardware_is_counted_once(tree: Tree) -> None:
    tree.write("proc/net/dev", DEV)
    tree.write("sys/class/net/eth0/device/vendor", "")
    found = values(tree)
    assert (found["network_received_bytes"], found["network_sent_bytes"]) == (1000, 200)


def test_without_hardware_all_but_the_loopback_counts(tree: Tree) -> None:
    tree.write("proc/net/dev", DEV)
    assert values(tree)["network_received_bytes"] == 2000


def test_this_machine_is_read_at_an_interval(bench: Bench) -> None:
    settings = SystemSource(interval=0.05)
    bench.sources = [system.System(settings, bench.feed("system"), bench.state_dir)]
    first, second = (json.loads(payload) for payload in bench.until(2)[:2])
    assert first["uptime_s"] > 0
    assert "cpu_percent" not in first
    assert 0 <= second["cpu_percent"] <= 100


@pytest.mark.parametrize(
    ("looks", "found"),
    [
        # user, nice, system, idle, iowait, irq, softirq, steal; what guests had is in the first two.
        (["10 0 0 80 10 0 0 0 99 99", "20 1 2 87 18 3 4 5 199 199"], 62.5),
        (["0 0 0 100 0 0 0 0", "0 0 0 200 0 0 0 0"], 0.0),
        (["0 0 0 100 0 0 0 0", "100 0 0 100 0 0 0 0"], 100.0),
        # Waiting for a disk is counted backwards at times.
        (["0 0 0 100 50 0 0 0", "0 0 0 105 30 16 0 0"], 100.0),
        (["0 0 0 100 0 0 0 50", "0 0 0 155 0 0 0 0"], 0.0),
        (["0 0 0 0 0 0 0 0", "1 0 0 2 0 0 0 0"], 33.3),
        (["1 0 0 0 0 0 0 0", "0 0 0 0 0 0 0 0"], None),
        (["1 0 0 0 0 0 0 0", "1 0 0 0 0 0 0 0"], None),
    ],
)
def test_processors_are_between_idle_and_busy(looks: list[str], found: float | None) -> None:
    cpu = system.Cpu()
    first, second = (cpu.look(f"cpu  {look}\ncpu0 1 2 3\n") for look in looks)
    assert first == {}
    assert second.get("cpu_percent") == found


def test_without_an_interface_there_is_no_traffic(tree: Tree) -> None:
    tree.write("proc/net/dev", "\n".join(DEV.splitlines()[:3]) + "\n")
    assert "network_received_bytes" not in values(tree)


def test_an_interface_counts_wherever_it_stands_and_without_a_loopback(tree: Tree) -> None:
    lines = DEV.splitlines()
    for order in ((0, 1, 3, 2), (0, 1, 3)):
        tree.write("proc/net/dev", "\n".join(lines[index] for index in order) + "\n")
        found = values(tree)
        assert (found["network_received_bytes"], found["network_sent_bytes"]) == (1000, 200)


def test_two_interfaces_with_hardware_are_counted_together(tree: Tree) -> None:
    tree.write("proc/net/dev", DEV + " wlan0: 500 1 0 0 0 0 0 0 70 1 0 0 0 0 0 0\n")
    for name in ("eth0", "wlan0"):
        tree.write(f"sys/class/net/{name}/device/vendor", "")
    found = values(tree)
    assert (found["network_received_bytes"], found["network_sent_bytes"]) == (1500, 270)


def test_it_is_read_an_interval_after_the_last_time_and_after_a_stall_but_once(
    tmp_path: Path,
) -> None:
    clock, intake = FakeClock(), Kept()
    health = Health(tmp_path, clock)
    feed = Feed(name="s", topic="t", priority=1, intake=intake, clock=clock, health=health)
    source = system.System(SystemSource(interval=60), feed, tmp_path)
    assert source.due == clock.monotonic()
    began = clock.monotonic()
    source.act()
    assert source.due == began + 60
    clock.go(61)
    source.act()
    assert source.due == began + 120
    clock.go(10_000)
    source.act()
    assert source.due == clock.monotonic()
    source.act()
    assert source.due == clock.monotonic() + 60
    times = [json.loads(payload)["time"] for payload in intake.payloads]
    assert times[0] == "2027-01-15T08:00:00Z"
    assert times[1] == "2027-01-15T08:01:01Z"
