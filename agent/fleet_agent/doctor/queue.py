"""The queue of readings: how full, and whether its file is damaged. The file of a running agent is never opened."""

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
_COPIED = 256 << 20  # bytes: a larger file is not copied and checked
_NEARLY = 0.8


def check(device: Device) -> Findings:
    """Checks the queue."""
    yield from guarded(_ABOUT, device.state_dir / NAME, lambda: _check(device))


def _check(device: Device) -> Findings:
    path = device.state_dir / NAME
    for aside in sorted(device.state_dir.glob(f"{NAME}.damaged-*[0-9]")):
        yield _ABOUT.warning(
            "queue-set-aside",
            f"{aside} was damaged and has been replaced: the readings in it were not sent.",
            aside,
            f"Check the disk (journalctl -k), then rm {word(aside)}*",
        )
    if not os.path.lexists(path):
        yield _ABOUT.ok("There is no queue yet.", path)
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
    """Judges by the figures in the agent's status."""
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
            f"{waiting} readings ({size >> 10} KiB) are waiting: the oldest will soon be dropped.",
            path,
            "See why nothing is sent (fleet-agent status), or raise the limits in telemetry.queue",
        )
    elif dropped:
        yield _ABOUT.warning(
            "readings-dropped",
            f"{dropped} readings have been dropped so far; {waiting} are waiting.",
            path,
            "See why (`dropped` in fleet-agent status --json), or raise the limits in telemetry.queue",
        )
    else:
        yield _ABOUT.ok(f"{waiting} readings are waiting; none has been dropped.", path)


def _as_found(device: Device, path: Path) -> Findings:
    """Judges a copy of the file, with its log beside it; the original is left untouched."""
    size = path.stat().st_size
    if size > _COPIED:
        yield _ABOUT.note(
            "queue-large", f"{path} is {size >> 20} MiB: too large to be copied and checked.", path
        )
        return
    try:
        made = tempfile.TemporaryDirectory(prefix="fleet-agent-doctor-")
    except OSError as error:  # a read-only root, as containers have it
        yield _ABOUT.note(
            "queue-not-copied",
            f"It was not checked: no room for a copy of it: {error.strerror or error}.",
            path,
            "Name a folder that the doctor can write to: TMPDIR=/some/folder fleet-agent doctor",
        )
        return
    with made as folder:
        copy = Path(folder) / NAME
        for suffix in ("", "-wal"):
            with contextlib.suppress(FileNotFoundError):
                shutil.copyfile(path.with_name(NAME + suffix), copy.with_name(NAME + suffix))
        trouble = _trouble(copy)
    if holder(device.state_dir) is not None:
        yield _ABOUT.note("queue-busy", "An agent started meanwhile; run the doctor again.", path)
    elif trouble is not None:
        yield _damaged(path, trouble)
    else:
        yield _ABOUT.ok(f"The file is undamaged ({size >> 10} KiB).", path)


def _damaged(path: Path, trouble: str) -> Finding:
    return _ABOUT.failed(
        "queue-damaged",
        f"{path} is damaged: {trouble}.",
        path,
        "At its next start the agent sets it aside by itself and creates a new queue; check the disk "
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
