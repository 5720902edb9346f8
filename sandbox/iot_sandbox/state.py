"""The state directory: private, writable, and one sandbox at a time."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from iot_sandbox.settings import EXIT_BUSY, EXIT_CANNOT_WRITE, SandboxError


@contextmanager
def claimed(state_dir: Path) -> Iterator[Path]:
    """Makes the directory, if need be, and holds its lock; yields its absolute path.

    Raises:
        SandboxError: it cannot be written, or another sandbox has it.
    """
    os.umask(0o077)  # CA key and device keys end up in here
    state_dir = state_dir.absolute()
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
        lock = os.open(state_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise SandboxError(
            f"--state-dir {state_dir}: cannot write: {error.strerror}", EXIT_CANNOT_WRITE
        ) from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise SandboxError(
                f"--state-dir {state_dir}: another sandbox is using it", EXIT_BUSY
            ) from error
        yield state_dir
    finally:
        os.close(lock)
