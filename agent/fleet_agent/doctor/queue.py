"""The queue of readings: how full, and whether its file is sound. The live file of a running agent is never opened."""

import contextlib
import os
import shutil
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

from fleet_agent.config.telemetry import Queue as Bounds
from fleet_agent.doctor.device import Device
from fleet_agent.doctor.finding import Finding, Findings, Subject, guarded
from fleet_agent.health import status_file
from fleet_agent.pasted import word
from fleet_agent.statedir.lock import holder
from fleet_agent.telemetry.damage import refuse_irregular
from fleet_agent.telemetry.queue import NAME

_ABOUT = Subject("queue")
_COPIED = 256 << 20  # bytes: a larger file is not copied to be looked at
_NEARLY = 0.8


def check(device: Device) -> Findings:
    """Looks at the queue."""
    yield from guarded(_ABOUT, device.state_dir / NAME, lambda: _check(device))


def _check(device: Device) -> Findings:
    path = device.state_dir / NAME
    for aside in sorted(device.state_dir.glob(f"{NAME}.damaged-*[0-9]")):
        yield _ABOUT.warning(
            "queue-set-aside",
            f"{aside} was damaged and replaced: readings in it were not sent.",
            aside,
            f"Look at the disk (journalctl -k), then rm {word(aside)}*",
        )
    if not os.path.lexists(path):
        yield _ABOUT.ok("There is none yet.", path)
    elif trouble := _irregular(path):
        yield _damaged(path, trouble)
    elif holder(device.state_dir) is not None:
        yield from _as_reported(device, path)
    else:
        yield from _as_found(device, path)


def shown(device: Device) -> dict[str, Any]:
    """Returns the status of the running agent; empty if none can be read."""
    return status_file.read(device.runtime_dir)


def _as_reported(device: Device, path: Path) -> Findings:
    """By the agent's status, and by its size."""
    status = shown(device)
    waiting, size = status.get("readings_waiting"), status.get("bytes_waiting")
    if not isinstance(waiting, int) or not isinstance(size, int):
        yield _ABOUT.note(
            "queue-untold", "The running agent does not report how full it is.", path
        )
        return
    bounds = device.settings.telemetry.queue if device.settings else Bounds()
    dropped = status.get("readings_dropped") or 0
    if waiting > _NEARLY * bounds.max_messages or size > _NEARLY * bounds.max_bytes:
        yield _ABOUT.warning(
            "queue-nearly-full",
            f"{waiting} readings wait, {size >> 10} KiB: soon the oldest are dropped.",
            path,
            "See why nothing is sent: fleet-agent status; or raise telemetry.queue",
        )
    elif dropped:
        yield _ABOUT.warning(
            "readings-dropped",
            f"{dropped} readings were dropped so far; {waiting} wait.",
            path,
            "See why (`dropped` in fleet-agent status --json), or raise telemetry.queue",
        )
    else:
        yield _ABOUT.ok(f"{waiting} readings wait, none was dropped.", path)


def _as_found(device: Device, path: Path) -> Findings:
    """By a copy: with its log beside it, and without a trace on the original."""
    size = path.stat().st_size
    if size > _COPIED:
        yield _ABOUT.note(
            "queue-large", f"{path} is {size >> 20} MiB: not copied to be looked at.", path
        )
        return
    try:
        made = tempfile.TemporaryDirectory(prefix="fleet-agent-doctor-")
    except OSError as error:  # a read-only root, as containers have it
        yield _ABOUT.note(
            "queue-not-copied",
            f"There is no room to look at a copy of it: {error.strerror or error}.",
            path,
            "Give doctor a folder to write in: TMPDIR=/some/folder fleet-agent doctor",
        )
        return
    with made as folder:
        copy = Path(folder) / NAME
        for suffix in ("", "-wal"):
            with contextlib.suppress(FileNotFoundError):
                shutil.copyfile(path.with_name(NAME + suffix), copy.with_name(NAME + suffix))
        trouble = _trouble(copy)
    if holder(device.state_dir) is not None:
        yield _ABOUT.note("queue-busy", "An agent started meanwhile; ask again.", path)
    elif trouble is not None:
        yield _damaged(path, trouble)
    else:
        yield _ABOUT.ok(f"The file is sound ({size >> 10} KiB).", path)


def _damaged(path: Path, trouble: str) -> Finding:
    return _ABOUT.failed(
        "queue-damaged",
        f"{path} is damaged: {trouble}.",
        path,
        "The agent sets it aside by itself at its next start, and begins a new one; look at the disk "
        "(journalctl -k)",
    )


def _irregular(path: Path) -> str | None:
    try:
        refuse_irregular(path)
    except sqlite3.Error as error:
        return str(error)
    return None


def _trouble(copy: Path) -> str | None:
    try:
        with contextlib.closing(sqlite3.connect(copy)) as connection:
            (result,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        return str(error)
    return None if result == "ok" else str(result)
