"""Programs that messages start."""

import json
import os
import sys
from pathlib import Path

import pytest

from fleet_agent.config.handlers import ExecHandler, UploadBundle
from fleet_agent.config.subscriptions import Subscription
from unit.orders.conftest import Bench

SHOW = """
import json, os, sys
print(json.dumps({"env": dict(os.environ), "argv": sys.argv[1:], "in": sys.stdin.read(),
                  "fds": sorted(map(int, os.listdir("/proc/self/fd"))), "cwd": os.getcwd()}))
"""


def running(*argv: str, **options: object) -> Subscription:
    deduplicate = options.pop("deduplicate", None)
    return Subscription(
        topic="cmd/+",
        name="h",
        exec=ExecHandler(argv=argv, **options),  # type: ignore[arg-type]
        deduplicate=deduplicate,  # type: ignore[arg-type]
    )


def test_the_payload_is_stdin_and_nothing_else_of_the_message_gets_near_a_shell(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_AGENT", "x")
    os.set_inheritable(os.open("/dev/null", os.O_RDONLY), True)
    bench.listen(running(sys.executable, "-c", SHOW, "$(reboot)", deduplicate="property:id"))
    topic = "cmd/$(touch x);`id`"
    bench.send(topic, b"; rm -rf /", content_type="a/b", user_properties=(("id", "7"),))
    (answer,) = bench.answered()
    assert (answer.topic, answer.correlation_data) == ("answers", b"\x00c")
    assert answer.content_type == "application/json"
    assert answer.user_properties == (("handler", "h"),)
    assert answer.said["status"] == 0
    assert answer.said["truncated"] is False
    shown = json.loads(answer.said["stdout"])
    assert (shown["in"], shown["argv"], shown["cwd"]) == ("; rm -rf /", ["$(reboot)"], "/")
    assert shown["fds"][:3] == [0, 1, 2]
    assert len(shown["fds"]) <= 4  # the fourth lists them
    ours = {name: value for name, value in shown["env"].items() if name.startswith("FLEET_AGENT")}
    assert ours == {
        "FLEET_AGENT_TOPIC": topic,
        "FLEET_AGENT_HANDLER": "h",
        "FLEET_AGENT_CONTENT_TYPE": "a/b",
        "FLEET_AGENT_RESPONSE_TOPIC": "answers",
        "FLEET_AGENT_MESSAGE_ID": "7",
    }
    assert set(shown["env"]) - set(ours) <= {"PATH", "LANG", "LC_CTYPE"}


def test_a_program_that_fails_is_answered_counted_and_a_problem_until_one_goes_well(
    bench: Bench,
) -> None:
    bench.listen(running("sh", "-c", 'read code; echo told; echo why >&2; exit "$code"'))
    assert bench.ask("cmd/a", b"3\n") == {
        "status": 3,
        "reason": "sh ended with exit status 3: why",
        "stdout": "told\n",
        "truncated": False,
    }
    assert bench.problems == {
        "handler-failed h": "The handler h failed: sh ended with exit status 3: why."
    }
    assert bench.counters().failed == 1
    assert bench.counters().last_error == "sh ended with exit status 3: why"
    assert bench.ask("cmd/a", b"0\n")["status"] == 0
    assert bench.problems == {}
    assert (bench.counters().handled, bench.counters().failed) == (1, 1)


@pytest.mark.parametrize(
    ("argv", "options", "error", "reason"),
    [
        (("/nonexistent/x",), {}, "not-started", "cannot be started"),
        (("sleep", "60"), {"timeout": 0.1}, "timeout", "did not end within 0.1 s"),
        (("sh", "-c", "kill -9 $$"), {}, "killed", "was killed by SIGKILL"),
        (("sh", "-c", "kill -63 $$"), {}, "killed", "was killed by signal 63"),
    ],
)
def test_one_that_has_no_exit_status_says_why(
    bench: Bench, argv: tuple[str, ...], options: dict[str, object], error: str, reason: str
) -> None:
    bench.listen(running(*argv, **options))
    found = bench.ask("cmd/a")
    assert (found["status"], found["error"]) == (-1, error)
    assert reason in found["reason"]
    assert list(bench.problems) == ["handler-failed h"]


def test_more_output_than_an_answer_carries_is_cut_and_said_to_be(bench: Bench) -> None:
    bench.listen(running("sh", "-c", "head -c 3000 /dev/zero; seq 100000", max_answer=2000))
    found = bench.ask("cmd/a")
    assert found == {"status": 0, "stdout": "\0" * 2000, "truncated": True}


def test_an_answer_fits_into_a_message_whatever_json_makes_of_the_output(bench: Bench) -> None:
    bench.listen(running("head", "-c", "100K", "/dev/zero", max_answer=100 * 1024))
    bench.send("cmd/a")
    (answer,) = bench.answered()
    assert len(answer.payload) <= 120 * 1024
    assert answer.said["truncated"] is True
    assert len(answer.said["stdout"]) > 15_000


def test_it_runs_once_at_a_time_in_order_and_beyond_the_line_it_is_busy(
    bench: Bench, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    script = f'read x; echo "begin $x" >>{log}; sleep 0.05; echo "end $x" >>{log}; echo "$x"'
    bench.listen(running("sh", "-c", script, max_waiting=2))
    for number in range(5):
        bench.send("cmd/a", b"%d\n" % number, qos=0)
    answers = [answer.said for answer in bench.answered(5)]
    assert [found.get("error") for found in answers] == ["busy", "busy", None, None, None]
    assert log.read_text().split() == " ".join(f"begin {n} end {n}" for n in range(3)).split()
    counters = bench.counters()
    assert (counters.handled, counters.refused, counters.waiting) == (3, 2, 0)
    assert bench.problems == {}


def test_too_large_a_message_is_refused(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.listen(running("cat", max_size=10))
    assert bench.ask("cmd/a\n\x1b[31m", b"x" * 11)["error"] == "too-large"
    assert "cmd/a\\n\\u001b[31m" in caplog.text  # on a terminal, too, one line
    assert bench.ask("cmd/a", b"x" * 10)["stdout"] == "x" * 10


def test_what_waits_outlives_the_agent_and_what_was_started_is_not_started_again(
    bench: Bench, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    bench.listen(running("sh", "-c", f"cat >>{log}; test -e {tmp_path}/go || sleep 60"))
    for number in range(3):
        bench.send("cmd/a", b"%d\n" % number)
    bench.turn(log.exists)
    bench.turn(lambda: log.read_text() == "0\n")
    bench.die()
    (tmp_path / "go").touch()
    bench.live()
    answers = bench.answered(3)
    assert {(answer.topic, answer.correlation_data) for answer in answers} == {
        ("answers", b"\x00c")
    }
    assert [answer.said.get("error") for answer in answers] == ["stopped", None, None]
    assert log.read_text() == "0\n1\n2\n"
    assert list((tmp_path / "orders").rglob("*.json")) == []


def test_a_stop_ends_the_program_and_tells_its_sender(bench: Bench, tmp_path: Path) -> None:
    bench.listen(running("sh", "-c", f"echo $$ >{tmp_path}/pid; exec sleep 60"))
    bench.send("cmd/a")
    bench.turn((tmp_path / "pid").exists)
    bench.turn((tmp_path / "pid").read_text)
    bench.registry.close()
    (answer,) = bench.answered()
    assert answer.said["error"] == "stopped"
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_a_disk_that_takes_nothing_does_not_keep_a_command_from_running(
    bench: Bench, tmp_path: Path
) -> None:
    (tmp_path / "orders").write_text("in the way")
    bench.listen(running("cat", deduplicate="property:id"))
    for number in range(3):
        bench.send("cmd/a", b"%d" % number, user_properties=(("id", str(number)),))
    assert [answer.said["stdout"] for answer in bench.answered(3)] == ["0", "1", "2"]
    assert list(bench.problems) == ["orders-not-kept"]
    (tmp_path / "orders").unlink()
    bench.send("cmd/a", user_properties=(("id", "3"),))
    bench.send("cmd/a", user_properties=(("id", "4"),))
    bench.answered(2)
    assert bench.problems == {}
    bench.send("cmd/a", user_properties=(("id", "4"),))
    assert bench.answered()[0].said["error"] == "duplicate"


# A bundle for support ------------------------------------------------------------------------------------------------


DOCTOR = """#!/bin/sh
env >{folder}/environment
printf '%s\\n' "$@" >{folder}/argv
cat {folder}/says
exit 1
"""


@pytest.fixture
def doctor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What stands in for the agent's Python says what it was asked, and what the test has it say."""
    path = tmp_path / "python"
    path.write_text(DOCTOR.format(folder=tmp_path))
    path.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(path))
    return tmp_path


def test_a_bundle_is_put_into_s3_by_the_doctor_whatever_it_finds(
    bench: Bench, doctor: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed = {
        "FLEET_AGENT_CONFIG": "/etc/x.yaml", "RUNTIME_DIRECTORY": "/run/x", "AWS_ENDPOINT_URL": "http://a",
        "AWS_ENDPOINT_URL_S3": "http://b", "AWS_REGION": "eu-west-1",
    }  # fmt: skip
    for name, value in {**passed, "AWS_SECRET_ACCESS_KEY": "x", "HOME": "/root"}.items():
        monkeypatch.setenv(name, value)
    wanted = UploadBundle(to="s3://logs/a", role_alias="logs", timeout=90.0)
    bench.listen(Subscription(topic="cmd/+", name="h", upload_bundle=wanted))
    # With what it found it is longer than other answers may be.
    (doctor / "says").write_text(
        '{"bundle": {"key": "a/b"}, "findings": ["%s"]}' % ("x" * 200_000)
    )
    bench.send("cmd/a", b"whatever")
    assert 89 < bench.registry.due - bench.clock.monotonic() <= 90
    assert bench.answered()[0].said == {
        "status": 0,
        "stdout": '{"bundle": {"key": "a/b"}}',
        "truncated": False,
    }
    argv = [
        "-m",
        "fleet_agent",
        "doctor",
        "--json",
        "--bundle",
        "s3://logs/a",
        "--role-alias",
        "logs",
    ]
    assert (doctor / "argv").read_text().splitlines() == argv
    environment = dict(
        line.split("=", 1) for line in (doctor / "environment").read_text().splitlines()
    )
    assert (
        environment.items()
        >= {**passed, "FLEET_AGENT_TOPIC": "cmd/a", "FLEET_AGENT_HANDLER": "h"}.items()
    )
    assert not environment.keys() & {"AWS_SECRET_ACCESS_KEY", "HOME"}


@pytest.mark.parametrize("says", ["", "no JSON", "[]", '{"findings": []}', "7"])
def test_a_doctor_that_has_no_bundle_has_failed(bench: Bench, doctor: Path, says: str) -> None:
    (doctor / "says").write_text(says)
    bench.listen(Subscription(topic="cmd/+", name="h", upload_bundle=UploadBundle(to="s3://logs")))
    found = bench.ask("cmd/a")
    assert (found["status"], found["stdout"]) == (1, says)
    assert (doctor / "argv").read_text().splitlines()[-1] == "s3://logs"
