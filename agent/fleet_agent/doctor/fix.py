"""What ``--fix`` does: modes and owners, nothing else. No link is followed below the folder that is trusted.

The doctor runs as root over folders that belong to the agent's user: a link put there must not have it change a file
somewhere else. So each part of the path is opened as what it is, and changed by its descriptor.
"""

import dataclasses
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from fleet_agent.doctor.finding import Finding, Findings, Fix, Level
from fleet_agent.files.pinned import pinned


def fix(findings: Iterable[Finding]) -> Findings:
    """Corrects what can be corrected; yields all findings."""
    for found in findings:
        if found.fix is None:
            yield found
            continue
        try:
            _apply(found.fix)
        except OSError as error:
            why = f" --fix could not change it: {error.strerror or error}."
            yield dataclasses.replace(found, title=found.title + why)
        else:
            yield dataclasses.replace(found, level=Level.FIXED)


def _apply(wanted: Fix) -> None:
    # A link on the path to the folder may be another user's, too.
    with pinned(wanted.base / "entry") as safe:
        descriptor = os.open(safe.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in Path(wanted.name).parts:
            below = os.open(part, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = below
        found = os.fstat(descriptor)
        if stat.S_ISLNK(found.st_mode) or (stat.S_ISREG(found.st_mode) and found.st_nlink > 1):
            raise OSError("it is a link")
        path = f"/proc/self/fd/{descriptor}"  # the way to change what O_PATH opened
        if wanted.owner is not None:
            os.chown(path, *wanted.owner)
        if wanted.mode is not None:
            os.chmod(path, wanted.mode)  # noqa: PTH101 - by descriptor
            # exFAT and others report success, and leave the mode as it is.
            if stat.S_IMODE(os.fstat(descriptor).st_mode) != wanted.mode:
                raise OSError("the file system does not keep modes")
    finally:
        os.close(descriptor)
