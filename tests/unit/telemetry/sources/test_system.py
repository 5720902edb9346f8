import json
import os
from pathlib import Path

import pytest

from fleet_agent.config.telemetry import SystemSource
from fleet_agent.telemetry.reading import timed
from fleet_agent.telemetry.sources import system
from support.devices import Tree
from support.sources import Bench

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
