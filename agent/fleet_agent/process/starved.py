"""What the system may give this process too little of: open files, memory, threads. No bug, and no network's fault."""

import contextlib
import errno
import os

from fleet_agent.errors import DeviceError, TemporaryError

# Enough to provision and to run; fewer show as failures of whatever is opened last.
_FEWEST_FILES = 16
# What systemd gives, too.
_FILES = 1024

_NOTHING_LEFT = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN)
# As the dynamic loader and awscrt say it.
_WORDS = (
    "failed to map segment",
    "cannot allocate memory",
    "INSUFFICIENT_RESOURCE",
    "AWS_ERROR_OOM",
)


def ensure_files() -> None:
    """Raises the limit on open files where a shell or an init script has left it low.

    Raises:
        DeviceError: It stays too low to work with.
    """
    if os.sysconf("SC_OPEN_MAX") >= _FILES:
        return
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _FILES if hard == resource.RLIM_INFINITY else min(hard, _FILES)
    with contextlib.suppress(OSError, ValueError):  # a sandbox that forbids it
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    if (allowed := os.sysconf("SC_OPEN_MAX")) < _FEWEST_FILES:
        raise DeviceError(
            f"This process may open only {allowed} files at a time; the agent needs {_FEWEST_FILES}.",
            remedy="Raise the limit: ulimit -n 1024; in a unit LimitNOFILE=1024",
            code="too-few-files",
        )


def ensure_proc() -> None:
    """Refuses a place without /proc, where descriptors cannot be listed, nor files opened by them.

    Raises:
        DeviceError: It is one, as a chroot in which nothing is mounted.
    """
    if not os.path.lexists("/proc/self"):
        raise DeviceError(
            "The agent needs /proc, which is not mounted here.",
            remedy="In a chroot, mount it: mount --bind /proc ROOT/proc",
            code="no-proc",
        )


def lack(error: Exception) -> TemporaryError | None:
    """What to report when something failed because there is nothing left of it; None: it failed for another reason."""
    words = str(error) or type(error).__name__
    if isinstance(error, MemoryError) or getattr(error, "errno", None) in _NOTHING_LEFT:
        return _lack(words)
    return lack_in(words)


def lack_in(words: str) -> TemporaryError | None:
    """The same, by the words of a failure."""
    return _lack(words) if any(found in words for found in _WORDS) else None


def _lack(words: str) -> TemporaryError:
    return TemporaryError(
        f"The system gives this process no more memory, threads or open files: {words.rstrip('.')}.",
        remedy="Free some memory, or raise the limits: ulimit -a shows them; a unit has MemoryMax=, TasksMax=",
        code="nothing-left",
    )
