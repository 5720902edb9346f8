import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fleet_agent.errors import StateDirectoryError, TemporaryError
from fleet_agent.statedir.lock import holder, signal_agent, take_lock
from support.users import NOBODY, as_nobody


def bind(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


HOLD = """
import sys
from pathlib import Path
from fleet_agent.statedir.lock import take_lock
lock = take_lock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""

# As the service's process is: that user's, and in a user namespace that root has made.
HOLD_APART = """
import ctypes, os, sys
from pathlib import Path
from fleet_agent.statedir.lock import take_lock
lock, nobody, libc = take_lock(Path(sys.argv[1])), int(sys.argv[2]), ctypes.CDLL(None)
PR_SET_DUMPABLE, CLONE_NEWUSER = 4, 0x10000000
reader, writer = os.pipe()
outside = os.fork()
if not outside:
    os.read(reader, 1)
    for kind in ("uid_map", "gid_map"):
        Path(f"/proc/{os.getppid()}/{kind}").write_text(f"0 0 1\\n{nobody} {nobody} 1\\n")
    os._exit(0)
is_apart = libc.unshare(CLONE_NEWUSER) == 0
os.write(writer, b".")
is_apart = os.waitpid(outside, 0)[1] == 0 and is_apart
if is_apart:
    os.setresgid(nobody, nobody, nobody)
    os.setresuid(nobody, nobody, nobody)
    libc.prctl(PR_SET_DUMPABLE, 1)
print("held" if is_apart else "no user namespaces here", flush=True)
sys.stdin.read()
"""


@contextmanager
def another_agent(state_dir: Path, code: str = HOLD) -> Iterator[int]:
    with subprocess.Popen(
        [sys.executable, "-c", code, str(state_dir), str(NOBODY)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        said = child.stdout.readline()
        if said.startswith("no "):
            pytest.skip(said)
        assert said == "held\n"
        yield child.pid


def test_another_agent_is_named_with_its_process(tmp_path: Path) -> None:
    with (
        another_agent(tmp_path / "state") as process,
        pytest.raises(TemporaryError, match=f"process {process} ") as caught,
    ):
        take_lock(tmp_path / "state")
    assert caught.value.code == "state-locked"
    assert Path(sys.executable).name in caught.value.title  # its command line
    assert "systemctl stop" in caught.value.remedy


def test_who_holds_it(tmp_path: Path) -> None:
    state_dir = tmp_path / "state"
    assert holder(state_dir) is None
    with another_agent(state_dir) as process:
        assert holder(state_dir) == process
    assert holder(state_dir) is None


def test_it_is_free_again_when_its_holder_is_gone(tmp_path: Path) -> None:
    with another_agent(tmp_path / "state"):
        pass
    os.close(take_lock(tmp_path / "state").descriptor)


def test_a_holder_that_left_no_name(tmp_path: Path) -> None:
    state_dir = tmp_path / "state"
    with another_agent(state_dir):
        (state_dir / "lock").write_text("")
        with pytest.raises(TemporaryError, match="process unknown"):
            take_lock(state_dir)
        assert holder(state_dir) == 0


@pytest.mark.parametrize("lie", ["0", "1", "-1", "", "not a number", "ours", "1" * 30])
def test_a_holder_is_believed_only_of_a_process_that_has_the_lock(
    tmp_path: Path, lie: str
) -> None:
    """Whoever may write the file could have root signal any process, or its own group."""
    state_dir = tmp_path / "state"
    with another_agent(state_dir) as process:
        (state_dir / "lock").write_text(str(os.getpid()) if lie == "ours" else lie)
        assert holder(state_dir) == 0
        with pytest.raises(ProcessLookupError):
            signal_agent(state_dir, signal.SIGTERM)
        (state_dir / "lock").write_text(f"{process}\n")
        assert signal_agent(state_dir, signal.SIGWINCH) == process


@pytest.mark.skipif(os.geteuid() != 0, reason="takes root to be somebody else")
@pytest.mark.parametrize("code", [HOLD, HOLD_APART], ids=["another user's", "of the service"])
def test_a_process_that_cannot_be_looked_into_is_found_in_the_table_of_locks(
    tmp_path: Path, code: str
) -> None:
    state_dir = tmp_path / "state"
    with another_agent(state_dir, code) as process:
        for path in (state_dir, state_dir / "lock"):
            os.chown(path, NOBODY, NOBODY)
        tmp_path.chmod(0o755)
        with tempfile.TemporaryDirectory() as place:
            Path(place).chmod(0o755)
            state_dir.rename(Path(place) / "state")
            with as_nobody():
                assert holder(Path(place) / "state") == process


def test_a_state_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    with pytest.raises(StateDirectoryError):
        take_lock(tmp_path / "state")


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.symlink_to("elsewhere"),
        lambda path: path.symlink_to(path),
        lambda path: path.mkdir(),
        os.mkfifo,
        bind,
    ],
    ids=["link", "loop", "folder", "fifo", "socket"],
)
def test_something_else_in_the_locks_place(tmp_path: Path, make: Callable[[Path], object]) -> None:
    """It is named, with what takes it away, by who wants the lock and by who asks for its holder."""
    lock = tmp_path / "lock"
    make(lock)
    with pytest.raises(StateDirectoryError, match="lock is not a regular file"):
        holder(tmp_path)
    with pytest.raises(StateDirectoryError, match="lock is not a regular file") as caught:
        take_lock(tmp_path)
    assert caught.value.code == "state-damaged"
    assert not (tmp_path / "elsewhere").exists()
    (move,) = re.findall("then: (mv .*);", caught.value.remedy)
    subprocess.run(move.split(), check=True)
    take_lock(tmp_path)


def test_a_disk_too_full_for_the_holders_name(tmp_path: Path) -> None:
    """RLIMIT_FSIZE stands in for the full disk."""
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)); "
        "import sys; from pathlib import Path; from fleet_agent.statedir.lock import take_lock; "
        "take_lock(Path(sys.argv[1]))"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)


INHERIT = '''
import json, os, subprocess, sys
from pathlib import Path
from fleet_agent.statedir.lock import holder, take_lock

state_dir = Path(sys.argv[1])
if sys.argv[2] == "first":
    lock = take_lock(state_dir)
    environment = dict(os.environ)
    lock.hand_over(environment)
    os.execve(sys.executable, [sys.executable, sys.argv[3], sys.argv[1], "second", sys.argv[3]], environment)
lock = take_lock(state_dir)
code = """
import os
links = (f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd"))
print([os.readlink(link) for link in links if os.path.lexists(link)])
"""
child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, close_fds=False, check=True)
print(json.dumps({
    "pid": os.getpid(),
    "holder": holder(state_dir),
    "inherited": os.get_inheritable(lock.descriptor),
    "environment": [name for name in os.environ if "LOCK" in name],
    "child": child.stdout,
}))
'''


def test_it_goes_along_when_the_process_becomes_another_program_and_to_no_child(
    tmp_path: Path,
) -> None:
    script = tmp_path / "inherit.py"
    script.write_text(INHERIT)
    state_dir = tmp_path / "state"
    command = [sys.executable, str(script), str(state_dir), "first", str(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        out, _ = process.communicate()
    reported = json.loads(out)
    assert reported["holder"] == reported["pid"] == process.pid
    assert not reported["inherited"]
    assert reported["environment"] == []
    assert "/state/lock" not in reported["child"]


@pytest.mark.parametrize("descriptor", ["rubbish", "-1", "999999", "0"])
def test_a_descriptor_that_is_not_the_lock_is_not_taken_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, descriptor: str
) -> None:
    monkeypatch.setenv("FLEET_AGENT_LOCK_FD", descriptor)
    (tmp_path / "lock").touch()
    lock = take_lock(tmp_path)
    assert str(lock.descriptor) != descriptor
    os.close(lock.descriptor)
