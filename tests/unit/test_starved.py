"""Too few open files, no memory, no threads: words with a remedy, never a traceback or somebody else's fault."""

import errno
import os
import subprocess
import sys

import pytest

from fleet_agent.errors import Exit
from fleet_agent.process import starved


def under(limits: str, *words: str) -> "subprocess.CompletedProcess[str]":
    """The agent, started by a shell that sets limits first."""
    command = ["bash", "-c", f'{limits}; exec "$@"', "bash", sys.executable, "-m", "fleet_agent"]
    return subprocess.run([*command, *words], capture_output=True, text=True, check=False)


def test_too_few_open_files_are_named_before_anything_fails_of_them() -> None:
    done = under("ulimit -n 8", "config", "schema")
    assert done.returncode == Exit.WRONG_ON_DEVICE
    assert "may open only 8 files" in done.stderr
    assert "ulimit -n 1024" in done.stderr


def test_a_low_limit_on_open_files_is_raised_where_that_is_allowed() -> None:
    assert under("ulimit -Sn 8", "config", "schema").returncode == 0


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(errno.EMFILE, os.strerror(errno.EMFILE), "/x"),
        BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN)),
        ImportError("x.so: failed to map segment from shared object"),
        RuntimeError(
            "12 (AWS_ERROR_THREAD_INSUFFICIENT_RESOURCE): Insufficent resources for thread."
        ),
    ],
)
def test_what_is_lacking_is_told_from_what_is_wrong(error: Exception) -> None:
    found = starved.lack(error)
    assert found is not None
    assert found.title.startswith("The system gives this process no more memory")
    assert "ulimit -a" in found.remedy


@pytest.mark.parametrize("error", [OSError(errno.ENOENT, "x"), ImportError("x"), ValueError("x")])
def test_what_is_wrong_is_nothing_that_is_lacking(error: Exception) -> None:
    assert starved.lack(error) is None
