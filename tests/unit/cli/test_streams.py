"""A console that is not UTF-8, streams that are closed, full or cut off: an exit status, and never a traceback."""

import fcntl
import json
import os
import select
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import fleet_agent
from support.certificates import make_pair

AGENT = str(Path(fleet_agent.__file__).parent.parent)
ASCII = {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
CONFIG = """\
endpoint: localhost
provisioning: {template: t, parameters: {SerialNumber: x1, Site: "東京 \\u202ex"}}
state_dir: state
"""
# Verb and its exit status, on a device without an identity.
VERBS = (("status", 4), ("parameters", 0), (("config", "show"), 0), (("rotate", "--check"), 2))

Done = subprocess.CompletedProcess[str]
Run = Callable[..., Done]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    (tmp_path / "c.yaml").write_text(CONFIG)
    plain = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": AGENT}

    def start(words: str | tuple[str, ...], redirect: str = "", **more: str) -> Done:
        given = [words] if isinstance(words, str) else list(words)
        config = [] if given[0].startswith("-") else ["--config", "c.yaml"]
        command = [sys.executable, "-m", "fleet_agent", *given, *config]
        return subprocess.run(
            ["sh", "-c", f'"$0" "$@" {redirect}', *command],
            cwd=tmp_path,
            env=plain | more,
            capture_output=True,
            text=True,
            check=False,
        )

    return start


def assert_calm(done: Done) -> None:
    """Nothing that only a developer understands."""
    for text in (done.stdout, done.stderr):
        assert "Traceback" not in text
        assert "Exception ignored" not in text
        assert "Error:" not in text


@pytest.mark.parametrize("more", [{}, ASCII], ids=["utf-8", "ascii"])
@pytest.mark.parametrize(("words", "status"), VERBS)
def test_any_console_can_be_written_to(
    run: Run, more: dict[str, str], words: str, status: int
) -> None:
    done = run(words, **more)
    assert_calm(done)
    assert done.returncode == status, done.stderr
    assert done.stdout.replace("\n", "").isprintable()
    assert not more or done.stdout.isascii()


def test_what_a_console_lacks_is_spelled(run: Run) -> None:
    assert run("status").stdout.startswith("●")
    assert run("status", **ASCII).stdout.startswith("*")
    assert "東京 \\u202ex" in run("parameters").stdout
    assert "\\u6771\\u4eac \\u202ex" in run("parameters", **ASCII).stdout


def test_paths_and_arguments_are_utf8_on_any_console(run: Run, tmp_path: Path) -> None:
    """A file is not another one, nor one that cannot be named, because somebody logged in with LANG=en_US."""
    (tmp_path / "dé").mkdir()
    (tmp_path / "dé" / "site").write_text("Zürich")
    (tmp_path / "c.yaml").write_text("""\
endpoint: localhost
provisioning:
  template: t
  parameters: {SerialNumber: {command: [/bin/echo, 東京]}, Site: {file: dé/site}}
state_dir: dé/state
""")
    expected = (("parameters", 0), ("status", 4), ("doctor", 1), ("reset", 0), ("publish", 2))
    for words, status in expected:
        done = run(words, **ASCII)
        assert_calm(done)
        assert done.returncode == status, done.stderr
        assert done.stdout.isascii()
    shown = run(("parameters", "--json"), **ASCII)
    values = {each["name"]: each["value"] for each in json.loads(shown.stdout)["parameters"]}
    assert values == {"SerialNumber": "東京", "Site": "Zürich"}
    assert run(("status", "--state-dir", "dé"), **ASCII).returncode == 4


def test_shown_settings_stay_what_they_are_on_any_console(run: Run, tmp_path: Path) -> None:
    shown = run(("config", "show"), **ASCII).stdout
    (tmp_path / "c.yaml").write_text(shown)
    values = json.loads(run(("config", "show", "--json")).stdout)["settings"]["provisioning"]
    assert values["parameters"]["Site"] == "東京 \u202ex"


@pytest.mark.parametrize(
    "stream", ["<&-", ">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-", "2>/dev/full"]
)
def test_a_closed_stream_changes_no_exit_status(run: Run, stream: str) -> None:
    for words, status in (("status", 4), ("--help", 0), ("nonsense", 2)):
        done = run(words, stream)
        assert_calm(done)
        assert done.returncode == status, (words, done.stderr)


def test_nothing_goes_astray_with_stderr_closed(run: Run) -> None:
    """Python has no stderr then, and what is printed to none would land on stdout."""
    done = run(("config", "check", "--port", "0", "--json"), "2>&-")
    assert json.loads(done.stdout)["error"]["code"] == "configuration"


def test_a_full_stdout_is_said_in_a_line(run: Run) -> None:
    for words, status in (("status", 4), (("config", "show"), 0), ("--help", 0)):
        done = run(words, ">/dev/full")
        assert_calm(done)
        assert done.returncode == (status or 1), (words, done.stderr)
        assert "fleet-agent: stdout cannot be written: No space left on device" in done.stderr


def test_a_stdout_that_does_not_block_gets_all_of_a_long_answer() -> None:
    """Such as a pipe that an event loop made: without a buffer Python writes what fits and drops the rest."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    command = [sys.executable, "-u", "-m", "fleet_agent", "config", "schema"]
    with subprocess.Popen(command, stdout=writer, env={"PYTHONPATH": AGENT}) as process:
        os.close(writer)
        with open(reader, "rb") as file:  # noqa: PTH123 - a descriptor
            select.select([file], [], [])
            assert len(json.loads(file.read())) > 1
    assert process.returncode == 0


def test_an_answer_of_which_a_part_was_written_is_said(tmp_path: Path) -> None:
    command = [sys.executable, "-u", "-m", "fleet_agent", "config", "schema"]
    with (tmp_path / "out").open("wb") as file:
        done = subprocess.run(
            ["prlimit", "--fsize=1000", *command],
            stdout=file,
            stderr=subprocess.PIPE,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": AGENT},
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == b"fleet-agent: stdout cannot be written: File too large\n"


def test_a_reader_who_has_enough_hears_nothing(run: Run) -> None:
    done = run(("config", "schema"), "| true")
    assert_calm(done)
    assert done.stderr == ""


def test_ctrl_c_while_it_waits_is_no_traceback(tmp_path: Path) -> None:
    code = """
import signal, sys, threading
from fleet_agent import cli
threading.Event.wait = lambda *_: signal.raise_signal(signal.SIGINT)
sys.exit(cli.main(["status", "--wait", "0", "--state-dir", "state"]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": AGENT},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (130, "")


@pytest.mark.parametrize("launcher", ["fleet_agent.__main__", "fleet-cloud"])
@pytest.mark.parametrize(
    ("before", "after"), [("default_int_handler", "SIG_DFL"), ("SIG_IGN", "SIG_IGN")]
)
def test_ctrl_c_while_it_starts_is_a_plain_end(
    root_dir: Path, launcher: str, before: str, after: str
) -> None:
    # What is imported next asks how a Ctrl-C would end now; one that was ignored stays so.
    path = str(root_dir / "scripts" / launcher)
    start = f"runpy.run_path({path!r})" if launcher == "fleet-cloud" else f"import {launcher}"
    code = (
        "import builtins, runpy, signal, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, *rest):\n"
        "        if name in ('fleet_agent.cli', 'fleet_cloud'):\n"
        f"            sys.exit(signal.getsignal(signal.SIGINT) is not signal.{after})\n"
        f"signal.signal(signal.SIGINT, signal.{before})\n"
        f"sys.meta_path.insert(0, Finder())\n{start}\nsys.exit(5)"
    )
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": AGENT}
    done = subprocess.run([sys.executable, "-c", code], env=environment, check=False)
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--port", "99999"), "--port"),
        (("--port", "x"), "--port"),
        (("--method", "magic"), "--method"),
        (("--template-parameters", '{"SerialNumber": ""}'), "SerialNumber: is empty"),
        (("--template-parameters", '{"SerialNumber": " "}'), "SerialNumber: is empty"),
        (
            ("--template-parameters", '{"SerialNumber": 1}'),
            "SerialNumber is not text: a JSON object with string values",
        ),
        (("--template-parameters", "[]"), "it is not text: a JSON object with string values"),
        (("--csr", ""), "Argument --csr: is empty"),
        (("--config", ""), "Argument --config: is empty"),
        (
            ("--proxy", "http://me:s3cr3t@proxy:1"),
            "argument: --proxy.\n  See fleet-agent provision --help",
        ),
        (("--proxy=http://me:s3cr3t@proxy:1",), "argument: --proxy.\n"),
        (("--template-parameters", '{"A": "1", "A": "2"}'), "twice"),
        (("--template-parameters", "[" * 100_000), "not JSON"),
        (("--template-parameters", '{"A": "\\ud83d"}'), "A: "),
    ],
)
def test_a_wrong_flag_is_blamed_and_no_file(
    tmp_path: Path, flags: tuple[str, ...], words: str
) -> None:
    given = ("--endpoint", "a1-ats.iot.eu-west-1.amazonaws.com", "--cert", "c", "--key", "k")
    more = () if "--template-parameters" in flags else ("--template-parameters", '{"S": "1"}')
    command = [sys.executable, "-m", "fleet_agent", "provision", *given, *more, *flags]
    done = subprocess.run(
        [*command, "--template-name", "t", "--state-dir", str(tmp_path / "s")],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": AGENT},
        capture_output=True,
        text=True,
        check=False,
    )
    assert_calm(done)
    assert done.returncode in (2, 78)
    assert words in done.stderr
    assert "s3cr3t" not in done.stderr
    assert "config.yaml" not in done.stderr
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    "words",
    [("config", "install", "--root"), ("doctor", "--image"), ("import",), ("credentials", "--token-file")],
    ids=" ".join,
)  # fmt: skip
def test_an_empty_name_is_no_place(run: Run, words: tuple[str, ...]) -> None:
    done = run((*words, ""))
    assert_calm(done)
    assert done.returncode == 2
    assert "is empty" in done.stderr


