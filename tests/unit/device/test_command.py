import os
import time
from pathlib import Path

import pytest

from fleet_agent.config.sources import FromCommand
from support.devices import Tree


def shell(script: str, timeout: float = 10.0) -> FromCommand:
    return FromCommand(command=("/bin/sh", "-c", script), timeout=timeout)


def test_what_it_prints_without_the_white_space_around_it(tree: Tree) -> None:
    assert tree.found(FromCommand(command=("echo", "  rev B "))) == ("rev B", "command:echo")


def test_no_shell_touches_the_arguments(tree: Tree) -> None:
    assert tree.found(FromCommand(command=("echo", "$HOME;*", "a b")))[0] == "$HOME;* a b"


def test_its_environment_has_nothing_of_the_agents(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "x")
    wanted = "LANG=C.UTF-8,PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    assert (
        tree.found(shell("/usr/bin/env | grep -v ^PWD= | sort | paste -sd, -"))[0].split(",_=")[0]
        == wanted
    )


def test_it_gets_none_of_the_agents_files_even_inheritable_ones(
    tree: Tree, tmp_path: Path
) -> None:
    with (tmp_path / "lock").open("w") as lock:
        os.set_inheritable(lock.fileno(), True)
        reason = tree.reason(
            shell(f"readlink /proc/self/fd/{lock.fileno()} || echo closed >&2; exit 1")
        )
    assert reason.endswith("closed")


def test_it_reads_nothing(tree: Tree) -> None:
    assert tree.found(shell("cat; echo end"))[0] == "end"


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo no such board >&2; exit 3", "ended with exit status 3: no such board"),
        ("printf 'one\\n\\033[31mtwo\\n\\n' >&2; exit 1", "ended with exit status 1: ?[31mtwo"),
        ("exit 1", "ended with exit status 1"),
        ("kill -SEGV $$", "was killed by SIGSEGV"),
        ("printf '\\377'", "prints something that is not UTF-8"),
        ("echo a; echo b", "has more than one line"),
        ("true", "is empty"),
        ("echo N/A", 'has the placeholder "N/A"'),
        ("head -c 100000 /dev/zero", "prints more than 16384 bytes"),
        ("yes", "prints more than 16384 bytes"),
        (
            "yes >&2 & sleep 0.2; kill $!; wait $!; echo last >&2; exit 1",
            "ended with exit status 1: last",
        ),
    ],
)
def test_a_command_that_gives_no_value(tree: Tree, script: str, reason: str) -> None:
    assert tree.reason(shell(script)) == f"command:/bin/sh {reason}"


def test_a_command_that_is_not_there(tree: Tree) -> None:
    reason = tree.reason(FromCommand(command=("/no/such/program",)))
    assert reason == "command:/no/such/program cannot be started: No such file or directory"


def test_a_command_that_may_not_be_run(tree: Tree) -> None:
    file = tree.write("program", "#!/bin/sh\n")
    reason = tree.reason(FromCommand(command=(str(file),)))
    assert reason == f"command:{file} cannot be started: Permission denied"


@pytest.mark.parametrize(
    "script",
    [
        "sleep 60",
        "sleep 60 & wait",  # a child of its own holds the pipe
        "exec >&- 2>&-; sleep 60",  # the pipes are closed and it goes on
        "trap '' TERM; echo started >&2; sleep 60",
    ],
)
def test_a_command_that_does_not_end_is_killed_in_time(tree: Tree, script: str) -> None:
    before = time.monotonic()
    reason = tree.reason(shell(script, timeout=0.4))
    assert reason.startswith("command:/bin/sh did not end within 0.4 s")
    assert time.monotonic() - before < 10


def test_what_a_killed_command_had_started_is_killed_too(tree: Tree, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    tree.reason(shell(f"sleep 60 & echo $! > {note}; wait", timeout=0.5))
    child = int(note.read_text())
    deadline = time.monotonic() + 10
    while _lives(child) and time.monotonic() < deadline:
        os.sched_yield()
    assert not _lives(child)


def _lives(process: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
