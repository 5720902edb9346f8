"""Real programs, watched through a real mailbox."""

import gc
import math
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fleet_agent.clock import SystemClock
from fleet_agent.process.mailbox import Mailbox, Ready
from fleet_agent.programs import child as children
from fleet_agent.programs.child import Cause, Child, Ended

CLOCK = SystemClock()


class Bench:
    """Runs the mailbox as the loop does."""

    def __init__(self) -> None:
        self.mailbox = Mailbox(CLOCK)
        self.ends: list[Ended] = []

    def start(self, *argv: str, **options: Any) -> Child:
        settings: dict[str, Any] = {
            "stdin": b"",
            "limit": 100_000,
            "timeout": 60.0,
            "environment": {},
            **options,
        }
        return Child(argv, mailbox=self.mailbox, clock=CLOCK, on_end=self.ends.append, **settings)

    def turn(self, child: Child, is_done: Callable[[], bool]) -> None:
        limit = CLOCK.monotonic() + 60
        while not is_done():
            assert CLOCK.monotonic() < limit
            if CLOCK.monotonic() >= child.due:
                child.act()
            elif isinstance(event := self.mailbox.wait(min(child.due, limit)), Ready):
                event.act()

    def run(self, *argv: str, **options: Any) -> Ended:
        child = self.start(*argv, **options)
        self.turn(child, lambda: bool(self.ends))
        assert child.due == math.inf
        child.kill()
        assert not self.mailbox._watched
        return self.ends.pop()


@pytest.fixture
def bench() -> Bench:
    return Bench()


