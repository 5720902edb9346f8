"""A program that gives up its terminal, on a real one (a pty)."""

import os
import pty
import select
import signal
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet_agent.process import relay
from support.users import NOBODY

AGENT = str(Path(relay.__file__).parent.parent)

# What a program that holds a terminal could type there, and whether it can reach one.
PROBE = """
import errno, fcntl, os, termios

def attempts():
    for descriptor in range(3):
        try:
            fcntl.ioctl(descriptor, termios.TIOCSTI, b"x")
        except OSError as error:
            yield errno.errorcode[error.errno]
        else:
            yield "typed"
    try:
        os.open("/dev/tty", os.O_RDWR)
    except OSError as error:
        yield errno.errorcode[error.errno]
    else:
        yield "opened"
"""


class Terminal:
    """A program on a terminal of its own."""

    def __init__(self, code: str, *words: str) -> None:
        self.pid, self._master = pty.fork()
        if self.pid == 0:
            os.environ["PYTHONPATH"] = AGENT
            os.execv(sys.executable, [sys.executable, "-c", textwrap.dedent(code), *words])

    def type(self, data: bytes) -> None:
        os.write(self._master, data)

    def read_until(self, end: bytes) -> bytes:
        """What it prints, to these words or its end."""
        seen = b""
        while end not in seen:
            try:
                data = os.read(self._master, 4096)
            except OSError:  # EIO: nobody has the terminal any more
                break
            if not data:
                break
            seen += data
        return seen

    def rest(self) -> str:
        return self.read_until(b"\0").decode()

    def status(self) -> int:
        _, status = os.waitpid(self.pid, 0)
        os.close(self._master)
        return os.waitstatus_to_exitcode(status)


WAIT = """
import os, signal, sys
from fleet_agent.process import relay
relay.give_up_terminal()
def end(number, frame):
    # Not print: it may have been interrupted itself.
    os.write(1, signal.Signals(number).name.encode())
    os._exit(40 + number)
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, end)
print("ready", flush=True)
signal.pause()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_and_the_exit_status_go_through(number: signal.Signals) -> None:
    program = Terminal(WAIT)
    assert b"ready" in program.read_until(b"ready")
    os.kill(program.pid, number)
    assert number.name in program.rest()
    assert program.status() == 40 + number


def test_what_is_typed_to_interrupt_it_does() -> None:
    program = Terminal(WAIT)
    program.read_until(b"ready")
    program.type(b"\x03")
    assert "SIGINT" in program.rest()
    assert program.status() == 40 + signal.SIGINT


def test_an_end_by_a_signal_is_one_here_too() -> None:
    program = Terminal(
        """
        import os, signal
        from fleet_agent.process import relay
        relay.give_up_terminal()
        os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    program.rest()
    assert program.status() == -signal.SIGKILL


def test_everything_that_was_said_arrives() -> None:
    program = Terminal(
        """
        import sys
        from fleet_agent.process import relay
        print("before")
        relay.give_up_terminal()
        print("x" * 300000)
        print("last", relay.is_terminal(1), file=sys.stderr)
        """
    )
    said = program.rest()
    assert said.count("x") == 300000
    assert said.startswith("before")
    assert "last True" in said
    assert program.status() == 0


def test_what_is_typed_arrives_where_it_is_wanted() -> None:
    program = Terminal(
        """
        import sys
        from fleet_agent.process import relay
        relay.give_up_terminal(stdin=True)
        print("ready", flush=True)
        print("heard", sys.stdin.readline().strip())
        """
    )
    program.read_until(b"ready")
    program.type(b"yes\n")
    assert "heard yes" in program.rest()
    assert program.status() == 0


def test_it_ends_with_the_process_that_has_the_terminal() -> None:
    program = Terminal(
        """
        import os, signal
        from fleet_agent.process import relay
        relay.give_up_terminal()
        relay.end_with_parent()
        print(f"<{os.getpid()}>", flush=True)
        signal.pause()
        """
    )
    child = int(program.read_until(b">").strip().strip(b"<>"))
    held = os.pidfd_open(child)
    os.kill(program.pid, signal.SIGKILL)
    assert select.select([held], [], [], 20)[0]
    os.close(held)
    assert program.status() == -signal.SIGKILL


@pytest.fixture
def theirs() -> Iterator[Path]:
    """A state directory of another user's."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        Path(name).chmod(0o755)
        folder = Path(name) / "state"
        folder.mkdir(mode=0o700)
        os.chown(folder, NOBODY, NOBODY)
        yield folder


@pytest.mark.skipif(os.geteuid() != 0, reason="takes root to be somebody else")
def test_the_owner_has_no_terminal_to_type_into(theirs: Path) -> None:
    program = Terminal(
        PROBE
        + """
import sys
from pathlib import Path
from fleet_agent.statedir.owner import become_owner
from fleet_agent.errors import DeviceError
try:
    become_owner(Path(sys.argv[1]), any_owner=True)
except DeviceError as error:  # a checkout below /root, which that user may not read
    assert error.code == "program-unreadable", error
print("as", os.getuid(), *attempts())
sys.exit(7)
""",
        str(theirs),
    )
    said = program.rest()
    assert f"as {NOBODY} ENOTTY ENOTTY ENOTTY ENXIO" in said, said
    assert program.status() == 7


def test_without_a_terminal_nothing_stands_between() -> None:
    """systemd's main process stays the main process."""
    code = """
import os, sys
from fleet_agent.process import relay
before = os.getpid()
relay.give_up_terminal()
print(before == os.getpid())
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": AGENT},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
        start_new_session=True,
    )
    assert done.stdout == "True\n"
