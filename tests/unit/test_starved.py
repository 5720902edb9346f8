"""Too few open files, no memory, no threads: words with a remedy, never a traceback or somebody else's fault."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fleet_agent.errors import Exit
from fleet_agent.process import starved
from support.certificates import make_pair


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


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts")
@pytest.mark.parametrize("verb", ["provision", "run"])
def test_a_chroot_without_proc_is_called_that(tmp_path: Path, verb: str) -> None:
    """Where image builders work; no other file is to blame."""
    pair = make_pair(tmp_path / "claim")
    (tmp_path / "ca.pem").write_bytes(pair.certificate.read_bytes())
    command = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /proc; exec "$@"', "sh"]
    command += [sys.executable, "-m", "fleet_agent", verb, "--allow-volatile"]
    settings = {
        "endpoint": "127.0.0.1",
        "port": "1",
        "ca-file": tmp_path / "ca.pem",
        "cert": pair.certificate,
        "key": pair.private_key,
        "template-name": "t",
        "template-parameters": '{"SerialNumber": "1"}',
        "state-dir": tmp_path / "state",
    }
    command += [word for name, value in settings.items() for word in (f"--{name}", str(value))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == Exit.WRONG_ON_DEVICE, done.stderr
    assert "/proc, which is not mounted" in done.stderr
