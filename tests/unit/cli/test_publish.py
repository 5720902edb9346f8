"""The installed command against a real socket."""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fleet_agent.config.readings import Allow
from fleet_agent.telemetry.reading import MAX_PAYLOAD, Reading
from support.programs import begin
from support.sources import Bench

COMMAND = Path(sys.executable).with_name("fleet-agent")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.close()


Done = tuple[int, str, str]
Publish = Callable[..., Done]


@pytest.fixture
def publish(bench: Bench, tmp_path: Path) -> Publish:
    """Runs the verb; exit status, stdout, stderr."""

    def run(*words: str, stdin: bytes = b"", acknowledges: str | None = None) -> Done:
        given = tmp_path / "stdin"
        given.write_bytes(stdin)
        argv = [str(COMMAND), "publish", *words, "--runtime-dir", str(bench.runtime_dir)]
        with (
            given.open("rb") as file,
            subprocess.Popen(
                argv, stdin=file, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            ) as process,
        ):

            def is_done() -> bool:
                if acknowledges is not None:
                    for tell in bench.intake.acknowledge:
                        tell(acknowledges)
                    bench.intake.acknowledge.clear()
                return process.poll() is not None

            bench.turn(is_done)
            out, err = process.communicate()
        return process.returncode, out, err

    return run


def only(bench: Bench) -> Reading:
    (reading,) = bench.intake.readings
    return reading


def test_topic_and_payload(bench: Bench, publish: Publish) -> None:
    begin(bench)
    assert publish("dt/{thing}/meter", '{"kwh": 1}') == (0, "", "")
    assert (only(bench).topic, only(bench).payload) == ("dt/pump-7/meter", b'{"kwh":1}')


@pytest.mark.parametrize(
    ("words", "stdin", "payload", "kind"),
    [
        (["5"], b"", b"5", "application/json"),
        (["-5"], b"", b"-5", "application/json"),
        (["-"], b"hello\n", b"hello", "text/plain"),
        (["dt/{thing}/x", "-"], b"[1,\n2]\n", b"[1,2]", "application/json"),
        (["dt/{thing}/x", "007"], b"", b"007", "text/plain"),
        (["-"], b"\xff\x00", b"\xff\x00", "application/octet-stream"),
        (["-"], b"x" * MAX_PAYLOAD, b"x" * MAX_PAYLOAD, "text/plain"),
        (["-"], b"\xff" * MAX_PAYLOAD, b"\xff" * MAX_PAYLOAD, "application/octet-stream"),
    ],
)
def test_payloads(
    bench: Bench, publish: Publish, words: list[str], stdin: bytes, payload: bytes, kind: str
) -> None:
    begin(bench)
    assert publish(*words, stdin=stdin)[0] == 0
    assert only(bench).payload == payload
    assert only(bench).content_type.startswith(kind)


def test_a_file_that_expires(bench: Bench, publish: Publish, tmp_path: Path) -> None:
    begin(bench)
    (tmp_path / "report").write_text("{}\n")
    assert publish("--file", str(tmp_path / "report"), "--expires", "1h", "--qos", "0")[0] == 0
    assert only(bench).expires == only(bench).time + 3600


def test_wait_returns_when_aws_has_it(bench: Bench, publish: Publish) -> None:
    begin(bench)
    status, out, _ = publish("1", "--wait", "--json", acknowledges="")
    assert (status, json.loads(out)) == (0, {"schema": 1, "stored": True, "acknowledged": True})


def test_wait_for_what_is_never_sent(bench: Bench, publish: Publish) -> None:
    begin(bench)
    status, _, err = publish("1", "--wait", acknowledges="refused by policy")
    assert status == 77
    assert "refused by policy" in err


def test_wait_in_vain(bench: Bench, publish: Publish) -> None:
    begin(bench)
    status, _, err = publish("1", "--wait", "--timeout", "0.5")
    assert status == 69
    assert "The reading is stored, but AWS did not acknowledge it in time" in err
    assert len(bench.intake.stored) == 1


def test_without_the_right(bench: Bench, publish: Publish) -> None:
    begin(bench, [Allow(user="12345", topics=("#",))])
    status, out, err = publish("1", "--json")
    assert status == 77
    assert json.loads(out)["error"]["code"] == "not-allowed"
    assert f'{{user: {os.getuid()}, topics: ["dt/pump-7/socket"]}}' in err


@pytest.mark.parametrize(
    ("words", "title"),
    [
        ((), "There is no payload."),
        (("dt/x",), "'dt/x' alone could be a topic or the payload."),
        (("a", "b", "--file", "c"), "There are both a PAYLOAD and --file."),
        (("--file", "/nowhere"), "Cannot read /nowhere"),
        (("dt/+/x", "1"), "wildcard"),
        (("1", "--expires", "soon"), "write a whole number and a unit"),
    ],
)
def test_usage(bench: Bench, publish: Publish, words: tuple[str, ...], title: str) -> None:
    begin(bench)
    status, _, err = publish(*words)
    assert status == 2
    assert title in err
    assert not bench.intake.readings


