"""``scripts/power-cut``: an agent at work in a machine whose disk is logged; the power is cut all along it."""

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from crash.fill_queue import UNFORCED
from crash.give_orders import IN_MEMORY
from crash.orders import come_to_an_end
from crash.power import blocklog, guest
from crash.readings import look_at_readings
from crash.whole import look_at
from crash.workload import Bench, bench
from crash.wrong_agent import WRITERS
from fleet_agent.errors import AgentError
from fleet_agent.orders.handler_registry import FOLDER
from fleet_agent.telemetry.queue import NAME

ROOT = Path(__file__).resolve().parents[3]
STATE_DIR = Path("/data/state")
GIVEN = Path("/etc/fleet-agent")
INSIDE = ROOT / "tests/crash/power/inside.py"


def main() -> int:
    """Runs it; 1 when an image was not what it must be."""
    arguments = _parser().parse_args()
    seed = random.randrange(10**6) if arguments.seed is None else arguments.seed
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="power-cut-", dir=arguments.folder) as temporary:
        folder = Path(temporary)
        if arguments.again:
            _copy_log(arguments.again, folder)
        else:
            _record(folder, arguments)
        if arguments.keep:
            _copy_log(folder, arguments.keep)
        entries = blocklog.read(folder / "log.img")
        marks = sum(entry.mark is not None for entry in entries)
        flushes = sum(entry.flushes for entry in entries)
        _tell(
            f"{time.monotonic() - began:.0f} s: {len(entries)} requests to the disk, {flushes} flushes, {marks} marks; "
            f"seed {seed}"
        )
        cuts = blocklog.cuts(entries, arguments.subsets, random.Random(seed))
        images, failures = _try_all(cuts, folder)
    for what, number in failures.most_common():
        print(f"{number:>6} images: {what}")
    good = images - failures.total()
    print(f"{good} of {images} images whole, {time.monotonic() - began:.0f} s")
    return 0 if images and good == images and marks else 1


def _record(folder: Path, arguments: argparse.Namespace) -> None:
    """Runs the machine; it leaves its disk as it was, and the log of all it did to it."""
    began = time.monotonic()
    with bench(folder) as its_bench:
        machine = _machine(its_bench, arguments)
        _tell(f"machine built, {time.monotonic() - began:.0f} s; booting it (QEMU, no KVM)")
        console = machine.boot()
    if arguments.verbose:
        _tell(console)


def _copy_log(source: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for name in ("log.img", "start.img"):
        shutil.copy(source / name, target)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/power-cut",
        description="Provisions twice in a virtual machine against the sandbox, fills the queue and takes orders, then "
        "cuts the power at every flush of its disk: what was flushed is there, of the rest a random part. Each disk is "
        "mounted and opened, and orders go on from there. Needs root; minutes.",
    )
    add = parser.add_argument
    add(
        "--subsets",
        type=int,
        default=4,
        metavar="N",
        help="random parts tried at each flush (4), beside nothing",
    )
    add("--seed", type=int, help="the same chance again")
    add(
        "--writer",
        choices=[*sorted(WRITERS), UNFORCED, IN_MEMORY],
        default="right",
        help="a wrong one: must be caught",
    )
    add("--kernel", type=Path, required=True, help="an unpacked linux-image package")
    add("--folder", type=Path, default=Path("/dev/shm"), help="to work in (/dev/shm)")
    add("--keep", type=Path, metavar="FOLDER", help="copy the log there, to be tried with --again")
    add("--again", type=Path, metavar="FOLDER", help="boot no machine, try this log")
    add("-v", "--verbose", action="store_true", help="show the machine's console")
    return parser