def is_alive(process: int) -> bool:
    """Whether it runs: one that only waits for its parent, here whoever adopted it, does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_what_it_prints_and_how_it_ended(bench: Bench) -> None:
    ended = bench.run("sh", "-c", "echo out; echo err >&2")
    assert ended == Ended(
        cause=Cause.ENDED, status=0, output=b"out\n", is_cut=False, words=None, errors=b"err\n"
    )
    ended = bench.run("sh", "-c", "echo out; echo 'no\tmeter' >&2; exit 3")
    assert (ended.status, ended.output) == (3, b"out\n")
    assert ended.words == "ended with exit status 3: no?meter"
    ended = bench.run("sh", "-c", "kill -9 $$")
    assert (ended.status, ended.words) == (-9, "was killed by SIGKILL")


def test_it_gets_a_clean_environment_the_root_folder_and_no_descriptor(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "of the agent")
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    script = "env | sort; pwd; ls /proc/self/fd | tr '\\n' ' '"
    lines = bench.run("sh", "-c", script, environment={"TOPIC": "a b"}).output.decode().split("\n")
    os.close(reading)
    os.close(writing)
    names = [line.partition("=")[0] for line in lines[:-2]]
    assert [name for name in names if name not in {"PWD", "SHLVL", "_", "OLDPWD"}] == [
        "LANG",
        "PATH",
        "TOPIC",
    ]
    assert lines[-2] == "/"
    assert lines[-1].split() == ["0", "1", "2", "3"]  # 3 is of ls itself


def test_more_goes_in_and_out_than_a_pipe_holds(bench: Bench) -> None:
    data = os.urandom(1 << 20)
    assert bench.run("cat", stdin=data, limit=1 << 20).output == data


def test_one_that_reads_nothing_is_no_failure(bench: Bench) -> None:
    assert bench.run("true", stdin=b"x" * (1 << 20)).words is None


@pytest.mark.parametrize("argv", [("/nowhere/x",), ("no-such-program-here",), ("/etc/passwd",)])
def test_one_that_cannot_be_started_is_told_of_later(bench: Bench, argv: tuple[str]) -> None:
    child = bench.start(*argv)
    assert not bench.ends
    bench.turn(child, lambda: bool(bench.ends))
    assert bench.ends[0].cause is Cause.NOT_STARTED
    assert str(bench.ends[0].words).startswith("cannot be started: ")


def test_too_much_output_ends_it_or_is_cut(bench: Bench) -> None:
    ended = bench.run("yes", limit=1000)
    assert (ended.cause, len(ended.output)) == (Cause.TOO_MUCH, 1000)
    assert str(ended.words).startswith("prints more than 1000 bytes")
    ended = bench.run("head", "-c", "300000", "/dev/zero", limit=1000, cuts=True)
    assert (ended.cause, ended.status, ended.is_cut) == (Cause.ENDED, 0, True)
    assert ended.output == bytes(1000)


@pytest.mark.parametrize("where", ["", " >&2"])
def test_what_is_printed_in_vain_is_thrown_away_at_a_pace(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """One that prints without end cost half a core until its time was over."""
    monkeypatch.setattr(children, "_FREE", 1 << 20)
    began = CLOCK.monotonic()
    ended = bench.run("sh", "-c", f"head -c 3000000 /dev/zero{where}", limit=1000, cuts=True)
    assert (ended.cause, ended.status, ended.words) == (Cause.ENDED, 0, None)
    # All of it was read, 64 KiB at a time; unhindered that takes some milliseconds.
    assert CLOCK.monotonic() - began > 25 * children._PAUSE


def test_past_its_time_it_and_its_children_are_ended(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children, "GRACE", 0.3)
    started = tmp_path / "started"
    # The leader heeds SIGTERM, its child does not.
    script = f"(trap '' TERM; sh -c 'echo $PPID' > {started}; echo; sleep 600) & wait"
    child = bench.start("sh", "-c", script, timeout=1e9)
    bench.turn(child, lambda: started.exists() and started.read_text().endswith("\n"))
    child._ends_at = CLOCK.monotonic()
    bench.turn(child, lambda: bool(bench.ends))
    assert bench.ends[0].cause is Cause.TIMEOUT
    assert bench.ends[0].words == "did not end within 1e+09 s"
    limit = CLOCK.monotonic() + 30
    while is_alive(int(started.read_text())):
        assert CLOCK.monotonic() < limit


def test_one_that_ignores_sigterm_is_killed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "GRACE", 0.1)
    ended = bench.run("sh", "-c", "trap '' TERM; echo on; while :; do sleep 1; done", timeout=0.5)
    assert (ended.cause, ended.status) == (Cause.TIMEOUT, -signal.SIGKILL)
    assert ended.output in {b"on\n", b""}


def test_one_that_ended_in_time_is_no_timeout_though_we_come_late(bench: Bench) -> None:
    child = bench.start("echo", "done")
    os.waitid(os.P_PID, child._process.pid, os.WEXITED | os.WNOWAIT)  # type: ignore[union-attr]
    child._ends_at = 0.0
    child.act()
    assert (bench.ends[0].cause, bench.ends[0].output) == (Cause.ENDED, b"done\n")


def test_what_its_children_still_print_is_not_waited_for(bench: Bench, tmp_path: Path) -> None:
    number = tmp_path / "number"
    ended = bench.run("sh", "-c", f"sleep 600 & echo $! > {number}; echo done")
    assert (ended.status, ended.output) == (0, b"done\n")
    assert is_alive(int(number.read_text()))
    os.kill(int(number.read_text()), signal.SIGKILL)


def test_killed_it_says_nothing_more(bench: Bench) -> None:
    child = bench.start("sleep", "600")
    process = child._process
    assert process is not None
    child.kill()
    child.kill()
    assert process.returncode == -signal.SIGKILL
    assert not bench.ends
    assert not bench.mailbox._watched


def test_no_descriptor_is_left_open(bench: Bench) -> None:
    gc.collect()  # what earlier tests left
    before = list(Path("/proc/self/fd").iterdir())
    for _ in range(20):
        bench.run("cat", stdin=b"x")
        bench.run("/nowhere")
        bench.start("sleep", "600").kill()
    assert len(list(Path("/proc/self/fd").iterdir())) == len(before)
