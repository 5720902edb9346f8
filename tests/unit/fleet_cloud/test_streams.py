"""A console that is not UTF-8, streams that are closed, full or cut off: an exit status, and never a traceback."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from support.agent import until
from support.descriptors import opened

Programs = Callable[[str, str], Path]

CALLER = '{"Arn": "arn:aws:iam::123456789012:user/me"}'
# A thing whose attributes are not for a terminal: what devices show prints.
THING = json.dumps(
    {
        "thingName": "x",
        "attributes": {"site": "東京", "title": "\x1b]0;owned\x07", "way": "\u202ex"},
    }
)
AWS = f"case $2 in describe-thing) echo '{THING}';; get-caller-identity) echo '{CALLER}';; *) echo '{{}}';; esac"
SHOW = ("devices", "show", "x")
LATIN = {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}


@pytest.fixture
def run(
    root_dir: Path, tmp_path: Path, programs: Programs
) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    programs("aws", AWS.replace("\\", "\\\\"))
    environment = {
        "PATH": os.environ["PATH"],
        "AWS_REGION": "eu-west-1",
        "HOME": str(tmp_path),
        "FLEET_CLOUD_WITH": "aws",
    }

    def start(
        *words: str, redirect: str = "", through: str = "", more: dict[str, str] | None = None
    ) -> "subprocess.CompletedProcess[str]":
        program = f'exec {through} "$0" "$@" {redirect}'
        command = [sys.executable, str(root_dir / "scripts" / "fleet-cloud"), *words]
        return subprocess.run(
            ["sh", "-c", program, *command],
            cwd=tmp_path,
            env=environment | (more or {}),
            capture_output=True,
            text=True,
            check=False,
        )

    return start


Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.mark.parametrize("more", [{}, LATIN], ids=["utf-8", "ascii"])
def test_foreign_text_is_shown_as_what_it_is(run: Run, more: dict[str, str]) -> None:
    done = run(*SHOW, more=more)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.replace("\n", "").isprintable()
    assert "\\x1b]0;owned\\x07" in done.stdout
    assert "\\u202ex" in done.stdout
    assert ("\\u6771\\u4eac" if more else "東京") in done.stdout


@pytest.mark.parametrize(
    "stream", ["<&-", ">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-", "2>/dev/full"]
)
def test_closed_stream_changes_no_exit_status(run: Run, stream: str) -> None:
    for words, status in ((SHOW, 0), (("up", "--region", "moon"), 2), (("--help",), 0)):
        done = run(*words, redirect=stream)
        assert done.returncode == status, done.stderr
        assert "Traceback" not in done.stdout + done.stderr
        assert "Exception ignored" not in done.stderr


@pytest.mark.parametrize("words", [SHOW, (*SHOW, "--json"), ("--help",), ("up", "--dry-run")])
def test_full_stdout_is_one_line_and_a_failure(run: Run, words: tuple[str, ...]) -> None:
    done = run(*words, redirect=">/dev/full")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    if words != ("--help",):
        assert "stdout cannot be written" in done.stderr


def test_an_answer_of_which_a_part_was_written_is_a_failure(run: Run) -> None:
    more = {"PYTHONUNBUFFERED": "1"}
    done = run(*SHOW, "--json", redirect=">out", through="prlimit --fsize=100", more=more)
    assert done.returncode == 1
    assert "stdout cannot be written: File too large" in done.stderr


def test_nobody_at_stdin_is_no_yes(run: Run) -> None:
    for redirect in ("<&-", "</dev/null"):
        done = run("bulk", "reset", redirect=redirect)
        assert "Traceback" not in done.stderr


def test_terminated_again_and_again_is_one_line(tmp_path: Path, root_dir: Path) -> None:
    fifo = tmp_path / "list"
    os.mkfifo(fifo)
    program = [sys.executable, str(root_dir / "scripts" / "fleet-cloud")]
    writer = os.open(fifo, os.O_RDWR)  # nothing is written, and reading waits
    with subprocess.Popen(
        [*program, "up", "--hook-allow", str(fifo)],
        env={"PATH": os.environ["PATH"], "AWS_REGION": "eu-west-1", "HOME": str(tmp_path)},
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        until(lambda: str(fifo) in opened(running.pid), "the list is read")
        while running.poll() is None:
            running.terminate()
        os.close(writer)
        assert running.stderr
        said = running.stderr.read()
    assert running.returncode == 130
    assert said == "\nfleet-cloud: interrupted; run it again to continue\n"


def test_bytes_that_are_no_text_are_refused_by_name(run: Run) -> None:
    done = run("config", "--out", "a", "--claim-dir", "\udcff", "--device-endpoint", "x")
    assert done.returncode == 2
    assert "\\udcff" in done.stderr
    assert "LC_ALL" in done.stderr