def test_too_much(bench: Bench, publish: Publish) -> None:
    begin(bench)
    status, _, err = publish("-", stdin=b"x" * (MAX_PAYLOAD + 1))
    assert status == 2
    assert "more than 131072 bytes" in err


def test_not_stored(bench: Bench, publish: Publish) -> None:
    begin(bench)
    bench.intake.refuses = "full"
    status, _, err = publish("1")
    assert status == 75
    assert "not stored: full" in err


def test_no_agent(tmp_path: Path) -> None:
    done: Any = subprocess.run(
        [COMMAND, "publish", "1", "--runtime-dir", tmp_path], capture_output=True, check=False
    )
    assert done.returncode == 69
    assert b"No agent is listening on" in done.stderr


def test_it_loads_no_sdk_and_no_yaml(bench: Bench) -> None:
    source = begin(bench)
    script = (
        "import sys; from fleet_agent import cli; "
        f"cli.main(['publish', '1', '--runtime-dir', {str(source.path.parent)!r}]); "
        "print([name for name in ('awscrt', 'yaml', 'asyncio', 'subprocess') if name in sys.modules])"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True
    ) as process:
        bench.turn(lambda: process.poll() is not None)
        assert process.communicate()[0] == "[]\n"


@pytest.mark.parametrize(
    ("words", "stdin"),
    [
        (["dt/{thing}/a", '{"text": "\\ud83d"}'], b""),
        (["-"], b'"\\udc00"'),
        (["dt/{thing}/\udcff", "1"], b""),
    ],
    ids=["argument", "stdin", "topic"],
)
def test_half_a_character_is_refused_by_name(
    bench: Bench, publish: Publish, words: list[str], stdin: bytes
) -> None:
    begin(bench)
    status, _, err = publish(*words, stdin=stdin)
    assert status == 2
    assert "half a surrogate pair (\\ud" in err
    assert "Traceback" not in err
    assert bench.intake.readings == []


def test_a_stdin_that_does_not_block_is_waited_for(bench: Bench) -> None:
    """As a program with an event loop makes it: Python reads nothing from it, and no end either."""
    begin(bench)
    with subprocess.Popen(["sh", "-c", "sleep 1; echo [1]"], stdout=subprocess.PIPE) as writing:
        assert writing.stdout is not None
        os.set_blocking(writing.stdout.fileno(), False)
        argv = [str(COMMAND), "publish", "-", "--runtime-dir", str(bench.runtime_dir)]
        with subprocess.Popen(argv, stdin=writing.stdout) as process:
            bench.turn(lambda: process.poll() is not None)
    assert process.returncode == 0
    assert only(bench).payload == b"[1]"


def test_a_pipe_that_nobody_writes_into_is_waited_for_no_longer_than_said(
    bench: Bench, publish: Publish, tmp_path: Path
) -> None:
    begin(bench)
    os.mkfifo(tmp_path / "pipe")
    status, _, err = publish("--file", str(tmp_path / "pipe"), "--timeout", "0.2")
    assert (status, bench.intake.readings) == (69, [])
    assert f"Nobody writes into {tmp_path / 'pipe'}" in err


def test_a_pipe_is_read_to_its_end(bench: Bench, publish: Publish, tmp_path: Path) -> None:
    begin(bench)
    os.mkfifo(tmp_path / "pipe")
    with subprocess.Popen(["sh", "-c", f"(echo [1,; sleep 0.2; echo 2]) > {tmp_path / 'pipe'}"]):
        assert publish("--file", str(tmp_path / "pipe"))[0] == 0
    assert only(bench).payload == b"[1,2]"


@pytest.mark.parametrize("seconds", ["-1", "nan", "inf", "soon"])
def test_a_time_that_is_none(bench: Bench, publish: Publish, seconds: str) -> None:
    begin(bench)
    status, _, err = publish("1", "--timeout", seconds)
    assert status == 2
    assert "not a number of seconds" in err


def test_a_stranger_behind_the_socket(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        listening.bind(str(tmp_path / "telemetry.sock"))
        listening.listen()
        thread = threading.Thread(target=_answer_nonsense, args=(listening,))
        thread.start()
        argv = [str(COMMAND), "publish", "1", "--runtime-dir", str(tmp_path)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        thread.join()
    assert done.returncode == 69
    assert "does not answer as the agent does" in done.stderr


def _answer_nonsense(listening: socket.socket) -> None:
    connection, _ = listening.accept()
    with connection:
        connection.recv(4096)
        connection.send(b'{"ok": false, "error": "\\u001b[2J"}')


def test_a_path_that_no_socket_can_have_is_named_with_what_helps(tmp_path: Path) -> None:
    folder = tmp_path / ("d" * 100)
    argv = [str(COMMAND), "publish", "{}", "--runtime-dir", str(folder)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 69
    assert f"{folder}/telemetry.sock: its path has" in done.stderr
    assert "runtime_dir" in done.stderr
