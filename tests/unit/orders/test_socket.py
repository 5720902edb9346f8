"""Local programs that are asked over a socket."""

import json
import subprocess
import sys
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from fleet_agent.config.handlers import SocketHandler
from fleet_agent.config.subscriptions import Subscription
from fleet_agent.orders.handlers.socket import packet
from fleet_agent.orders.order import Order
from unit.orders.conftest import Bench, Program


def asking(path: Path, **options: object) -> Subscription:
    deduplicate = options.pop("deduplicate", None)
    handler = SocketHandler(path=str(path), **options)  # type: ignore[arg-type]
    return Subscription(topic="cmd/+", name="h", socket=handler, deduplicate=deduplicate)  # type: ignore[arg-type]


def test_a_program_gets_the_message_and_its_packet_is_the_answer(
    bench: Bench, program: Program
) -> None:
    bench.listen(asking(program.path, deduplicate="payload:id"))
    bench.send("cmd/a", b'{"id": 7}', content_type="a/b", user_properties=(("k", "v"), ("k", "w")))
    connection, received = program.accept()
    assert received == {
        "handler": "h",
        "topic": "cmd/a",
        "payload": '{"id": 7}',
        "content_type": "a/b",
        "response_topic": "answers",
        "id": "7",
        "user_properties": [["k", "v"], ["k", "w"]],
    }
    connection.send(b'{"status": 0, "speed": 3}')
    (answer,) = bench.answered()
    assert (answer.payload, answer.content_type) == (
        b'{"status": 0, "speed": 3}',
        "application/json",
    )
    assert answer.correlation_data == b"\x00c"
    connection.close()
    bench.send("cmd/a", b"\xff\x00")
    connection, received = program.accept()
    assert received["payload_base64"] == "/wA="
    connection.send(b"\xfe")
    (answer,) = bench.answered()
    assert (answer.payload, answer.content_type) == (b"\xfe", "application/octet-stream")
    connection.close()
    assert bench.counters().handled == 2


def test_a_status_other_than_zero_is_a_failure(bench: Bench, program: Program) -> None:
    bench.listen(asking(program.path))
    bench.send("cmd/a")
    connection, _ = program.accept()
    connection.send(b'{"status": 4}')
    connection.close()
    assert bench.answered()[0].said == {"status": 4}
    assert bench.counters().failed == 1
    assert "answered with status 4" in bench.problems["handler-failed h"]


def test_a_program_that_does_not_answer(bench: Bench, program: Program, tmp_path: Path) -> None:
    bench.listen(asking(tmp_path / "nobody"))
    assert bench.ask("cmd/a")["error"] == "no-program"
    bench.listen(asking(program.path, timeout=0.1))
    bench.send("cmd/a")
    connection, _ = program.accept()
    assert bench.answered()[0].said["error"] == "timeout"
    connection.close()
    bench.send("cmd/a")
    connection, _ = program.accept()
    connection.close()
    assert bench.answered()[0].said["error"] == "no-answer"
    bench.send("cmd/a")
    connection, _ = program.accept()
    connection.send(b"x" * (121 * 1024))
    assert bench.answered()[0].said["error"] == "answer-too-large"
    connection.close()


def test_a_path_that_no_socket_can_have_is_an_error_of_its_own(
    bench: Bench, tmp_path: Path
) -> None:
    bench.listen(asking(tmp_path / ("x" * 200)))
    assert bench.ask("cmd/a")["error"] == "no-program"


def test_it_is_asked_again_when_the_agent_ended_before_it_answered(
    bench: Bench, program: Program
) -> None:
    bench.listen(asking(program.path, deduplicate="property:id"))
    for number in range(3):
        bench.send("cmd/a", b"%d" % number, user_properties=(("id", str(number)),))
    connection, received = program.accept()
    assert received["payload"] == "0"
    bench.die()
    connection.close()
    bench.live()
    for number in range(3):
        connection, received = program.accept()
        assert received["payload"] == str(number)
        connection.send(b"{}")
        assert len(bench.answered()) == 1
        connection.close()
    bench.send("cmd/a", user_properties=(("id", "1"),))
    assert bench.answered()[0].said["error"] == "duplicate"
    assert not program.has_caller()


def test_beyond_the_line_it_is_busy(bench: Bench, program: Program) -> None:
    bench.listen(asking(program.path, max_waiting=1))
    for number in range(3):
        bench.send("cmd/a", b"%d" % number, qos=0)
    assert bench.answered()[0].said["error"] == "busy"
    for number in range(2):
        connection, received = program.accept()
        assert received["payload"] == str(number)
        connection.send(b"{}")
        bench.answered()
        connection.close()


def test_many_waiting_for_a_program_that_is_gone_all_fail(bench: Bench, program: Program) -> None:
    bench.listen(asking(program.path, max_waiting=100))
    for number in range(100):
        bench.send("cmd/a", b"%d" % number)
    connection, _ = program.accept()
    program.close()
    program.path.unlink()
    connection.close()
    errors = [answer.said["error"] for answer in bench.answered(100)]
    assert errors == ["no-answer"] + ["no-program"] * 99


def test_the_largest_message_fits_into_a_packet(bench: Bench, program: Program) -> None:
    bench.listen(asking(program.path))
    for payload in (b"\x01" * 131072, b"\xff" * 131072, b'"' * 131072, b"a" * 131072):
        bench.send("cmd/a", payload)
        connection, _ = program.accept()
        connection.send(b"{}")
        bench.answered()
        connection.close()


@given(st.binary(max_size=200), st.text(max_size=20))
def test_a_packet_is_json_and_carries_any_payload(payload: bytes, topic: str) -> None:
    import base64

    found = json.loads(packet(Order(topic=topic, payload=payload), "h"))
    text = found.get("payload")
    assert (
        base64.b64decode(found["payload_base64"]) if text is None else text.encode()
    ) == payload


def test_the_example_of_the_how_to_answers(bench: Bench, tmp_path: Path, root_dir: Path) -> None:
    page = (root_dir / "docs" / "how-to" / "handle-commands.md").read_text()
    example = page.partition("```python\n")[2].partition("```")[0]
    path = tmp_path / "commands.sock"
    source = example.replace("/run/my-application/commands.sock", str(path))
    with subprocess.Popen([sys.executable, "-c", source]) as program:
        bench.turn(lambda: path.exists() and path.stat().st_mode & 0o777 == 0o660)
        bench.listen(asking(path, timeout=60.0))
        bench.turn(lambda: bench.ask("cmd/a", b"x") == {"status": 0})  # once it listens
        program.kill()
