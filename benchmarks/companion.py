"""How long the companion takes for a fleet of N things, beside what the sandbox alone needs for the same.

For each command: seconds, processor seconds of the command, its memory; then the sandbox's ceiling, asked by threads
that do nothing else. Argument: N (1000).
"""

import concurrent.futures
import dataclasses
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from iot_sandbox.launch import Sandbox, launch
from support.aws import aws_client

ROOT = Path(__file__).resolve().parent.parent
THREADS = 16


@dataclasses.dataclass(frozen=True)
class Run:
    """What a command took."""

    seconds: float
    processor: float
    megabytes: int


def companion(sandbox: Sandbox, *words: str | Path) -> Run:
    """Run a command and show what it took."""
    command = [sys.executable, str(ROOT / "scripts" / "fleet-cloud"), *map(str, words)]
    began = time.monotonic()
    with subprocess.Popen(
        command,
        env=os.environ | sandbox.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, words
    run = Run(time.monotonic() - began, used.ru_utime + used.ru_stime, used.ru_maxrss // 1024)
    shown = " ".join(str(word) for word in words if not isinstance(word, Path))
    print(
        f"{shown:<40} {run.seconds:7.1f} s {run.processor:6.1f} s of processor {run.megabytes:4} MB"
    )
    return run


def ceiling(what: str, call: Callable[[int], Any], count: int) -> None:
    """Show how long the sandbox takes for so many calls."""
    began = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(call, range(count)))
    print(f"  the sandbox alone, {count} x {what:<30} {time.monotonic() - began:7.1f} s")


def main(count: int) -> None:
    """Set a fleet up, expect its devices, list them; register as many in bulk, check them, take them away."""
    with tempfile.TemporaryDirectory() as name, launch(Path(name) / "sandbox") as sandbox:
        folder, iot = Path(name), aws_client(sandbox, "iot")
        companion(sandbox, "up")
        serials = folder / "serials"
        serials.write_text("".join(f"S{number}\n" for number in range(count)))
        companion(sandbox, "devices", "expect", serials)
        ceiling("CreateThing", lambda number: iot.create_thing(thingName=f"c-{number}"), count)
        companion(sandbox, "status")
        companion(sandbox, "devices", "list")
        ceiling("ListThings, 250 a page", lambda _: iot.list_things(maxResults=250), count // 125)
        out = folder / "bulk"
        ca_file = Path(sandbox.ca_file)
        companion(sandbox, "bulk", "--count", str(count), "--ca-file", ca_file, "--out", out)
        companion(sandbox, "check", "--all", "--out", out)
        companion(sandbox, "bulk", "reset", "--yes", "--out", out)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
