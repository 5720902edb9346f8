"""The state directory: persistent, with room, and what is written there is really on the disk."""

import os
from pathlib import Path

from fleet_agent import files
from fleet_agent.doctor.device import Device
from fleet_agent.doctor.finding import Findings, Subject, guarded
from fleet_agent.statedir import filesystem

_ABOUT = Subject("state directory")
_LEAST = 1 << 20  # bytes: an identity and a ledger
_MOVE = "Free some space (df -h) or inodes (df -i), or put state_dir on a larger disk."


def check(device: Device) -> Findings:
    """Checks the state directory; if it does not exist yet, the nearest folder above that does."""
    folder = device.state_dir
    if os.path.lexists(folder) and not folder.is_dir():
        yield _ABOUT.failed(
            "state-not-a-folder",
            f"{folder} is not a folder.",
            folder,
            files.out_of_the_way(folder),
        )
        return
    if (
        (runtime := device.runtime_dir) != folder
        and os.path.lexists(runtime)
        and not runtime.is_dir()
    ):
        yield _ABOUT.failed(
            "runtime-not-a-folder",
            f"{runtime} is not a folder, but the agent needs one there for its status.",
            runtime,
            "Set runtime_dir to another place; or, if the file is left over from the agent: "
            f"{files.move_aside(runtime)}",
        )
    yield from guarded(_ABOUT, folder, lambda: _persistent(folder))
    yield from guarded(_ABOUT, folder, lambda: _space(device))
    if not folder.exists():
        yield _ABOUT.note(
            "state-not-there", f"{folder} does not exist yet: the first start creates it.", folder
        )
        return
    yield from guarded(_ABOUT, folder, lambda: _writable(folder))


def _persistent(folder: Path) -> Findings:
    if warning := filesystem.refuse_volatile(folder):
        yield _ABOUT.warning(
            "state-not-judged",
            warning,
            folder,
            "If it does not survive, put state_dir on a persistent partition: docs/how-to/bake-an-image.md",
        )
    else:
        yield _ABOUT.ok(f"{folder} survives a reboot.", folder)


def _space(device: Device) -> Findings:
    folder = device.state_dir
    while not folder.exists():
        folder = folder.parent
    found = os.statvfs(folder)
    free = found.f_bavail * found.f_frsize
    bound = device.settings.telemetry.queue.max_bytes if device.settings else 0
    if free < _LEAST or (found.f_files and not found.f_favail):
        left = f"only {free // 1024} KiB" if free < _LEAST else "no inodes"
        yield _ABOUT.failed(
            "state-full", f"The disk of {device.state_dir} has {left} left.", folder, _MOVE
        )
    elif free < bound:
        yield _ABOUT.warning(
            "state-space",
            f"The disk of {device.state_dir} has {free >> 20} MiB left, but the queue may need {bound >> 20} MiB.",
            folder,
            f"{_MOVE} Or lower telemetry.queue.max_bytes.",
        )
    else:
        yield _ABOUT.ok(f"{free >> 20} MiB are free.", folder)


def _writable(folder: Path) -> Findings:
    filesystem.try_out(folder)
    yield _ABOUT.ok(
        "Files can be written, locked, linked and synced there, and keep their modes.", folder
    )