def _machine(its_bench: Bench, arguments: argparse.Namespace) -> guest.Guest:
    fleet = its_bench.fleet
    sandbox, claim = fleet.sandbox, fleet.claim
    given = {
        "--ca-file": sandbox.ca_file,
        "--cert": claim.certificate,
        "--key": claim.private_key,
    }
    words = ["--endpoint", sandbox.endpoint, "--port", sandbox.mqtt_port]
    for flag, source in given.items():
        words += [flag, GIVEN / source.name]
    words += ["--template-name", fleet.template, "--state-dir", STATE_DIR, "--timeout", 200]
    words += ["--template-parameters", '\'{"SerialNumber":"1"}\'']
    agent = ROOT / "agent"
    command = [guest.BUSYBOX, "env", f"PYTHONPATH={agent}:{guest.site_packages()}", "HOME=/"]
    command += [Path(sys.executable).resolve(), INSIDE, guest.DISK, arguments.writer]
    crash = ROOT / "tests/crash"
    scripts = [crash / name for name in ("wrong_agent.py", "fill_queue.py", "give_orders.py")]
    own = (agent, INSIDE, *scripts, guest.BUSYBOX)
    files = {path: path for path in own} | {Path("/bin/sh"): guest.BUSYBOX}
    files |= {GIVEN / source.name: source for source in given.values()}
    return guest.build(
        its_bench.folder, arguments.kernel, files, [*map(str, command), *map(str, words)]
    )


def _try_all(cuts: Iterator[blocklog.Cut], folder: Path) -> tuple[int, Counter[str]]:
    """Mount and open every disk; how many, and what was wrong with some."""
    base, mounted = folder / "start.img", folder / "mounted"
    mounted.mkdir()
    images, failures, seen = 0, Counter[str](), set[str]()
    for cut in cuts:
        _apply(cut.base, base)
        # A file of its own for each: the kernel shows one file that is mounted twice as it was the first time.
        image = folder / f"image-{images}.img"
        subprocess.run(["cp", "--sparse=always", str(base), str(image)], check=True)
        _apply(cut.survived, image)
        images += 1
        try:
            with _mount(image, mounted) as disk:
                _look(disk / STATE_DIR.name, cut.marks)
                _look_at_orders(disk / STATE_DIR.name, cut.marks, folder / "cloud", seen)
        except (AssertionError, AgentError, OSError) as error:
            failures[f"{type(error).__name__}: {str(error).replace(str(mounted), '')}"] += 1
        image.unlink()
    return images, failures


def _apply(entries: list[blocklog.Entry], image: Path) -> None:
    with image.open("r+b") as disk:
        for entry in entries:
            disk.seek(entry.offset)
            disk.write(entry.data)


@contextmanager
def _mount(image: Path, folder: Path) -> Iterator[Path]:
    done = subprocess.run(
        ["mount", "-o", "loop", str(image), str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"it cannot be mounted: {done.stderr.strip()}"
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def _look(state_dir: Path, marks: list[dict[str, str]]) -> None:
    """What was said to be done is there: the identity of the last mark or a newer one; before any there may be none."""
    said = [mark["provisioned"] for mark in marks if "provisioned" in mark]
    found = look_at(state_dir) if state_dir.exists() else None
    in_use = found.certificate_id if found else None
    if said:
        assert in_use is not None, "neither identity, though one was there"
        assert in_use not in said[:-1], "the identity before the one that was acknowledged"
    readings = [mark["reading"] for mark in marks if "reading" in mark]
    if (state_dir / NAME).exists() or readings:
        look_at_readings(state_dir, readings)


def _look_at_orders(
    state_dir: Path, marks: list[dict[str, Any]], folder: Path, seen: set[str]
) -> None:
    """What the cloud had at the last mark is carried on from there; the same case once."""
    clouds = [mark["cloud"] for mark in marks if "cloud" in mark]
    if not clouds:
        return
    files = sorted(path for path in (state_dir / FOLDER).rglob("*") if path.is_file())
    case = str((clouds[-1], [(path.name, path.read_bytes()) for path in files]))
    if case in seen:
        return
    seen.add(case)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, text in clouds[-1].items():
        (folder / name).write_text(text)
    come_to_an_end(state_dir, folder)


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