def test_a_current_directory_that_is_gone(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    pair = make_pair(tmp_path / "claim")

    def start(*words: object) -> Done:
        gone.mkdir()
        command = [sys.executable, "-m", "fleet_agent", *map(str, words)]
        done = subprocess.run(
            ["sh", "-c", 'rmdir ../gone; exec "$0" "$@"', *command],
            cwd=gone,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": AGENT},
            capture_output=True,
            text=True,
            check=False,
        )
        assert_calm(done)
        return done

    done = start("import", "some.conf")
    assert done.returncode == 2
    assert "The current directory was removed." in done.stderr
    place = ("--endpoint", "127.0.0.1", "--port", "1")
    claim = ("--cert", pair.certificate, "--key", pair.private_key, "--template-name", "t")
    done = start("provision", *claim, *place, "--state-dir", "s")
    assert done.returncode == 73, done.stderr
    assert "The current directory was removed." in done.stderr
    # What is named from the root on is found all the same, and nobody listens there.
    there = (*place, "--state-dir", str(tmp_path / "s"))
    done = start("provision", *claim, *there, "--timeout", "0.5", "--allow-volatile")
    assert done.returncode == 69, done.stderr


@pytest.mark.parametrize(
    "content",
    [b"\xff\xfee\0n\0d\0", b"\xfe\xff\0e", b"a\0b", b"\xff", b"[" * 5000, b"x: &a [*a]"],
    ids=["UTF-16", "UTF-16 BE", "NUL", "latin-1", "deep", "alias to itself"],
)
def test_a_configuration_that_is_none_is_named(run: Run, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "c.yaml").write_bytes(content)
    done = run("status")
    assert_calm(done)
    assert done.returncode == 78
    assert "c.yaml" in done.stderr


@pytest.mark.parametrize("before", [b"\xef\xbb\xbf", b""], ids=["BOM", "plain"])
def test_a_configuration_from_another_system_is_read(
    run: Run, tmp_path: Path, before: bytes
) -> None:
    (tmp_path / "c.yaml").write_bytes(before + CONFIG.replace("\n", "\r\n").encode())
    assert run("status").returncode == 4


def test_a_configuration_that_nobody_writes_to_is_not_waited_for(run: Run, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").unlink()
    os.mkfifo(tmp_path / "c.yaml")
    done = run("status")
    assert done.returncode == 78
    assert "is not a regular file" in done.stderr


def test_a_claim_that_nobody_writes_to_is_not_waited_for(run: Run, tmp_path: Path) -> None:
    claim = "claim: {certificate: crt, private_key: key}\n"
    (tmp_path / "c.yaml").write_text(CONFIG + claim)
    os.mkfifo(tmp_path / "crt")
    done = run("doctor")
    assert_calm(done)
    assert done.returncode == 1
    assert f"{tmp_path / 'crt'} cannot be read: it is not a regular file." in done.stdout


@pytest.mark.parametrize("place", ["/dev/null", "/etc/passwd", "mine"])
@pytest.mark.parametrize("verb", ["status", "reset", "provision", "doctor"])
def test_nobody_is_told_to_move_what_is_not_the_agents(
    run: Run, tmp_path: Path, verb: str, place: str
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "credentials").write_text("[default]")
    done = run((verb, "--state-dir", place, *(["--yes"] if verb == "reset" else [])))
    assert_calm(done)
    assert done.returncode
    assert "mv " not in done.stdout + done.stderr
